//! Copies as REST makes them: what it stores is kept as it is, and the new row is the answer.

use crate::{Context, CopyRequest, Error, Object, OwnMetadata, Storage};
use rowlock_catalog::FullRow;
use rowlock_types::BucketName;

/// An object to be copied, as the caller sees it.
#[derive(Debug, Clone)]
pub struct CopySource {
    /// The object.
    pub object: Object,
    /// User metadata as it is stored.
    pub user_metadata: Option<serde_json::Value>,
}

impl Storage {
    /// Finds an object to be copied, as the caller: that its bucket is public does not count.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], also where there is no such bucket, or the database's.
    pub async fn find_source(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        name: &str,
    ) -> Result<CopySource, Error> {
        let found = self.catalog.find_full(&ctx.scope(), bucket.as_str(), name).await?;
        let (full, row) = found.ok_or(Error::NoSuchKey)?;
        let object = self.object(bucket, row).await?;
        Ok(CopySource { object, user_metadata: full.user_metadata })
    }

    /// Copies an object, and returns the row that was written.
    ///
    /// # Errors
    /// As [`copy_object`](Self::copy_object).
    pub async fn copy_to_row(
        &self,
        ctx: &Context,
        source: &Object,
        request: CopyRequest,
        own: OwnMetadata,
    ) -> Result<FullRow, Error> {
        let (bucket, key) = (request.bucket.clone(), request.key.clone());
        let (_, row) = self.copy_object_with(ctx, source, request, own, true).await?;
        if let Some(row) = row {
            return Ok(row);
        }
        // Others wrote meanwhile, or the answer got lost. Somebody may have deleted it by now.
        let written =
            self.catalog.find_written(&ctx.scope(), bucket.as_str(), key.as_str()).await?;
        written.ok_or(Error::NoSuchKey)
    }
}
