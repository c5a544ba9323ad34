use crate::{Found, GrowingStore};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use rowlock_types::{BucketName, ObjectKey, UploadId, Version};
use std::fmt;
use std::ops::Range;

/// Which blob: `<tenant>/<bucket>/<key>/<version>`; the tenant is the store's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobKey {
    /// The bucket's id.
    pub bucket: BucketName,
    /// The object's key.
    pub key: ObjectKey,
    /// The version in the object's row; `None` for rows that have none (legacy or made by hand).
    pub version: Option<Version>,
}

/// What a store keeps beside the bytes, so that the reference can serve them after a swap back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobAttributes {
    /// The content type, if the client sent one.
    pub content_type: Option<String>,
    /// The `Cache-Control` value, if the client sent one.
    pub cache_control: Option<String>,
}

/// A multipart upload in progress and the blob that it will become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartBlob {
    /// The store's id of the upload.
    pub upload_id: UploadId,
    /// The blob that Complete makes; its version is always set.
    pub blob: BlobKey,
}

impl MultipartBlob {
    /// The blob that the parts were joined into.
    #[must_use]
    pub fn whole(&self, joined: &JoinedBlob) -> BlobKey {
        BlobKey { version: joined.version.or(self.blob.version), ..self.blob.clone() }
    }
}

/// One part named in a Complete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// 1 to 10,000.
    pub number: u32,
    /// The part's entity tag without quotes.
    pub etag: String,
    /// The part's length in bytes.
    pub size: u64,
}

/// The blob that Complete made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedBlob {
    /// Its version: one of its own, so that two Completes of one upload never write the same
    /// blob; `None` for the upload's, where the store itself lets only one of them win.
    pub version: Option<Version>,
    /// Its length in bytes.
    pub size: u64,
    /// The store's own entity tag for it without quotes, where the store has such tags.
    pub etag: Option<String>,
}

/// What can go wrong in a store. Messages never hold a path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such blob (or it is not what a blob must be: a regular file).
    #[error("the blob does not exist")]
    NotFound,
    /// There is no such upload: it never was, was ended beside us, or by a rule of the service's.
    #[error("the upload does not exist")]
    UploadNotFound,
    /// There is no such part of this upload.
    #[error("part {0} does not exist")]
    PartNotFound(u32),
    /// The blob is shorter or longer than its row says.
    #[error("the blob has {found} bytes where {expected} were expected")]
    WrongLength {
        /// The length that was expected.
        expected: u64,
        /// The length that was found.
        found: u64,
    },
    /// The key cannot be kept by this store.
    #[error("the store cannot keep this key: {0}")]
    UnsupportedKey(&'static str),
    /// Blobs of this store are not as large as that.
    #[error("the store keeps no more than {most} bytes of a blob")]
    TooLarge {
        /// The most bytes.
        most: u64,
    },
    /// No space is left, or a quota is used up.
    #[error("the store is full")]
    Full,
    /// Too much is under way here for this to be begun: the same may succeed later.
    #[error("{doing}: too much is under way")]
    Busy {
        /// What was to be done.
        doing: &'static str,
    },
    /// The store cannot be reached in time, or has too much to do: the same may succeed later.
    #[error("{doing}: the store is not available ({why})")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What the store answered, or did not.
        why: String,
    },
    /// The store answered with an error, or could not be reached.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

/// The bytes of a blob, or of a range of it.
pub enum BlobBody {
    /// Small enough to be in memory already.
    Bytes(Bytes),
    /// Read while it is sent, in chunks of up to 512 KiB.
    Stream(BoxStream<'static, Result<Bytes, Error>>),
}

impl fmt::Debug for BlobBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A place where blobs are kept.
///
/// Every method that writes returns only when what it wrote would survive a power loss.
#[async_trait]
pub trait BlobStore: GrowingStore + fmt::Debug {
    /// Begins to write a blob of `length` bytes, where that is known. Nothing is visible under
    /// `blob` before [`BlobWriter::finish`].
    /// Cheap: it makes no system call before the first bytes need a place.
    fn writer(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
        length: Option<u64>,
    ) -> Box<dyn BlobWriter>;

    /// Whether a blob is written under its own name from the start, as where there is no rename:
    /// a process that dies may then leave bytes that nothing names. Such writes are noted before
    /// they begin, and [`BlobStore::remove_unfinished`] removes what is left of them.
    fn writes_in_place(&self) -> bool {
        false
    }

    /// Whether the store gives entity tags of its own to copies, parts and joined blobs.
    fn has_etags(&self) -> bool {
        false
    }

    /// Reads `range` of a blob whose row says that it has `size` bytes in all. What of the range
    /// is beyond the end is left out.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongLength`], or the store's failure.
    async fn read(&self, blob: &BlobKey, size: u64, range: Range<u64>) -> Result<BlobBody, Error>;

    /// The length of a blob in bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the store's failure.
    async fn head(&self, blob: &BlobKey) -> Result<u64, Error>;

    /// Copies a blob of `size` bytes inside the store without passing its bytes through memory.
    /// Returns the store's own entity tag without quotes, where it has such tags.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no `from`, or the store's failure.
    async fn copy(
        &self,
        from: &BlobKey,
        size: u64,
        to: &BlobKey,
        attributes: &BlobAttributes,
    ) -> Result<Option<String>, Error>;

