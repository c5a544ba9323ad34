use super::Pending;
use crate::copy::upload_stream;
use crate::permit::{Asked, DEFAULT_TYPE};
use crate::receive::{Expected, UploadStream, receive};
use crate::task::detached;
use crate::upload::WriteCondition;
use crate::{ChecksumFault, Context, Error, Object, Storage, WantedChecksum};
use rowlock_blobs::{BlobWriter, StagedPart};
use rowlock_digest::Checksum;
use rowlock_types::{BucketName, ETag, ObjectKey, UploadId};
use serde_json::json;
use std::ops::Range;
use time::OffsetDateTime;

/// A stored part.
#[derive(Debug, Clone)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u32,
    /// Entity tag, quoted.
    pub etag: ETag,
    /// Length in bytes.
    pub size: u64,
    /// When it was stored.
    pub last_modified: OffsetDateTime,
    /// Its S3 checksum, where it has one.
    pub checksum: Option<Checksum>,
}

/// A permitted part that waits for its bytes.
#[derive(Debug)]
pub struct PartUpload {
    storage: Storage,
    ctx: Context,
    pending: Pending,
    number: u32,
    limit: Option<u64>,
}

impl Storage {
    /// Asks whether the caller may store this part. `content_length` in bytes, where known.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::EntityTooLarge`], or the database's refusal.
    pub async fn begin_part(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        content_length: Option<u64>,
    ) -> Result<PartUpload, Error> {
        let pending = self.pending(ctx, bucket, key, upload).await?;
        let limit = self.limit(pending.row.file_size_limit, false);
        if let (Some(limit), Some(length)) = (limit, content_length)
            && length > limit
        {
            return Err(Error::EntityTooLarge { limit });
        }
        if !ctx.caller.is_service {
            self.permit_pending(ctx, &pending, content_length).await?;
        }
        Ok(PartUpload { storage: self.clone(), ctx: ctx.clone(), pending, number, limit })
    }

    /// Asks the policies whether the caller may (still) write the object that an upload becomes.
    pub(crate) async fn permit_pending(
        &self,
        ctx: &Context,
        pending: &Pending,
        content_length: Option<u64>,
    ) -> Result<crate::permit::Permitted, Error> {
        let content_type = pending.metadata.mimetype.as_deref().unwrap_or(DEFAULT_TYPE);
        let mut metadata = json!({ "mimetype": content_type });
        if let Some(length) = content_length {
            metadata["contentLength"] = length.into();
        }
        let asked = Asked {
            bucket: &pending.blob.blob.bucket,
            key: &pending.blob.blob.key,
            content_type,
            metadata: &metadata,
            user_metadata: &pending.user_metadata,
            size: None,
            condition: &WriteCondition::None,
            single: false,
        };
        self.permit(ctx, &asked).await
    }

    /// Stores a range of an existing object as a part. The source was found, and its conditions
    /// were checked, before.
    ///
    /// # Errors
    /// As [`Storage::begin_part`]; [`Error::NoSuchKey`] when the source's blob is gone.
    #[expect(clippy::too_many_arguments, reason = "they are the operation's own parameters")]
    pub async fn copy_part(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        source: &Object,
        range: Range<u64>,
    ) -> Result<Part, Error> {
        let length = range.end.saturating_sub(range.start);
        let part = self.begin_part(ctx, bucket, key, upload, number, Some(length)).await?;
        let from = source.blob.as_ref().ok_or(Error::NoSuchKey)?;
        // A checksum takes the bytes.
        if part.pending.checksum().is_none()
            && let Some(staged) =
                self.blobs.copy_part(from, range.clone(), &part.pending.blob, number).await?
        {
            return detached(part.publish(staged, source.etag.clone(), length, None)).await;
        }
        let body = self.read_blob(source, range).await?;
        let expected = Expected { length: Some(length), ..Expected::default() };
        part.receive(upload_stream(body), expected).await
    }
}

impl PartUpload {
    /// Receives the part's body, verifies it, makes it durable and records it.
    ///
    /// # Errors
    /// As [`crate::Upload::receive`]; [`Error::NoSuchUpload`] when it was aborted meanwhile.
    pub async fn receive(self, body: UploadStream, mut expected: Expected) -> Result<Part, Error> {
        if let Some(WantedChecksum { algorithm, .. }) = self.pending.checksum() {
            match expected.claimed() {
                Some(actual) if actual != algorithm => {
                    return Err(ChecksumFault::Algorithm { expected: algorithm, actual }.into());
                }
                _ => expected.compute = Some(algorithm),
            }
        }
        let (blob, length) = (&self.pending.blob, expected.length);
        let writer = self.storage.blobs.part_writer(blob, self.number, length);
        let (writer, received) = receive(body, writer, &expected, self.limit).await?;
        let etag = ETag::from_md5(&received.md5());
        detached(self.finish(writer, etag, received.size, received.checksum)).await
    }

    /// The part gets its place and its row in one step, under a lock: two writers of one part
    /// leave the bytes and the row of the same one.
    async fn finish(
        self,
        writer: Box<dyn BlobWriter>,
        etag: ETag,
        size: u64,
        checksum: Option<Checksum>,
    ) -> Result<Part, Error> {
        let staged: Box<dyn StagedPart> = writer.stage(etag.bare()).await?;
        self.publish(staged, etag, size, checksum).await
    }

    async fn publish(
        self,
        staged: Box<dyn StagedPart>,
        etag: ETag,
        size: u64,
        checksum: Option<Checksum>,
    ) -> Result<Part, Error> {
        let number = i32::try_from(self.number).map_err(|_| Error::InvalidPart(self.number))?;
        let bytes = i64::try_from(size).map_err(|_| Error::InvalidPart(self.number))?;
        let record = self.storage.catalog.begin_part(&self.pending.row, number).await?;
        let record = record.ok_or(Error::NoSuchUpload)?;
        // What Complete has to name is the tag that the store gave, where it gives tags.
        let etag = staged.publish().await?.map_or(etag, |given| ETag::new(&given));
        let column = checksum.as_ref().map(crate::checksum::to_column);
        let scope = self.ctx.scope();
        let last_modified = record.record(&scope, etag.bare(), bytes, column.as_deref()).await?;
        Ok(Part { number: self.number, etag, size, last_modified, checksum })
    }
}
