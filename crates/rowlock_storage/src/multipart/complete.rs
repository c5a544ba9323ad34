use super::{Address, Pending};
use crate::checksum::{self, JoinedPart};
use crate::commit::Written;
use crate::limit::Room;
use crate::permit::Permitted;
use crate::task::detached;
use crate::upload::{NewObject, Uploaded, WriteCondition};
use crate::{ClaimedChecksums, Context, Error, Storage};
use rowlock_blobs::PartInfo;
use rowlock_catalog::{CompletedUpload, PartRow};
use rowlock_types::{
    BucketName, ETag, ObjectKey, RowlockMetadata, StoredChecksum, StoredParts, UploadId, Version,
};
use std::collections::HashMap;
use time::OffsetDateTime;

/// A part named by a Complete request.
#[derive(Debug, Clone)]
pub struct CompletePart {
    /// 1 to 10,000.
    pub number: u32,
    /// Its entity tag, quoted or not.
    pub etag: String,
}

/// A completed multipart upload.
pub type Completed = Uploaded;

/// The smallest part but the last (S3 user guide, "multipart upload limits").
const MIN_PART: u64 = 5 * 1024 * 1024;
const MAX_PARTS: i64 = 10_000;

impl Storage {
    /// Joins the parts named into the object and commits it. A repeated Complete answers again.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::InvalidPart`], [`Error::InvalidPartOrder`],
    /// [`Error::PartTooSmall`], [`Error::PreconditionFailed`], or the database's refusal.
    pub async fn complete_multipart(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<CompletePart>,
        condition: WriteCondition,
    ) -> Result<Completed, Error> {
        let claims = ClaimedChecksums::default();
        self.complete_multipart_with(ctx, bucket, key, upload, parts, condition, claims).await
    }

    /// The same, where the client also says something about checksums.
    ///
    /// # Errors
    /// As [`Storage::complete_multipart`]; [`Error::BadDigest`], or a [`crate::ChecksumFault`].
    #[expect(clippy::too_many_arguments, reason = "they are the operation's own parameters")]
    pub async fn complete_multipart_with(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
        parts: Vec<CompletePart>,
        condition: WriteCondition,
        claims: ClaimedChecksums,
    ) -> Result<Completed, Error> {
        if parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
            return Err(Error::InvalidPartOrder);
        }
        match self.complete_pending(ctx, (bucket, key, upload), &parts, condition, claims).await {
            // Another Complete of the same upload may have been faster, at any step of this one,
            // and the worker may have removed the parts under it: then the other has the answer.
            Err(error) => match self.completed(ctx, bucket, key, upload).await {
                Err(_) => Err(error),
                other => other,
            },
            done => done,
        }
    }

    async fn complete_pending(
        &self,
        ctx: &Context,
        (bucket, key, upload): (&BucketName, &ObjectKey, &UploadId),
        parts: &[CompletePart],
        condition: WriteCondition,
        claims: ClaimedChecksums,
    ) -> Result<Completed, Error> {
        let address = Address { bucket, key, upload };
        let (pending, stored) = self.pending_with_parts(ctx, address, 0, MAX_PARTS).await?;
        // The service role passes here too: the row that lies under the key now is needed.
        let permitted = self.permit_pending(ctx, &pending, None).await?;
        let (chosen, joined) = choose(parts, stored)?;
        let wanted = pending.checksum();
        let checksum = checksum::join(wanted, &claims, &joined)?;
        let whole = Whole { parts: checksum::stored_parts(&joined, wanted), checksum };
        let (this, ctx) = (self.clone(), ctx.clone());
        detached(
            async move { this.join(&ctx, &pending, permitted, &chosen, whole, condition).await },
        )
        .await
    }

    async fn join(
        &self,
        ctx: &Context,
        pending: &Pending,
        permitted: Permitted,
        chosen: &[PartInfo],
        whole: Whole,
        condition: WriteCondition,
    ) -> Result<Completed, Error> {
        let total: u64 = chosen.iter().map(|part| part.size).sum();
        if let Some(limit) = permitted.limit {
            Room::from(limit).check(total)?;
        }
        let attributes = pending.attributes();
        let joined = self.blobs.complete_multipart(&pending.blob, chosen, &attributes).await?;
        let size = joined.size;
        let etag = match &joined.etag {
            Some(given) => ETag::new(given),
            None => joined_etag(chosen)?,
        };
        let blob = &pending.blob.whole(&joined);
        let version = blob.version.ok_or(Error::NoSuchUpload)?;
        let new = NewObject {
            bucket: blob.bucket.clone(),
            key: blob.key.clone(),
            content_type: pending.metadata.mimetype.clone(),
            cache_control: pending.metadata.cache_control.clone(),
            user_metadata: pending.user_metadata.clone(),
            extra: RowlockMetadata {
                checksum: whole.checksum,
                parts: Some(whole.parts),
                ..pending.metadata.rowlock.clone().unwrap_or_default()
            },
            content_length: Some(size),
            condition,
        };
        let at = OffsetDateTime::now_utc();
        let metadata = new.metadata(&etag, size, at);
        let parts: Vec<(i32, String)> = chosen
            .iter()
            .map(|part| (i32::try_from(part.number).unwrap_or(i32::MAX), part.etag.clone()))
            .collect();
        let written = Written {
            blob,
            metadata: &metadata,
            user_metadata: &new.user_metadata,
            permitted: &permitted,
            condition: &new.condition,
            completes: Some(CompletedUpload {
                upload_id: pending.blob.upload_id.as_str(),
                parts: &parts,
            }),
            resumable: None,
            shared: joined.version.is_none(),
        };
        self.commit(ctx, &written).await?;
        self.wake.notify_one();
        let checksum = new.extra.checksum;
        Ok(Completed { etag, size, version, last_modified: at, checksum })
    }

    /// The answer of a Complete that succeeded earlier, for clients that did not hear it; only
    /// while its object is still the one under the key and the caller may see it.
    async fn completed(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
    ) -> Result<Completed, Error> {
        let done = self
            .catalog
            .find_completed(bucket.as_str(), key.as_str(), upload.as_str())
            .await?
            .ok_or(Error::NoSuchUpload)?;
        let object = match self.find_object(ctx, bucket, key).await {
            Err(Error::NoSuchKey) => return Err(Error::NoSuchUpload),
            other => other?,
        };
        let version = Version::parse(&done.version).map_err(|_| Error::NoSuchUpload)?;
        let current = object.blob.as_ref().and_then(|blob| blob.version);
        if current != Some(version) {
            return Err(Error::NoSuchUpload);
        }
        Ok(Completed {
            etag: ETag::new(&done.etag),
            size: object.size,
            version,
            last_modified: done.completed_at,
            checksum: object.metadata.rowlock.and_then(|extra| extra.checksum),
        })
    }
}