    /// Deletes blobs; one answer for each, in order. A blob that does not exist is a success.
    /// Never deletes anything but the very blobs named, never a folder with something in it.
    /// A power loss may bring a blob back: whoever must be sure asks again later.
    async fn delete(&self, blobs: &[BlobKey]) -> Vec<Result<(), Error>>;

    /// Begins a multipart upload and returns its id.
    ///
    /// # Errors
    /// The store's failure.
    async fn create_multipart(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
    ) -> Result<UploadId, Error>;

    /// Begins to write one part of `length` bytes, where that is known. Nothing of it counts
    /// before [`StagedPart::publish`]; a store without a rename lets it take the place of an
    /// earlier part of its number when it is staged.
    fn part_writer(
        &self,
        upload: &MultipartBlob,
        number: u32,
        length: Option<u64>,
    ) -> Box<dyn BlobWriter>;

    /// Makes a range of a blob of `size` bytes a part without passing its bytes through memory;
    /// `None` when the store cannot, and the bytes have to be read and written.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no `from`, or the store's failure.
    async fn copy_part(
        &self,
        _from: &BlobKey,
        _size: u64,
        _range: Range<u64>,
        _upload: &MultipartBlob,
        _number: u32,
    ) -> Result<Option<Box<dyn StagedPart>>, Error> {
        Ok(None)
    }

    /// Joins the parts, in the order given, into the upload's blob. On files the parts stay until
    /// [`BlobStore::remove_multipart`]; a repeated call answers the same either way.
    ///
    /// # Errors
    /// [`Error::PartNotFound`] when a part is missing or known to have another entity tag,
    /// [`Error::WrongLength`] when it is not as long as said, or the store's failure.
    async fn complete_multipart(
        &self,
        upload: &MultipartBlob,
        parts: &[PartInfo],
        attributes: &BlobAttributes,
    ) -> Result<JoinedBlob, Error>;

    /// Forgets an upload and its parts (after Complete, or as Abort). One that does not exist is
    /// a success.
    ///
    /// # Errors
    /// The store's failure.
    async fn remove_multipart(&self, upload: &MultipartBlob) -> Result<(), Error>;

    /// Removes what a write of this blob has left that was never finished, but for the blob
    /// itself: multipart uploads of its name. Whoever asks has proved that no such upload is
    /// still wanted.
    ///
    /// # Errors
    /// The store's failure.
    async fn remove_unfinished(&self, _blob: &BlobKey) -> Result<(), Error> {
        Ok(())
    }

    /// All that lies in the store for its tenant, in no particular order, without holding more
    /// than a little of it in memory. What is written or removed meanwhile may be in it or not.
    fn list(&self) -> BoxStream<'static, Result<Found, Error>>;

    /// The names under which a listing shows a blob: the one of its usual place first, then that
    /// of the place where it lies when it cannot lie there.
    fn names(&self, blob: &BlobKey) -> Vec<String>;

    /// Whether what a listing has shown under this name is still there.
    ///
    /// # Errors
    /// The store's failure.
    async fn exists(&self, name: &str) -> Result<bool, Error>;

    /// Moves a blob that a listing has shown under this name to a place of its own
    /// (`__internal/quarantine/…`), where nothing looks for it and nothing removes it. Returns its
    /// new name. Whoever asks has proved that no row names it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such blob of this tenant, or the store's failure.
    async fn quarantine(&self, name: &str) -> Result<String, Error>;
}

/// A blob or part being written. Dropping it leaves nothing behind.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends bytes. Callers that stream pass 128 to 512 KiB at a time, since a call may cost
    /// one hop to another thread.
    ///
    /// # Errors
    /// [`Error::Full`], or the store's failure; the writer is then of no further use.
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error>;

    /// Makes the bytes durable and visible under the blob's own name.
    ///
    /// # Errors
    /// [`Error::Full`], or the store's failure; nothing is visible then.
    async fn finish(self: Box<Self>) -> Result<(), Error>;

    /// For parts: makes the bytes durable without giving them their name yet. `etag` (without
    /// quotes) is kept beside them where the store can.
    ///
    /// # Errors
    /// As [`BlobWriter::finish`].
    async fn stage(self: Box<Self>, etag: &str) -> Result<Box<dyn StagedPart>, Error>;
}

/// A part that is durable and waits to be put in its place. Dropping it leaves nothing behind.
#[async_trait]
pub trait StagedPart: Send {
    /// Puts the part in its place, over an earlier part of the same number, durably. Returns the
    /// store's own entity tag for it without quotes, where the store has such tags.
    ///
    /// # Errors
    /// The store's failure; an earlier part is then still in place, or in rare cases this one.
    /// Complete accepts only the one whose length and entity tag it is given.
    async fn publish(self: Box<Self>) -> Result<Option<String>, Error>;

    /// Whether it is this part that the store has under its number. Where parts take their place
    /// when they are staged, one that was staged later may have taken it over by now.
    ///
    /// # Errors
    /// The store's failure.
    async fn is_in_place(&mut self) -> Result<bool, Error> {
        Ok(true)
    }
}
