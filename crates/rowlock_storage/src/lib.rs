//! The domain: the one place that may touch both a row and a blob.
//!
//! Protocols call one method of [`Storage`] for each step of theirs and render what comes back.
//! Every method takes a [`Context`]: who asks, by which request, to do what.

mod bucket_settings;
mod buckets;
mod checksum;
mod commit;
mod context;
mod copy;
mod copy_row;
mod delete;
mod delete_if;
mod empty;
mod error;
mod events;
mod fit;
mod ledger;
mod limit;
mod list;
mod move_object;
mod multipart;
mod open;
mod permit;
mod place;
mod read;
mod receive;
mod remove;
mod render;
mod resumable;
mod right;
mod scrub;
mod search;
mod settings;
mod sign;
mod tags;
mod task;
mod upload;
mod worker;

pub use bucket_settings::NewBucket;
pub use buckets::Bucket;
pub use checksum::{
    ChecksumFault, ClaimedChecksums, DEFAULT_CHECKSUM, WantedChecksum, part_checksum,
};
pub use context::Context;
pub use copy::{Copied, CopyMetadata, CopyRequest};
pub use copy_row::CopySource;
pub use delete::DeleteOutcome;
pub use delete_if::DeleteCondition;
pub use error::{BodyError, Error};
pub use events::{EventSettings, EventSink};
pub use fit::Fit;
pub use limit::{LimitOf, SizeLimit};
pub use list::{ListEntry, ListPage, ListQuery};
pub use move_object::MoveRequest;
pub use multipart::{
    CompletePart, Completed, ListPartsPage, ListUploadsPage, ListUploadsQuery, Part, PartUpload,
    UploadSummary, UploadsEntry,
};
pub use open::{Access, OpenedObject};
pub use read::{FOLDER_PLACEHOLDER, Object};
pub use receive::{Expected, TrailerChecks, UploadStream};
pub use render::{RenderSettings, RenderedImage, images};
pub use resumable::{Append, InvalidResumableId, NewResumable, Resumable, ResumableId};
pub use right::MissingRight;
pub use rowlock_blobs::{BlobBody, Error as BlobError};
pub use rowlock_catalog::{BucketChanges, BucketDetails, BucketFilter, BucketOrder};
pub use rowlock_catalog::{Error as CatalogError, SqlState};
pub use rowlock_catalog::{
    FolderOrder, FolderRequest, FullRow, PageOrder, PageRequest, SearchEntry,
};
pub use scrub::{Finding, QUARANTINE_AGE, ScrubError, ScrubOptions, ScrubSummary};
pub use settings::Settings;
pub use tags::Tags;
pub use upload::{NewObject, OwnMetadata, Stored, Upload, Uploaded, WriteCondition};

use rowlock_blobs::BlobStore;
use rowlock_catalog::Catalog;
use std::sync::Arc;

/// Buckets, objects and uploads: rows guarded by row-level security, and the blobs they name.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    catalog: Catalog,
    blobs: Arc<dyn BlobStore>,
    settings: Arc<Settings>,
    wake: Arc<tokio::sync::Notify>,
    discards: Arc<worker::Discards>,
    resumables: Arc<resumable::Registry>,
    studio: Arc<render::Studio>,
    process: uuid::Uuid,
    events: Option<Arc<events::Events>>,
}

impl Storage {
    /// Puts a catalog and a blob store together.
    pub fn new(catalog: Catalog, blobs: Arc<dyn BlobStore>, settings: Settings) -> Self {
        Self {
            catalog,
            blobs,
            settings: Arc::new(settings),
            wake: Arc::default(),
            discards: Arc::default(),
            resumables: Arc::default(),
            studio: Arc::new(render::Studio::new(&RenderSettings::default())),
            process: uuid::Uuid::new_v4(),
            events: None,
        }
    }

    /// Gives the process the id under which it shows that it lives
    /// ([`rowlock_catalog::Presence::process`]).
    #[must_use]
    pub fn in_process(mut self, process: uuid::Uuid) -> Self {
        self.process = process;
        self
    }

    /// Whether the database answers (`GET /health`).
    ///
    /// # Errors
    /// When it does not.
    pub async fn healthy(&self) -> Result<(), Error> {
        Ok(self.catalog.health().await?)
    }

    /// Which keys new objects may have.
    pub fn key_rules(&self) -> rowlock_types::KeyRules {
        self.settings.key_rules
    }
}
