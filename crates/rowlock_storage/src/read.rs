use crate::place::{Place, hidden};
use crate::{Context, Error, Storage};
use rowlock_blobs::{BlobBody, BlobKey};
use rowlock_catalog::ObjectRow;
use rowlock_types::{BucketName, ETag, ObjectKey, ObjectMetadata, UserMetadata, Version};
use std::ops::Range;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The key under which a folder of its own is stored (`name/.emptyFolderPlaceholder`).
pub const FOLDER_PLACEHOLDER: &str = ".emptyFolderPlaceholder";

/// An object's row, as the caller may see it.
#[derive(Debug, Clone)]
pub struct Object {
    /// The bucket it lies in.
    pub bucket: BucketName,
    /// Its key as stored (for a folder asked for as `name/` this is the placeholder's).
    pub key: ObjectKey,
    /// Length in bytes.
    pub size: u64,
    /// Entity tag, quoted.
    pub etag: ETag,
    /// When its bytes were written.
    pub last_modified: OffsetDateTime,
    /// System metadata.
    pub metadata: ObjectMetadata,
    /// User metadata.
    pub user_metadata: UserMetadata,
    /// User metadata as it is stored, where it is more than names and texts.
    pub(crate) user_json: Option<serde_json::Value>,
    /// Where its bytes are; `None` when the row can't name a safe blob.
    pub(crate) blob: Option<BlobKey>,
}

/// When a row's bytes were written: what its metadata says, else when the row was.
pub(crate) fn last_modified(row: &ObjectRow) -> OffsetDateTime {
    row.metadata
        .last_modified
        .as_deref()
        .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
        .unwrap_or(row.updated_at)
}

/// A row's entity tag; rows made by hand have none, and get one that changes with each write.
pub(crate) fn entity_tag(row: &ObjectRow) -> ETag {
    match (&row.metadata.e_tag, &row.version) {
        (Some(tag), _) => ETag::new(tag),
        (None, Some(version)) => ETag::new(version),
        (None, None) => ETag::new(&row.updated_at.unix_timestamp_nanos().to_string()),
    }
}

/// A row's size in bytes, where its metadata says it.
pub(crate) fn stated_size(row: &ObjectRow) -> Option<u64> {
    row.metadata.size.or(row.metadata.content_length)
}

/// Whether slashes are repeated, or stand at an end: files keep such a name's blob under the path
/// of the name without them.
fn has_empty_segments(key: &ObjectKey) -> bool {
    key.as_str().split('/').any(str::is_empty)
}

impl Storage {
    /// Finds an object's row as the caller. `name/` also finds the folder's placeholder; a
    /// literal row wins.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], or [`Error::NoSuchBucket`] when the bucket does not exist at all.
    pub async fn find_object(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<Object, Error> {
        let scope = ctx.scope();
        let placeholder = key.is_folder().then(|| format!("{key}{FOLDER_PLACEHOLDER}"));
        let found = self
            .catalog
            .find_object(&scope, bucket.as_str(), key.as_str(), placeholder.as_deref())
            .await?;
        match found {
            Some(row) => self.object(bucket, row).await,
            None if self.catalog.bucket_exists(&scope, bucket.as_str()).await? => {
                Err(Error::NoSuchKey)
            }
            None => Err(Error::NoSuchBucket),
        }
    }

    pub(crate) async fn object(
        &self,
        bucket: &BucketName,
        row: ObjectRow,
    ) -> Result<Object, Error> {
        let key = ObjectKey::new(&row.name, rowlock_types::KeyRules::Utf8)?;
        let blob = self.blob_of(bucket, &key, row.version.as_deref()).await?;
        let size = match (stated_size(&row), &blob) {
            (Some(size), _) => size,
            (None, Some(blob)) => match self.blobs.head(blob).await {
                Err(rowlock_blobs::Error::NotFound) => 0,
                other => other?,
            },
            (None, None) => 0,
        };
        Ok(Object {
            bucket: bucket.clone(),
            size,
            etag: entity_tag(&row),
            last_modified: last_modified(&row),
            metadata: row.metadata,
            user_metadata: row.user_metadata,
            user_json: row.user_json,
            key,
            blob,
        })
    }

    /// Which blob a row names. Rows are not trusted: a version that is no UUID names none, and a
    /// row without a version whose path is in truth another object's blob has none of its own.
    pub(crate) async fn blob_of(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<&str>,
    ) -> Result<Option<BlobKey>, Error> {
        let version = match version {
            Some(text) => match Version::parse(text) {
                Ok(version) => Some(version),
                Err(error) => {
                    tracing::warn!(%bucket, %error, "a row names no blob");
                    return Ok(None);
                }
            },
            None => None,
        };
        let text = version.map(|version| version.to_string());
        let place = match &text {
            // Only names with empty segments can share a path with a name that has its own.
            Some(text) => has_empty_segments(key).then(|| Place::of(key.as_str(), Some(text))),
            None => hidden(key.as_str()),
        };
        if let Some(place) = place
            && !self.is_alone(bucket, key, &place).await?
        {
            tracing::warn!(%bucket, "a row names another row's blob");
            return Ok(None);
        }
        Ok(Some(BlobKey { bucket: bucket.clone(), key: key.clone(), version }))
    }

    /// Whether no other row, however its name is spelt, has the path of this one.
    async fn is_alone(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        place: &Place<'_>,
    ) -> Result<bool, Error> {
        let versions: Vec<&str> = place.version.into_iter().collect();
        let rows = self
            .catalog
            .live_rows(bucket.as_str(), place.first_segment(), &versions, false)
            .await?;
        Ok(rows.is_some_and(|rows| {
            rows.iter().all(|row| {
                let other = Place::of(&row.name, row.version.as_deref());
                row.name == key.as_str() || other.path() != place.path()
            })
        }))
    }

    /// Reads a range of the object's bytes (whole: `0..object.size`).
    ///
    /// # Errors
    /// [`Error::NoSuchKey`] when the row has no blob (the log says so), or the store's failure.
    pub async fn read_blob(&self, object: &Object, range: Range<u64>) -> Result<BlobBody, Error> {
        let missing = || {
            let (bucket, key) = (&object.bucket, &object.key);
            tracing::error!(%bucket, %key, "the row has no blob");
            Error::NoSuchKey
        };
        let blob = object.blob.as_ref().ok_or_else(missing)?;
        match self.blobs.read(blob, object.size, range).await {
            Ok(body) => Ok(body),
            Err(rowlock_blobs::Error::NotFound) => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }
}
