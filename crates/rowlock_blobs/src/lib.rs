//! Blobs: the bytes of objects, without any knowledge of rows, callers or HTTP.
//!
//! [`BlobStore`] is what the domain needs of a store; [`file::FileStore`] keeps blobs as plain
//! files in the layout that the reference uses.

pub mod file;
mod growing;
mod listing;
mod store;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
#[cfg(any(test, feature = "suite"))]
mod suite_growing;
#[cfg(any(test, feature = "suite"))]
mod suite_listing;

pub use growing::{Grower, GrowingStore, Grown, Growth};
pub use listing::{Found, FoundKind, STATE_ENDINGS};
pub use store::{
    BlobAttributes, BlobBody, BlobKey, BlobStore, BlobWriter, Error, JoinedBlob, MultipartBlob,
    PartInfo, StagedPart,
};
