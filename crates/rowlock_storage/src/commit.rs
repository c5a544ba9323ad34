//! The end of every write: a complete blob gets its row, or goes.

use crate::ledger;
use crate::permit::{Permitted, refusal};
use crate::upload::WriteCondition;
use crate::{Context, Error, Storage};
use rowlock_blobs::BlobKey;
use rowlock_catalog::{
    CommitOutcome, CommitRequest, CompletedUpload, FullRow, HeldResumable, PendingWrite,
    RowCondition,
};
use rowlock_types::{ObjectMetadata, UserMetadataJson};
use std::time::Duration;
use uuid::Uuid;

/// A durable blob and what its row will say.
pub(crate) struct Written<'a> {
    pub(crate) blob: &'a BlobKey,
    pub(crate) metadata: &'a ObjectMetadata,
    pub(crate) user_metadata: &'a dyn UserMetadataJson,
    pub(crate) permitted: &'a Permitted,
    pub(crate) condition: &'a WriteCondition,
    pub(crate) completes: Option<CompletedUpload<'a>>,
    /// The turn of the resumable upload that ends with this write.
    pub(crate) resumable: Option<HeldResumable>,
    /// Whether another write may make the same blob: then a failure discards nothing.
    pub(crate) shared: bool,
}

/// What names the blob now.
enum CommittedBlob {
    Id(Uuid),
    Row(Box<FullRow>),
}

/// How long a blob stays whose COMMIT got lost, far longer than any statement may run.
pub(crate) const UNKNOWN_PATIENCE: Duration = Duration::from_secs(600);

/// How often the row is looked up when the outcome of a COMMIT is unknown.
const LOOK_UPS: u32 = 5;

impl Storage {
    /// Commits the row of a durable blob, and returns its id. On a definite failure the blob is
    /// discarded; when the outcome can't be found out, it stays: a row may point at it.
    pub(crate) async fn commit(&self, ctx: &Context, written: &Written<'_>) -> Result<Uuid, Error> {
        match self.commit_blob(ctx, written, false).await? {
            CommittedBlob::Id(id) => Ok(id),
            CommittedBlob::Row(row) => Ok(row.id),
        }
    }

    /// As [`commit`](Self::commit), with the row; `None` where only its id is known.
    pub(crate) async fn commit_row(
        &self,
        ctx: &Context,
        written: &Written<'_>,
    ) -> Result<Option<FullRow>, Error> {
        match self.commit_blob(ctx, written, true).await? {
            CommittedBlob::Id(_) => Ok(None),
            CommittedBlob::Row(row) => Ok(Some(*row)),
        }
    }

    async fn commit_blob(
        &self,
        ctx: &Context,
        written: &Written<'_>,
        whole: bool,
    ) -> Result<CommittedBlob, Error> {
        let version = written.blob.version.map(|v| v.to_string()).unwrap_or_default();
        let condition = match written.condition {
            WriteCondition::None => RowCondition::None,
            WriteCondition::Absent | WriteCondition::Create => RowCondition::Absent,
            WriteCondition::Matches(tags) => {
                RowCondition::Matches(tags.iter().map(ToString::to_string).collect())
            }
        };
        // Blobs that several writes share are noted by the upload's row.
        let noted = self.blobs.writes_in_place() && !written.shared;
        let name = if noted { ledger::name(written.blob) } else { String::new() };
        let request = CommitRequest {
            bucket: written.blob.bucket.as_str(),
            name: written.blob.key.as_str(),
            version: &version,
            metadata: written.metadata,
            user_metadata: written.user_metadata,
            expected: &written.permitted.existing,
            condition: &condition,
            grace: self.settings.blob_grace,
            completes: written.completes,
            pending: noted.then_some(PendingWrite { blob: &name, process: self.process }),
            resumable: written.resumable,
            whole,
        };
        let mut patience = Duration::ZERO;
        let outcome = self.catalog.commit_upload(&ctx.scope(), &request).await;
        self.ring();
        let error = match outcome {
            Ok(CommitOutcome::Committed(id)) => return Ok(CommittedBlob::Id(id)),
            Ok(CommitOutcome::Row(row)) => return Ok(CommittedBlob::Row(row)),
            Ok(CommitOutcome::ConditionFailed) => Error::PreconditionFailed,
            Ok(CommitOutcome::NoRow) => Error::NoSuchKey,
            Ok(CommitOutcome::UploadGone) => Error::NoSuchUpload,
            Ok(CommitOutcome::TakenOver) if written.resumable.is_some() => Error::UploadLocked,
            Ok(CommitOutcome::TakenOver) => ledger::taken_over(),
            Ok(CommitOutcome::PartChanged(number)) => {
                Error::InvalidPart(number.try_into().unwrap_or_default())
            }
            Err(rowlock_catalog::Error::CommitUnknown) => {
                match self.was_committed(&request).await {
                    Some(Some(id)) => return Ok(CommittedBlob::Id(id)),
                    Some(None) => {
                        // The broken connection's backend may still be at work.
                        patience = UNKNOWN_PATIENCE;
                        Error::Catalog(rowlock_catalog::Error::CommitUnknown)
                    }
                    None => return Err(Error::Catalog(rowlock_catalog::Error::CommitUnknown)),
                }
            }
            Err(error) => refusal(error),
        };
        // A blob that every Complete of an upload shares goes with the upload.
        if !written.shared {
            self.discard(written.blob.clone(), patience);
        }
        Err(error)
    }

    /// The row's id if it points at the version now; `None` when the database does not say.
    async fn was_committed(&self, request: &CommitRequest<'_>) -> Option<Option<Uuid>> {
        for attempt in 0..LOOK_UPS {
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            let CommitRequest { bucket, name, version, .. } = *request;
            if let Ok(id) = self.catalog.committed_id(bucket, name, version).await {
                return Some(id);
            }
        }
        tracing::error!("the outcome of a commit is unknown; its blob stays");
        None
    }
}
