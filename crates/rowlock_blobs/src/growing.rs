//! Blobs that grow over several requests, which may be hours and processes apart.

use crate::{BlobAttributes, BlobKey, Error};
use async_trait::async_trait;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;

/// What is durable of a blob that grows: whoever lets it grow keeps this between the requests, and
/// has kept it before asking for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// How many bytes there are.
    pub offset: u64,
    /// What the store itself needs to go on; of another store's it makes nothing.
    pub inner: serde_json::Value,
}

impl Growth {
    /// What a store has noted for itself.
    ///
    /// # Errors
    /// [`Error::Io`] where that was another store, or something else.
    pub fn noted<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.inner).map_err(|_| Self::foreign())
    }

    /// What is noted is not this store's.
    #[must_use]
    pub fn foreign() -> Error {
        let source = io::Error::other("what was noted of it is not this store's");
        Error::Io { doing: "going on with a blob that grows", source }
    }
}

/// A blob that has grown to its whole length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// Its length in bytes.
    pub size: u64,
    /// Its entity tag without quotes: the store's own, or the MD5 of its bytes in hex.
    pub etag: String,
    /// Whether something of its growth could not be removed yet:
    /// [`GrowingStore::remove_growing`] is to be called some time.
    pub left: bool,
}

/// The part of a store that keeps blobs while they grow. All of it needs a blob with a version.
///
/// Nothing is visible under the blob's name before [`GrowingStore::finish_growing`], and every
/// method that writes returns only when what it wrote would survive a power loss.
#[async_trait]
pub trait GrowingStore: Send + Sync {
    /// Refuses a blob that is to grow to a length that the store cannot keep, before anything is
    /// begun.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    fn check_growing(&self, length: u64) -> Result<(), Error>;

    /// Begins a blob that grows, to `length` bytes where that is known, of which `first` are about
    /// to come and perhaps as many each time; a repeated call begins anew.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::UnsupportedKey`], [`Error::Full`], or the store's failure.
    async fn create_growing(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
        length: Option<u64>,
        first: Option<u64>,
    ) -> Result<Growth, Error>;

    /// Goes on where `growth` ends: what lies beyond (of an attempt that nobody kept the growth
    /// of) is overwritten. Nothing is read or held before the first bytes come.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody else has a [`Grower`] of it, as far as the store can tell;
    /// [`Error::NotFound`], [`Error::UploadNotFound`] or [`Error::WrongLength`] when it is not there, or less of it than
    /// `growth` says; or the store's failure.
    async fn grow(&self, blob: &BlobKey, growth: &Growth) -> Result<Box<dyn Grower>, Error>;

    /// Makes the blob of what has grown. May be repeated, after a crash or a success: it answers
    /// the same as long as the blob is there.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::UploadNotFound`], [`Error::WrongLength`] or
    /// [`Error::PartNotFound`] when not all of it is there (any more): it can never be finished. [`Error::Busy`] as with
    /// [`GrowingStore::grow`], or the store's failure: it may be later.
    async fn finish_growing(
        &self,
        blob: &BlobKey,
        growth: &Growth,
        attributes: &BlobAttributes,
    ) -> Result<Grown, Error>;

    /// Removes all that lies of it beside a finished blob; nothing being there is a success. The
    /// last known `growth` makes it sure where a service lists what it should not.
    ///
    /// # Errors
    /// The store's failure.
    async fn remove_growing(&self, blob: &BlobKey, growth: Option<&Growth>) -> Result<(), Error>;
}

/// Takes the next bytes of a blob that grows. Dropping it loses what was not made durable.
#[async_trait]
pub trait Grower: Send {
    /// Appends bytes. Callers that stream pass 128 to 512 KiB at a time, since a call may cost
    /// one hop to another thread.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::TooLarge`], [`Error::Busy`] where there is no memory for more, those of
    /// [`GrowingStore::grow`] where only now it shows that something is gone, or the store's failure.
    /// No more can be written then, but what came before may still be made durable.
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error>;

    /// Makes durable what costs little: on S3 whole parts that have arrived. Returns what is
    /// durable; for every few MiB of a long body.
    ///
    /// # Errors
    /// As [`Grower::sync`].
    async fn checkpoint(&mut self) -> Result<Growth, Error>;

    /// Makes everything written so far durable, as far as it was written without an error.
    /// Returns what is durable, or what was before when nothing is new. `last` when the blob has
    /// its whole length now.
    ///
    /// # Errors
    /// [`Error::Full`], or the store's failure. After a failure (of this or of another call) a
    /// further call returns what is known to be durable, and it never is less than before.
    async fn sync(&mut self, last: bool) -> Result<Growth, Error>;
}
