//! Multipart uploads: begun, filled part by part, completed or aborted.

mod complete;
mod create;
mod listing;
mod part;
mod signature;

pub use complete::{CompletePart, Completed};
pub use listing::{ListPartsPage, ListUploadsPage, ListUploadsQuery, UploadSummary, UploadsEntry};
pub use part::{Part, PartUpload};

use crate::{Context, Error, Storage, WantedChecksum};
use rowlock_blobs::{BlobAttributes, BlobKey, MultipartBlob};
use rowlock_catalog::{PartRow, UploadRow};
use rowlock_types::{
    BucketName, ChecksumType, ObjectKey, RowlockMetadata, UploadId, UserMetadata, Version,
};
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
    /// The role that began it: without a subject, all that tells its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// The S3 checksum that the object will have: algorithm and type.
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<(String, ChecksumType)>,
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

    /// The checksum that the object will have, where one was asked for.
    pub(crate) fn checksum(&self) -> Option<WantedChecksum> {
        self.metadata.checksum()
    }
}

impl PendingMetadata {
    fn checksum(&self) -> Option<WantedChecksum> {
        let (name, kind) = self.checksum.as_ref()?;
        Some(WantedChecksum { algorithm: name.parse().ok()?, kind: *kind })
    }
}

/// Whether an upload is the caller's own. A caller without a subject shares its role with everyone
/// of its kind; it may go on with what that role began, since it knows the id, and with nothing
/// that anybody else began.
fn is_own(ctx: &Context, owner: Option<&str>, metadata: &PendingMetadata) -> bool {
    match (ctx.caller.subject.as_deref(), owner) {
        _ if ctx.caller.is_service => true,
        (Some(subject), Some(owner)) => subject == owner,
        (None, None) => metadata.role.as_deref() == Some(ctx.caller.role.as_str()),
        _ => false,
    }
}

impl Storage {
    /// Finds a pending upload.
    async fn pending(&self, ctx: &Context, address: Address<'_>) -> Result<Pending, Error> {
        let Address { bucket, key, upload } = address;
        let found = self
            .catalog
            .find_upload(&ctx.scope(), bucket.as_str(), key.as_str(), upload.as_str())
            .await?;
        Pending::own(ctx, address, found.ok_or(Error::NoSuchUpload)?)
    }

    /// Finds a pending upload with its parts of a number above `after`, at most `limit`.
    async fn pending_with_parts(
        &self,
        ctx: &Context,
        address: Address<'_>,
        after: i32,
        limit: i64,
    ) -> Result<(Pending, Vec<PartRow>), Error> {
        let Address { bucket, key, upload } = address;
        let (bucket, key, upload) = (bucket.as_str(), key.as_str(), upload.as_str());
        let found = self
            .catalog
            .find_upload_and_parts(&ctx.scope(), bucket, key, upload, after, limit)
            .await?;
        let (row, parts) = found.ok_or(Error::NoSuchUpload)?;
        Ok((Pending::own(ctx, address, row)?, parts))
    }
}

/// All that an upload is found by.
#[derive(Debug, Clone, Copy)]
struct Address<'a> {
    bucket: &'a BucketName,
    key: &'a ObjectKey,
    upload: &'a UploadId,
}

impl Pending {
    /// Reads an upload that was found. A caller under row-level security finds its own only: the
    /// id alone gives no right to somebody else's upload.
    fn own(ctx: &Context, address: Address<'_>, row: UploadRow) -> Result<Self, Error> {
        let Address { bucket, key, upload } = address;
        let metadata: PendingMetadata =
            serde_json::from_value(row.metadata.clone()).unwrap_or_default();
        if !is_own(ctx, row.owner.as_deref(), &metadata) {
            return Err(Error::NoSuchUpload);
        }
        let version = Version::parse(&row.version).map_err(|_| Error::NoSuchUpload)?;
        let user_metadata = serde_json::from_value(row.user_metadata.clone()).unwrap_or_default();
        let blob = MultipartBlob {
            upload_id: upload.clone(),
            blob: BlobKey { bucket: bucket.clone(), key: key.clone(), version: Some(version) },
        };
        Ok(Self { row, blob, metadata, user_metadata })
    }
}

#[cfg(test)]
mod tests {
    use super::{PendingMetadata, is_own};
    use crate::Context;
    use rowlock_types::{Caller, Operation, RequestInfo, Role};
    use std::sync::Arc;

    fn caller(role: &str, subject: Option<&str>) -> Context {
        let caller = Caller {
            role: Role::new(role),
            subject: subject.map(Arc::from),
            claims: Arc::from("{}"),
            token: Arc::from(""),
            is_service: role == "service_role",
        };
        let request = Arc::new(RequestInfo::default());
        Context { caller: Arc::new(caller), request, operation: Operation::None }
    }

    #[test]
    fn only_its_owner_goes_on_with_an_upload() {
        let by = |role: &str| PendingMetadata { role: Some(role.into()), ..Default::default() };
        let of_the_reference = PendingMetadata::default();
        let (service, anon) = (caller("service_role", None), caller("anon", None));
        let (one, two) = (caller("authenticated", Some("1")), caller("authenticated", Some("2")));
        assert!(is_own(&service, None, &of_the_reference) && is_own(&service, Some("1"), &by("x")));
        assert!(is_own(&one, Some("1"), &by("authenticated")));
        assert!(!is_own(&two, Some("1"), &by("authenticated")));
        assert!(is_own(&anon, None, &by("anon")));
        for begun in [by("service_role"), by("authenticated"), of_the_reference] {
            assert!(!is_own(&anon, None, &begun) && !is_own(&one, None, &begun));
            assert!(!is_own(&anon, Some("1"), &begun));
        }
    }
}
