use crate::MissingRight;
use rowlock_types::InvalidObjectKey;
use std::fmt;

/// What the domain can answer instead of success. Each protocol renders it in one place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such bucket, or the caller may not see it.
    #[error("bucket not found")]
    NoSuchBucket,
    /// There is no such object, or the caller may not see it.
    #[error("object not found")]
    NoSuchKey,
    /// There is no such multipart upload, or it belongs to somebody else.
    #[error("upload not found")]
    NoSuchUpload,
    /// A bucket of that name exists already; `owned` tells whether the caller can see it.
    #[error("the bucket exists already")]
    BucketAlreadyExists {
        /// The caller can see the existing bucket.
        owned: bool,
    },
    /// The caller may see it, but not do this to it.
    #[error("access denied: {0}")]
    AccessDenied(MissingRight),
    /// The bucket still holds objects.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// The key breaks the rules.
    #[error(transparent)]
    InvalidKey(#[from] InvalidObjectKey),
    /// The key is fine, but the blob store cannot keep it.
    #[error("{0}")]
    UnsupportedKey(&'static str),
    /// The object would be larger than a limit allows.
    #[error("the object exceeded the maximum allowed size")]
    EntityTooLarge {
        /// The limit.
        limit: crate::SizeLimit,
        /// How large it would be in bytes, where that is known.
        size: Option<u64>,
    },
    /// The bucket does not take this content type.
    #[error("mime type {0} is not supported")]
    InvalidMimeType(String),
    /// A condition on the stored object does not hold (`If-Match`, `If-None-Match` on a write).
    #[error("at least one of the conditions did not hold")]
    PreconditionFailed,
    /// Two conditional writes met; the client may repeat (S3 ConditionalRequestConflict).
    #[error("a conflicting conditional operation is in progress")]
    ConditionalConflict,
    /// A digest that the client sent does not fit the body.
    #[error("the {0} you specified did not match what we received")]
    BadDigest(&'static str),
    /// What the client says about checksums does not go together.
    #[error(transparent)]
    Checksum(#[from] crate::ChecksumFault),
    /// `x-amz-content-sha256` does not fit the body.
    #[error("the provided x-amz-content-sha256 does not match what was computed")]
    ContentSha256Mismatch,
    /// The body was shorter or longer than announced.
    #[error("the body did not have the announced length")]
    IncompleteBody,
    /// The body could not be read; the protocol knows its own error.
    #[error(transparent)]
    Body(BodyError),
    /// Multipart: the parts are not in ascending order.
    #[error("the list of parts was not in ascending order")]
    InvalidPartOrder,
    /// Multipart: a part is missing, or its tag does not fit.
    #[error("part {0} could not be found, or its entity tag does not match")]
    InvalidPart(u32),
    /// Multipart: a part other than the last is smaller than 5 MiB.
    #[error("part {number} is smaller than the minimum allowed size")]
    PartTooSmall {
        /// The part's number.
        number: u32,
        /// Its size in bytes.
        size: u64,
        /// Its entity tag without quotes.
        etag: String,
    },
    /// Resumable: the bytes do not begin where the upload ends so far.
    #[error("the upload goes on at byte {offset}")]
    OffsetConflict {
        /// Where it goes on.
        offset: u64,
    },
    /// Resumable: the length is another one than was said before, or less than what is there.
    #[error("the length of the upload is not what was said before")]
    LengthConflict,
    /// Resumable: another request writes to the upload and did not let go of it in time, or this
    /// one had to let go of it; the same may succeed later.
    #[error("the upload is in use by another request")]
    UploadLocked,
    /// Resumable: nothing came for so long that the upload was given up.
    #[error("the upload has expired")]
    UploadExpired,
    /// Resumable: it is an object already.
    #[error("the upload is completed")]
    UploadCompleted,
    /// The database refused, failed or is away.
    #[error(transparent)]
    Catalog(#[from] rowlock_catalog::Error),
    /// The blob store is full.
    #[error("the storage backend is full")]
    StorageFull,
    /// Too much is under way here: the same may succeed later.
    #[error("{0}: too much is under way")]
    Busy(&'static str),
    /// The blob store cannot be reached in time, or has too much to do.
    #[error("the storage backend is not available: {0}")]
    StorageUnavailable(rowlock_blobs::Error),
    /// The blob store failed.
    #[error("the storage backend failed: {0}")]
    Blobs(rowlock_blobs::Error),
    /// The object is no image that can be rendered, or one that is too large.
    #[error(transparent)]
    Image(#[from] rowlock_images::Error),
    /// Rendering the image would take more memory than all renders together may.
    #[error("the source image takes more memory than there is for rendering")]
    ImageTooCostly,
    /// A bug or a stopped task; the log has more.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl From<rowlock_blobs::Error> for Error {
    fn from(error: rowlock_blobs::Error) -> Self {
        match error {
            rowlock_blobs::Error::NotFound => Self::NoSuchKey,
            rowlock_blobs::Error::UploadNotFound => Self::NoSuchUpload,
            rowlock_blobs::Error::PartNotFound(number) => Self::InvalidPart(number),
            rowlock_blobs::Error::TooLarge { most } => {
                let limit = crate::SizeLimit { bytes: most, of: crate::LimitOf::Server };
                Self::EntityTooLarge { limit, size: None }
            }
            rowlock_blobs::Error::Full => Self::StorageFull,
            rowlock_blobs::Error::Busy { doing } => Self::Busy(doing),
            rowlock_blobs::Error::Unavailable { .. } => Self::StorageUnavailable(error),
            rowlock_blobs::Error::UnsupportedKey(why) => Self::UnsupportedKey(why),
            other => Self::Blobs(other),
        }
    }
}

/// Why a request body could not be read, as the protocol put it; it downcasts it again when it
/// renders the error.
pub struct BodyError(pub Box<dyn std::error::Error + Send + Sync>);

impl fmt::Debug for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BodyError {}
