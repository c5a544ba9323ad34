//! PostgreSQL: connections, scopes, tables, migrations, own tables, the embedded server.
//!
//! Knows nothing of HTTP, blobs or environment variables. [`Catalog`] is the door: each method is
//! one operation on rows, in as few round trips as it takes, under an explicit [`Scope`].

mod abandoned;
mod audit;
mod bucket_settings;
mod buckets;
mod catalog;
pub mod connect;
pub mod embedded;
mod error;
mod events;
mod lanes;
mod lists;
mod multipart;
mod objects;
mod outbox;
mod pending;
mod pool;
mod presence;
mod resumable;
pub mod schema;
mod scope;
mod search;
mod session;
mod tags;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod transaction;

pub use audit::AuditRow;
pub use bucket_settings::{BucketChanges, BucketDetails, BucketFilter, BucketOrder, NewBucketRow};
pub use buckets::{BucketRow, CreateBucketOutcome, DeleteBucketOutcome};
pub use catalog::{Catalog, CatalogSettings, OwnSchema};
pub use error::Error;
pub use events::{EventOrigin, EventRow, OldObject};
pub use lanes::{LaneSettings, OpenLane};
pub use lists::{ListRequest, Listed, successor};
pub use multipart::{
    CompletedRow, ListUploadsRequest, NewUpload, OtherParts, PartRecord, PartRow, StoredSoFar,
    UploadRow,
};
pub use objects::{
    BucketLimits, CommitOutcome, CommitRequest, CompletedUpload, DeleteIfOutcome, DeletedRows,
    EmptyJob, EmptyStep, ExistingObject, ExpectedRow, FullRow, MoveOutcome, MoveRequest,
    MoveSource, MoveVerdict, ObjectRow, Permit, PermitRequest, ReadAs, ReadOutcome, ReadRow,
    RemovedRows, RowCondition, object_lock_key,
};
pub use outbox::{LiveRow, OutboxKind, OutboxRow};
pub use pending::PendingWrite;
pub use pool::Connect;
pub use presence::{ConnectListening, Presence};
pub use resumable::{Asked, HeldResumable, NewResumableRow, ResumableRow, Wish, resumable_tag};
pub use scope::Scope;
pub use search::{FolderOrder, FolderRequest, PageOrder, PageRequest, SearchEntry};
pub use tags::{BucketTagsOutcome, Tags};
pub use tokio_postgres::SimpleQueryMessage;
pub use tokio_postgres::error::SqlState;
