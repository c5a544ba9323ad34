use super::{PendingMetadata, signature};
use crate::permit::{Asked, refusal};
use crate::task::detached;
use crate::upload::NewObject;
use crate::{Context, Error, Storage, WantedChecksum};
use rowlock_blobs::{BlobKey, MultipartBlob};
use rowlock_catalog::NewUpload;
use rowlock_types::{UploadId, Version};

impl Storage {
    /// Begins a multipart upload.
    ///
    /// # Errors
    /// As [`Storage::begin_upload`].
    pub async fn create_multipart(&self, ctx: &Context, new: NewObject) -> Result<UploadId, Error> {
        self.create_multipart_with(ctx, new, None).await
    }

    /// Begins a multipart upload whose object will have this S3 checksum.
    ///
    /// # Errors
    /// As [`Storage::begin_upload`].
    pub async fn create_multipart_with(
        &self,
        ctx: &Context,
        new: NewObject,
        checksum: Option<WantedChecksum>,
    ) -> Result<UploadId, Error> {
        let asked = Asked {
            bucket: &new.bucket,
            key: &new.key,
            content_type: new.content_type(),
            metadata: &new.announced(),
            user_metadata: &new.user_metadata,
            size: None,
            condition: &new.condition,
            single: false,
        };
        self.permit(ctx, &asked).await?;
        let (this, ctx) = (self.clone(), ctx.clone());
        detached(async move { this.record_multipart(&ctx, &new, checksum).await }).await
    }

    /// Makes the upload in the store, and its row.
    async fn record_multipart(
        &self,
        ctx: &Context,
        new: &NewObject,
        checksum: Option<WantedChecksum>,
    ) -> Result<UploadId, Error> {
        let version = Version::random();
        let blob =
            BlobKey { bucket: new.bucket.clone(), key: new.key.clone(), version: Some(version) };
        let begun = self.begin_write(&blob).await?;
        let upload_id = self.blobs.create_multipart(&blob, &new.attributes()).await?;
        let metadata = PendingMetadata {
            mimetype: new.content_type.clone(),
            cache_control: new.cache_control.clone(),
            rowlock: (!new.extra.is_empty()).then(|| new.extra.clone()),
            role: Some(ctx.caller.role.as_str().to_owned()),
            checksum: checksum.map(|sum| (sum.algorithm.name().to_owned(), sum.kind)),
        };
        let json = |value: serde_json::Result<serde_json::Value>| {
            value.map_err(|_| Error::Internal("metadata is no JSON"))
        };
        let metadata = json(serde_json::to_value(&metadata))?;
        let user_metadata = json(serde_json::to_value(&new.user_metadata))?;
        let signature = signature::no_progress(&self.settings.encryption_key)
            .ok_or(Error::Internal("the upload could not be sealed"))?;
        let row = NewUpload {
            id: upload_id.as_str(),
            bucket: new.bucket.as_str(),
            key: new.key.as_str(),
            version: &version.to_string(),
            signature: &signature,
            metadata: &metadata,
            user_metadata: &user_metadata,
        };
        if let Err(error) = self.catalog.insert_upload(&ctx.scope(), &row).await {
            if matches!(error, rowlock_catalog::Error::Unavailable(_)) {
                // The row may be there: the upload stays.
                return Err(error.into());
            }
            let upload = MultipartBlob { upload_id, blob };
            if let Err(error) = self.blobs.remove_multipart(&upload).await {
                tracing::warn!(%error, "an upload without a row could not be removed");
            }
            return Err(refusal(error));
        }
        // From here on the row stands for the upload.
        begun.strike_out().await?;
        Ok(upload_id)
    }
}
