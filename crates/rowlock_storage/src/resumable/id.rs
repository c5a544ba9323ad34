//! What a resumable upload is known by.

use rowlock_blobs::BlobKey;
use rowlock_types::{BucketName, KeyRules, ObjectKey, Version};
use std::fmt;
use std::str::FromStr;

/// What a resumable upload is known by: the object that it becomes and the version of its blob,
/// which nobody can guess. As text `<bucket>/<key>/<version>`, as the reference has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumableId {
    /// The bucket.
    pub bucket: BucketName,
    /// The object's key.
    pub key: ObjectKey,
    /// The version of the blob.
    pub version: Version,
}

/// The text names no upload: it is not `<bucket>/<key>/<version>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no upload's id")]
pub struct InvalidResumableId;

impl ResumableId {
    pub(crate) fn blob(&self) -> BlobKey {
        BlobKey { bucket: self.bucket.clone(), key: self.key.clone(), version: Some(self.version) }
    }
}

impl fmt::Display for ResumableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.bucket.as_str(), self.key.as_str(), self.version)
    }
}

impl FromStr for ResumableId {
    type Err = InvalidResumableId;

    /// Buckets have no slash, and versions are last.
    fn from_str(text: &str) -> Result<Self, InvalidResumableId> {
        let (bucket, rest) = text.split_once('/').ok_or(InvalidResumableId)?;
        let (key, version) = rest.rsplit_once('/').ok_or(InvalidResumableId)?;
        Ok(Self {
            bucket: BucketName::existing(bucket).map_err(|_| InvalidResumableId)?,
            key: ObjectKey::new(key, KeyRules::Utf8).map_err(|_| InvalidResumableId)?,
            version: Version::parse(version).map_err(|_| InvalidResumableId)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back() {
        for key in ["a", "a/b", "/a//b/", "ünï/67e55044-10b1-426f-9247-bb680e5fe0c8"] {
            let id = ResumableId {
                bucket: BucketName::existing("b").unwrap(),
                key: ObjectKey::new(key, KeyRules::Utf8).unwrap(),
                version: Version::random(),
            };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_no_id() {
        const V: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        for bad in ["", "b", "b/a", "b/a/1", &format!("b/{V}"), &format!("b//{V}"), "nope"] {
            assert_eq!(bad.parse::<ResumableId>(), Err(InvalidResumableId), "{bad}");
        }
        assert!(format!("b/../a/{V}").parse::<ResumableId>().is_err());
        assert!(format!("../a/{V}").parse::<ResumableId>().is_err());
        assert!(format!("b/a/{}", V.to_uppercase()).parse::<ResumableId>().is_err());
    }
}
