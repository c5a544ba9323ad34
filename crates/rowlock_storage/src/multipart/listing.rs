use super::{Address, Part, PendingMetadata};
use crate::checksum::{from_column, of_algorithm};
use crate::{Context, DEFAULT_CHECKSUM, Error, Storage, WantedChecksum};
use rowlock_catalog::{ListUploadsRequest, UploadRow, successor};
use rowlock_types::{BucketName, ETag, ObjectKey, UploadId};
use time::OffsetDateTime;

/// A page of an upload's parts.
#[derive(Debug, Clone)]
pub struct ListPartsPage {
    /// The parts, by number.
    pub parts: Vec<Part>,
    /// Whether there are more.
    pub truncated: bool,
    /// Owner of the upload.
    pub owner: Option<String>,
    /// The S3 checksum that the object will have.
    pub checksum: Option<WantedChecksum>,
}

/// Which pending uploads to list.
#[derive(Debug, Clone)]
pub struct ListUploadsQuery {
    /// Which bucket.
    pub bucket: BucketName,
    /// Only keys that begin so.
    pub prefix: String,
    /// As in object lists; empty: no folding.
    pub delimiter: String,
    /// Only keys after this one; with `upload_id_marker`, also uploads of this key after that id.
    pub key_marker: String,
    /// See `key_marker`; ignored without it.
    pub upload_id_marker: String,
    /// 0 to 1,000.
    pub max_uploads: usize,
}

/// A pending upload.
#[derive(Debug, Clone)]
pub struct UploadSummary {
    /// The key it will become.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// When it was begun.
    pub initiated: OffsetDateTime,
    /// Who began it.
    pub owner: Option<String>,
    /// The S3 checksum that the object will have.
    pub checksum: WantedChecksum,
}

/// One entry of a page of pending uploads.
#[derive(Debug, Clone)]
pub enum UploadsEntry {
    /// An upload.
    Upload(UploadSummary),
    /// A folded prefix, with its delimiter.
    Prefix(String),
}

/// A page of pending uploads, by key and then by age.
#[derive(Debug, Clone)]
pub struct ListUploadsPage {
    /// The entries.
    pub entries: Vec<UploadsEntry>,
    /// Whether there are more.
    pub truncated: bool,
}

const MAX_PAGE: usize = 1000;

/// Where the next look-up of pending uploads begins.
struct Position {
    from: String,
    after_id: String,
}

/// Sorts behind every id.
const LAST_ID: &str = "\u{10FFFF}";

