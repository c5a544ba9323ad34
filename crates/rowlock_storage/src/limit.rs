//! How large an object may be, and who says so.

use crate::{Error, Storage};
use std::fmt;

/// A limit on an object's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimit {
    /// The most bytes.
    pub bytes: u64,
    /// Who says so.
    pub of: LimitOf,
}

/// Who sets a [`SizeLimit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOf {
    /// The bucket (`file_size_limit`).
    Bucket,
    /// The server, for objects (`UPLOAD_FILE_SIZE_LIMIT`).
    Server,
    /// The server, for uploads in one request (`UPLOAD_FILE_SIZE_LIMIT_STANDARD`).
    SingleUpload,
    /// The request itself.
    Request,
}

impl fmt::Display for SizeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        match self.of {
            LimitOf::Bucket => write!(f, "objects of this bucket have at most {bytes} bytes"),
            LimitOf::Server => write!(f, "objects on this server have at most {bytes} bytes"),
            LimitOf::SingleUpload => {
                write!(f, "uploads in one request have at most {bytes} bytes on this server")
            }
            LimitOf::Request => write!(f, "this request takes at most {bytes} bytes"),
        }
    }
}

/// What is left of a limit for the bytes that are to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) limit: SizeLimit,
    /// The bytes that lie there already: an upload's other parts.
    pub(crate) taken: u64,
}

impl From<SizeLimit> for Room {
    fn from(limit: SizeLimit) -> Self {
        Self { limit, taken: 0 }
    }
}

impl Room {
    /// Whether so many bytes fit.
    pub(crate) fn holds(&self, bytes: u64) -> bool {
        self.taken.saturating_add(bytes) <= self.limit.bytes
    }

    /// Refuses an announced length that does not fit.
    pub(crate) fn check(&self, announced: u64) -> Result<(), Error> {
        if self.holds(announced) {
            return Ok(());
        }
        let size = Some(self.taken.saturating_add(announced));
        Err(Error::EntityTooLarge { limit: self.limit, size })
    }
}

impl Storage {
    /// The smallest of all limits that bind an object in a bucket with this limit.
    pub(crate) fn limit(&self, bucket: Option<i64>, single: bool) -> Option<SizeLimit> {
        let bucket = bucket.and_then(|limit| u64::try_from(limit).ok());
        let single = if single { self.settings.max_single_upload_bytes } else { None };
        let limits = [
            (bucket, LimitOf::Bucket),
            (self.settings.max_object_bytes, LimitOf::Server),
            (single, LimitOf::SingleUpload),
        ];
        let limits =
            limits.into_iter().filter_map(|(bytes, of)| Some(SizeLimit { bytes: bytes?, of }));
        limits.min_by_key(|limit| limit.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_and_what_is_said() {
        let limit = SizeLimit { bytes: 10, of: LimitOf::Bucket };
        assert!(Room::from(limit).check(10).is_ok());
        let room = Room { limit, taken: 8 };
        assert!(room.holds(2) && !room.holds(3) && !room.holds(u64::MAX));
        let Err(Error::EntityTooLarge { size, .. }) = room.check(3) else { panic!("it fits") };
        assert_eq!(size, Some(11));
        assert_eq!(limit.to_string(), "objects of this bucket have at most 10 bytes");
    }
}
