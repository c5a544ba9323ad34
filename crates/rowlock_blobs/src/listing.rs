//! What lies in a store, whoever put it there.

use std::time::SystemTime;

/// One thing that was found in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name in the store: a path below the root, or a key. [`crate::BlobStore::names`] tells
    /// which names a blob may have.
    pub name: String,
    /// What it is, as far as its place tells.
    pub kind: FoundKind,
    /// Its length in bytes; of an upload, that of its parts where that is known.
    pub size: u64,
    /// When it was last written to.
    pub modified: SystemTime,
}

/// What a found thing is, by its place alone: no row was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKind {
    /// Something that lies where blobs do.
    Blob {
        /// The bucket's id.
        bucket: String,
        /// Key, separator and version, as they lie in the bucket.
        path: String,
        /// Whether what the reference keeps of a resumable upload lies beside it.
        resumable: bool,
    },
    /// A blob that could not lie at its own place.
    Aside {
        /// The last part of its name: a version, or `null`.
        version: String,
    },
    /// The parts of a multipart upload.
    Upload {
        /// The store's id of the upload.
        id: String,
        /// The bucket of the blob that it will become; empty where the place does not tell.
        bucket: String,
        /// That blob's path in its bucket.
        path: String,
    },
    /// What there is of a blob that grows over several requests.
    Growing {
        /// The blob's version, by which its place is named.
        version: String,
    },
    /// A file of our own that is being written, or that a writer that died has left.
    Temporary,
    /// What no blob can be: a link, a pipe, a name that is no UTF-8.
    Odd,
}

/// The endings of what the reference keeps beside the blob of a resumable upload.
pub const STATE_ENDINGS: [&str; 3] = [".json", ".info", ".part"];
