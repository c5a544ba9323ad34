use crate::read::Object;
use crate::{Context, Error, Storage};
use rowlock_catalog::{ReadAs, ReadOutcome};
use rowlock_types::{BucketName, ObjectKey};
use time::OffsetDateTime;
use uuid::Uuid;

/// Whose eyes an object is read with.
pub use rowlock_catalog::ReadAs as Access;

/// An object's row with all that answers tell, found in one round trip.
#[derive(Debug, Clone)]
pub struct OpenedObject {
    /// The row's id, which outlives versions.
    pub id: Uuid,
    /// The version, as the row has it.
    pub version: Option<String>,
    /// When the object was made.
    pub created_at: OffsetDateTime,
    /// User metadata as it is stored.
    pub user_metadata: Option<serde_json::Value>,
    /// The object, for [`Storage::read_blob`].
    pub object: Object,
}

impl Storage {
    /// Finds an object: of a public bucket whoever asks, else as the caller where `access` is the
    /// caller's.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`] (also for one that is not public, where only public ones count),
    /// [`Error::NoSuchKey`], or the database's.
    pub async fn open(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        access: ReadAs,
    ) -> Result<OpenedObject, Error> {
        let scope = ctx.scope();
        let found = self.catalog.read_object(&scope, bucket.as_str(), key.as_str(), access).await?;
        match found {
            ReadOutcome::Found(row) => Ok(OpenedObject {
                id: row.id,
                version: row.object.version.clone(),
                created_at: row.created_at,
                user_metadata: row.user_metadata,
                object: self.object(bucket, row.object).await?,
            }),
            ReadOutcome::NoObject => Err(Error::NoSuchKey),
            ReadOutcome::NoBucket => Err(Error::NoSuchBucket),
        }
    }
}
