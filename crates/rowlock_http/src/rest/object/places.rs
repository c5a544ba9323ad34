//! From where to where a copy or move goes.

use rowlock_storage::Error as StorageError;
use rowlock_types::{BucketName, ObjectKey};

use crate::rest::error::RestError;
use crate::rest::json::Fields;
use crate::rest::path;

/// Source and target. The source may be called anything that a row is.
pub(super) struct Places {
    pub(super) bucket: String,
    pub(super) name: String,
    pub(super) to_bucket: BucketName,
    pub(super) to_key: ObjectKey,
}

impl Places {
    /// Reads `bucketId`, `sourceKey`, `destinationBucket` (the same bucket, unless it is given) and
    /// `destinationKey`.
    ///
    /// # Errors
    /// InvalidRequest, InvalidKey.
    pub(super) fn read(fields: &Fields) -> Result<Self, RestError> {
        let bucket = fields.required_text("bucketId")?;
        let name = fields.required_text("sourceKey")?;
        let to_bucket = fields.text("destinationBucket")?.filter(|bucket| !bucket.is_empty());
        let to_key = path::key(&fields.required_text("destinationKey")?)?;
        let to_bucket = path::bucket(to_bucket.as_deref().unwrap_or(&bucket))
            .map_err(|_| RestError::no_such_relation())?;
        Ok(Self { bucket, name, to_bucket, to_key })
    }
}

/// The target's bucket is looked for only when its row would refer to it.
pub(super) fn refusal(error: StorageError) -> RestError {
    match error {
        StorageError::NoSuchBucket => RestError::no_such_relation(),
        other => other.into(),
    }
}
