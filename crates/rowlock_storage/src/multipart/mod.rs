//! Multipart uploads: begun, filled part by part, completed or aborted.

mod complete;
mod create;
mod listing;
mod part;
mod signature;

pub use complete::{CompletePart, Completed};
pub use listing::{ListPartsPage, ListUploadsPage, ListUploadsQuery, UploadSummary, UploadsEntry};
pub use part::{Part, PartUpload};

use crate::{Context, Error, Storage};
use rowlock_blobs::{BlobAttributes, BlobKey, MultipartBlob};
use rowlock_catalog::UploadRow;
use rowlock_types::{BucketName, ObjectKey, RowlockMetadata, UploadId, UserMetadata, Version};
use serde::{Deserialize, Serialize};

/// What an upload's row keeps of the object to come (`s3_multipart_uploads.metadata`). The
/// reference reads `mimetype` only.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PendingMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    mimetype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rowlock: Option<RowlockMetadata>,
}

/// A pending upload that the caller may go on with.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) row: UploadRow,
    pub(crate) blob: MultipartBlob,
    pub(crate) metadata: PendingMetadata,
    pub(crate) user_metadata: UserMetadata,
}

impl Pending {
    pub(crate) fn attributes(&self) -> BlobAttributes {
        BlobAttributes {
            content_type: self.metadata.mimetype.clone(),
            cache_control: self.metadata.cache_control.clone(),
        }
    }
}

impl Storage {
    /// Finds a pending upload. A caller under row-level security finds its own only: the id alone
    /// gives no right to somebody else's upload.
    pub(crate) async fn pending(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
    ) -> Result<Pending, Error> {
        let row = self
            .catalog
            .find_upload(&ctx.scope(), bucket.as_str(), key.as_str(), upload.as_str())
            .await?
            .ok_or(Error::NoSuchUpload)?;
        if !ctx.caller.is_service && row.owner.as_deref() != ctx.caller.subject.as_deref() {
            return Err(Error::NoSuchUpload);
        }
        let version = Version::parse(&row.version).map_err(|_| Error::NoSuchUpload)?;
        let metadata = serde_json::from_value(row.metadata.clone()).unwrap_or_default();
        let user_metadata = serde_json::from_value(row.user_metadata.clone()).unwrap_or_default();
        let blob = MultipartBlob {
            upload_id: upload.clone(),
            blob: BlobKey { bucket: bucket.clone(), key: key.clone(), version: Some(version) },
        };
        Ok(Pending { row, blob, metadata, user_metadata })
    }
}
