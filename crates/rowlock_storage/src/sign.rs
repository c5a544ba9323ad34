//! What has to be true before a URL is signed.

use crate::{Context, Error, Storage};
use rowlock_catalog::{PermitRequest, SqlState};
use rowlock_types::{BucketName, ObjectKey, UserMetadata};
use serde_json::json;
use std::collections::HashSet;

/// The most names of one statement.
const BATCH: usize = 1000;

impl Storage {
    /// Which of these objects the caller may read, and so may let others read.
    ///
    /// # Errors
    /// The database's.
    pub async fn readable(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        names: &[&str],
    ) -> Result<HashSet<String>, Error> {
        let mut readable = HashSet::new();
        for names in names.chunks(BATCH) {
            let found = self.catalog.visible_names(&ctx.scope(), bucket.as_str(), names).await?;
            readable.extend(found);
        }
        Ok(readable)
    }

    /// Whether the caller may write an object under this key, and so may let somebody else do it.
    /// Limits of the bucket bind whoever uploads, later.
    ///
    /// # Errors
    /// [`Error::InvalidKey`], [`Error::NoSuchBucket`], [`Error::PreconditionFailed`] where there is
    /// an object and `upsert` is false, or the database's refusal.
    pub async fn may_upload(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upsert: bool,
    ) -> Result<(), Error> {
        ObjectKey::new(key.as_str(), self.settings.key_rules)?;
        let request = PermitRequest {
            bucket: bucket.as_str(),
            name: key.as_str(),
            metadata: &json!({}),
            user_metadata: &UserMetadata::new(),
            create: !upsert,
        };
        let permit = self.catalog.permit_write(&ctx.scope(), &request).await?;
        let Some((permit, verdict)) = permit else { return Err(Error::NoSuchBucket) };
        match verdict {
            Err(error) if !upsert && error.is(&SqlState::UNIQUE_VIOLATION) => {
                Err(Error::PreconditionFailed)
            }
            Err(error) => Err(error.into()),
            Ok(()) if !upsert && permit.existing.is_some() => Err(Error::PreconditionFailed),
            Ok(()) => Ok(()),
        }
    }
}