impl Storage {
    /// Aborts an upload and forgets its parts.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], or the database's refusal.
    pub async fn abort_multipart(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
    ) -> Result<(), Error> {
        let pending = self.pending(ctx, Address { bucket, key, upload }).await?;
        if !ctx.caller.is_service {
            self.permit_pending(ctx, &pending, None).await?;
        }
        let this = self.clone();
        let found =
            crate::task::detached(
                async move { Ok(this.catalog.abort_upload(&pending.row).await?) },
            )
            .await?;
        if !found {
            return Err(Error::NoSuchUpload);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Lists an upload's parts with a number greater than `after`, at most `max` (0 to 1,000).
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], or the database's.
    pub async fn list_parts(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
        after: u32,
        max: usize,
    ) -> Result<ListPartsPage, Error> {
        let max = max.min(MAX_PAGE);
        let after = i32::try_from(after).unwrap_or(i32::MAX);
        let limit = if max == 0 { 0 } else { max as i64 + 1 };
        let address = Address { bucket, key, upload };
        let (pending, mut rows) = self.pending_with_parts(ctx, address, after, limit).await?;
        let truncated = rows.len() > max;
        rows.truncate(max);
        let wanted = pending.checksum();
        let shown = wanted.unwrap_or(DEFAULT_CHECKSUM).algorithm;
        let parts: Vec<Part> = rows
            .into_iter()
            .map(|row| Part {
                checksum: row
                    .checksums
                    .and_then(|text| of_algorithm(&from_column(&text), shown).cloned()),
                number: u32::try_from(row.number).unwrap_or(0),
                etag: ETag::new(&row.etag),
                size: u64::try_from(row.size).unwrap_or(0),
                last_modified: row.created_at,
            })
            .collect();
        // A part without the default checksum leaves the object without one.
        let complete = parts.iter().all(|part| part.checksum.is_some());
        let checksum = wanted.or(complete.then_some(DEFAULT_CHECKSUM));
        Ok(ListPartsPage { parts, truncated, owner: pending.row.owner, checksum })
    }

    /// Lists pending uploads; a caller under row-level security sees its own, one without a
    /// subject none.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], or the database's.
    pub async fn list_uploads(
        &self,
        ctx: &Context,
        query: &ListUploadsQuery,
    ) -> Result<ListUploadsPage, Error> {
        let scope = ctx.scope();
        if !self.catalog.bucket_exists(&scope, query.bucket.as_str()).await? {
            return Err(Error::NoSuchBucket);
        }
        let max = query.max_uploads.min(MAX_PAGE);
        let mut entries = Vec::new();
        // Callers without a subject have no uploads that are theirs alone to list.
        let nobody = !ctx.caller.is_service && ctx.caller.subject.is_none();
        if max == 0 || nobody {
            return Ok(ListUploadsPage { entries, truncated: false });
        }
        let until = successor(&query.prefix).unwrap_or_else(|| LAST_ID.to_owned());
        let mut position = first_position(query);
        while let Some(Position { from, after_id }) = position.take() {
            let request = ListUploadsRequest {
                bucket: query.bucket.as_str(),
                from: &from,
                until: &until,
                after_id: &after_id,
                owner: (!ctx.caller.is_service).then(|| ctx.caller.subject.as_deref()),
                limit: max as i64 + 1,
            };
            let rows = self.catalog.list_uploads(&scope, &request).await?;
            let last = rows.len() <= max;
            for row in rows {
                if entries.len() == max {
                    return Ok(ListUploadsPage { entries, truncated: true });
                }
                if let Some(prefix) = fold(query, &row.key) {
                    // All of the folder is one entry: go on behind it.
                    position =
                        successor(&prefix).map(|from| Position { from, after_id: String::new() });
                    entries.push(UploadsEntry::Prefix(prefix));
                    break;
                }
                let behind = || Position { from: row.key.clone(), after_id: row.id.clone() };
                position = (!last).then(behind);
                entries.push(UploadsEntry::Upload(summary(row)));
            }
        }
        Ok(ListUploadsPage { entries, truncated: false })
    }
}

fn first_position(query: &ListUploadsQuery) -> Option<Position> {
    let marker = &query.key_marker;
    if marker.is_empty() || marker < &query.prefix {
        return Some(Position { from: query.prefix.clone(), after_id: String::new() });
    }
    if let Some(prefix) = fold(query, marker)
        && prefix == *marker
    {
        return successor(&prefix).map(|from| Position { from, after_id: String::new() });
    }
    // Without an id, all uploads of the marker's key are behind us.
    let after_id = match query.upload_id_marker.as_str() {
        "" => LAST_ID.to_owned(),
        id => id.to_owned(),
    };
    Some(Position { from: marker.clone(), after_id })
}

/// The folded prefix that a key falls into, if any.
fn fold(query: &ListUploadsQuery, key: &str) -> Option<String> {
    if query.delimiter.is_empty() {
        return None;
    }
    let rest = key.strip_prefix(query.prefix.as_str())?;
    let at = rest.find(query.delimiter.as_str())?;
    Some(key[..query.prefix.len() + at + query.delimiter.len()].to_owned())
}

fn summary(row: UploadRow) -> UploadSummary {
    let metadata: PendingMetadata = serde_json::from_value(row.metadata).unwrap_or_default();
    UploadSummary {
        key: row.key,
        upload_id: row.id,
        initiated: row.created_at,
        owner: row.owner,
        checksum: metadata.checksum().unwrap_or(DEFAULT_CHECKSUM),
    }
}
