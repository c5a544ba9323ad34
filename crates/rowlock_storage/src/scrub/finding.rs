use std::time::Duration;

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// An object has no blob.
    Missing {
        /// The bucket's id.
        bucket: String,
        /// The object's key.
        key: String,
        /// Its version.
        version: Option<String>,
    },
    /// An object's blob is not as long as its row says.
    WrongSize {
        /// The bucket's id.
        bucket: String,
        /// The object's key.
        key: String,
        /// Bytes by the row.
        expected: u64,
        /// Bytes in the store.
        found: u64,
    },
    /// No row names a blob.
    Unreferenced {
        /// Its name in the store.
        name: String,
        /// Bytes.
        size: u64,
        /// Since its last change.
        age: Duration,
        /// Its name in quarantine, where it was moved there.
        moved_to: Option<String>,
    },
    /// A blob lies where it would with the other separator between key and version: its row names
    /// another place.
    OtherLayout {
        /// Its name in the store.
        name: String,
    },
    /// Parts of a multipart upload that no row knows.
    Upload {
        /// Their name in the store.
        name: String,
        /// The store's id of the upload.
        id: String,
        /// Bytes, where the store tells.
        size: u64,
        /// Since the last part.
        age: Duration,
    },
    /// What the reference keeps of a resumable upload, of an object that does not exist (yet); or
    /// what there is of one of our own that no row knows.
    Resumable {
        /// Its name in the store.
        name: String,
        /// Bytes.
        size: u64,
        /// Since its last change.
        age: Duration,
    },
    /// A temporary file that a writer has left. Running servers remove it.
    Temporary {
        /// Its name in the store.
        name: String,
        /// Bytes.
        size: u64,
        /// Since its last change.
        age: Duration,
    },
    /// What no blob can be.
    Odd {
        /// Its name in the store.
        name: String,
    },
}

/// What was seen in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrubSummary {
    /// Rows that were looked at.
    pub rows: u64,
    /// Blobs (and what lies among them) that were looked at.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects without a blob.
    pub missing: u64,
    /// Objects whose blob has another size.
    pub wrong_size: u64,
    /// Blobs without a row.
    pub unreferenced: u64,
    /// Their bytes.
    pub unreferenced_bytes: u64,
    /// How many of them were moved to quarantine.
    pub quarantined: u64,
    /// Uploads' parts without a row.
    pub uploads: u64,
    /// All other findings.
    pub others: u64,
    /// Blobs without a row that are too new to be judged, or being written.
    pub under_way: u64,
    /// Blobs that the worker will delete.
    pub waiting: u64,
}

impl ScrubSummary {
    /// Whether an object cannot be read as its row says.
    #[must_use]
    pub fn has_damage(&self) -> bool {
        self.missing > 0 || self.wrong_size > 0
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.has_damage() && self.unreferenced == 0 && self.uploads == 0 && self.others == 0
    }

    pub(super) fn count(&mut self, finding: &Finding) {
        match finding {
            Finding::Missing { .. } => self.missing += 1,
            Finding::WrongSize { .. } => self.wrong_size += 1,
            Finding::Unreferenced { size, moved_to, .. } => {
                self.unreferenced += 1;
                self.unreferenced_bytes += size;
                self.quarantined += u64::from(moved_to.is_some());
            }
            Finding::Upload { .. } => self.uploads += 1,
            Finding::OtherLayout { .. }
            | Finding::Resumable { .. }
            | Finding::Temporary { .. }
            | Finding::Odd { .. } => self.others += 1,
        }
    }
}