/// What a row keeps of the parts that its object was joined from.
struct Whole {
    checksum: Option<StoredChecksum>,
    parts: StoredParts,
}

/// Finds the parts named among those stored, and checks tags and sizes.
fn choose(
    parts: &[CompletePart],
    stored: Vec<PartRow>,
) -> Result<(Vec<PartInfo>, Vec<JoinedPart>), Error> {
    let mut stored: HashMap<i32, PartRow> =
        stored.into_iter().map(|part| (part.number, part)).collect();
    let mut chosen = Vec::with_capacity(parts.len());
    let mut joined = Vec::with_capacity(parts.len());
    for part in parts {
        let number = part.number;
        let row = i32::try_from(number).ok().and_then(|number| stored.remove(&number));
        let row = row.ok_or(Error::InvalidPart(number))?;
        if row.etag != part.etag.trim().trim_matches('"') {
            return Err(Error::InvalidPart(number));
        }
        let size = u64::try_from(row.size).map_err(|_| Error::InvalidPart(number))?;
        let checksums = row.checksums.as_deref().map(checksum::from_column).unwrap_or_default();
        joined.push(JoinedPart { number, size, checksums });
        chosen.push(PartInfo { number, etag: row.etag, size });
    }
    let last = chosen.len().saturating_sub(1);
    if let Some(small) = chosen.iter().take(last).find(|part| part.size < MIN_PART) {
        let (number, size, etag) = (small.number, small.size, small.etag.clone());
        return Err(Error::PartTooSmall { number, size, etag });
    }
    Ok((chosen, joined))
}

/// MD5 of the parts' binary digests, then `-` and their number, as AWS makes it.
fn joined_etag(parts: &[PartInfo]) -> Result<ETag, Error> {
    let mut digests = Vec::with_capacity(parts.len() * 16);
    for part in parts {
        let digest = hex::decode(&part.etag).map_err(|_| Error::InvalidPart(part.number))?;
        digests.extend_from_slice(&digest);
    }
    Ok(ETag::multipart(&rowlock_digest::md5(&digests), parts.len()))
}

#[cfg(test)]
mod tests {
    use super::{CompletePart, MIN_PART, choose, joined_etag};
    use crate::Error;
    use rowlock_catalog::PartRow;
    use time::OffsetDateTime;

    fn row(number: i32, etag: &str, size: u64) -> PartRow {
        let size = i64::try_from(size).unwrap();
        let (created_at, checksums) = (OffsetDateTime::UNIX_EPOCH, None);
        PartRow { number, etag: etag.into(), size, created_at, checksums }
    }

    fn named(number: u32, etag: &str) -> CompletePart {
        CompletePart { number, etag: etag.into() }
    }

    #[test]
    fn parts_are_checked() {
        let stored = || vec![row(1, "aa", MIN_PART), row(3, "cc", 1)];
        let (chosen, _) = choose(&[named(1, "\"aa\""), named(3, "cc")], stored()).unwrap();
        assert_eq!(chosen.iter().map(|p| p.number).collect::<Vec<_>>(), [1, 3]);
        assert!(matches!(choose(&[named(2, "aa")], stored()), Err(Error::InvalidPart(2))));
        assert!(matches!(choose(&[named(1, "bb")], stored()), Err(Error::InvalidPart(1))));
        let small = vec![row(1, "aa", MIN_PART - 1), row(2, "bb", 1)];
        let refused = choose(&[named(1, "aa"), named(2, "bb")], small);
        assert!(matches!(refused, Err(Error::PartTooSmall { number: 1, .. })));
    }

    #[test]
    fn etag_is_aws() {
        // Two parts, "a" and "b": md5(md5("a") + md5("b")).
        let parts = ["0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"];
        let parts: Vec<_> = parts
            .iter()
            .zip(1..)
            .map(|(etag, number)| rowlock_blobs::PartInfo { number, etag: (*etag).into(), size: 1 })
            .collect();
        let expected = "96e024ba2074fe77e8e965ba43a704be-2";
        assert_eq!(joined_etag(&parts).unwrap().bare(), expected);
    }
}
