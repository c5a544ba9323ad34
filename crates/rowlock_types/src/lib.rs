//! The shared leaf of the house: names, keys, versions and callers. No I/O.
//!
//! Strings stop at the border: each type here has one validating constructor for what comes from
//! a client, and where an adopted database may hold older names, one lenient constructor
//! (`existing`) for what comes from a row.

mod bucket_name;
mod caller;
mod checksum;
mod etag;
mod metadata;
mod object_key;
mod operation;
mod parts;
mod upload_id;
mod version;

pub use bucket_name::{BucketName, InvalidBucketName};
pub use caller::{Caller, RequestInfo, Role};
pub use checksum::{ChecksumType, StoredChecksum};
pub use etag::ETag;
pub use metadata::{ObjectMetadata, RowlockMetadata, UserMetadata, UserMetadataJson};
pub use object_key::{InvalidObjectKey, KeyRules, MAX_KEY_BYTES, ObjectKey};
pub use operation::Operation;
pub use parts::StoredParts;
pub use upload_id::{InvalidUploadId, UploadId};
pub use version::{InvalidVersion, Version};
