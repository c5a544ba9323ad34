//! Moves: the blob is copied to its new place under a new version, then the row points there.

use crate::commit::UNKNOWN_PATIENCE;
use crate::ledger;
use crate::task::detached;
use crate::upload::iso;
use crate::{Context, Error, MissingRight, Storage};
use rowlock_blobs::{BlobAttributes, BlobKey};
use rowlock_catalog::{Error as CatalogError, MoveOutcome, MoveSource, MoveVerdict, PendingWrite};
use rowlock_types::{BucketName, KeyRules, ObjectKey, Version};
use std::time::Duration;
use time::OffsetDateTime;

/// A move to make.
#[derive(Debug, Clone)]
pub struct MoveRequest {
    /// Where the object is.
    pub bucket: BucketName,
    /// Its key.
    pub name: String,
    /// Where it goes.
    pub to_bucket: BucketName,
    /// The key it gets.
    pub to_key: ObjectKey,
}

impl MoveRequest {
    fn goes_nowhere(&self) -> bool {
        self.bucket == self.to_bucket && self.name == self.to_key.as_str()
    }
}

/// How often policies are asked anew while others write the row.
const ATTEMPTS: u32 = 5;

/// How often the row is looked up when the outcome of a COMMIT is unknown.
const LOOK_UPS: u32 = 5;

impl Storage {
    /// Moves an object that the caller may read and change. To where it is, the same is asked and
    /// nothing done.
    ///
    /// # Errors
    /// [`Error::InvalidKey`], [`Error::NoSuchKey`] (also for what the caller does not see, and
    /// where the blob is gone), [`Error::AccessDenied`] where the caller sees the object and no
    /// policy lets it be changed, or the database's refusal of the new row.
    pub async fn move_object(&self, ctx: &Context, request: MoveRequest) -> Result<(), Error> {
        ObjectKey::new(request.to_key.as_str(), self.settings.key_rules)?;
        for _ in 0..ATTEMPTS {
            let version = Version::random();
            let source = self.permit_move(ctx, &request, version).await?;
            if request.goes_nowhere() {
                return Ok(());
            }
            let (this, ctx, request) = (self.clone(), ctx.clone(), request.clone());
            let work = async move { this.relocate(&ctx, &request, &source, version).await };
            if detached(work).await? {
                return Ok(());
            }
        }
        Err(Error::Internal("an object's row changes faster than it can be moved"))
    }

    async fn permit_move(
        &self,
        ctx: &Context,
        request: &MoveRequest,
        version: Version,
    ) -> Result<MoveSource, Error> {
        let version = version.to_string();
        let found = self.catalog.permit_move(&ctx.scope(), &of(request, &version)).await?;
        let Some((source, verdict)) = found else { return Err(Error::NoSuchKey) };
        match verdict {
            MoveVerdict::Allowed => Ok(source),
            MoveVerdict::Invisible => Err(Error::NoSuchKey),
            MoveVerdict::NotChangeable => Err(Error::AccessDenied(MissingRight::UpdateObject)),
            MoveVerdict::Refused(error) => Err(error.into()),
        }
    }

    /// False when the row changed meanwhile.
    async fn relocate(
        &self,
        ctx: &Context,
        request: &MoveRequest,
        source: &MoveSource,
        version: Version,
    ) -> Result<bool, Error> {
        let row = &source.row;
        let key = ObjectKey::new(&row.name, KeyRules::Utf8)?;
        let from = self.blob_of(&request.bucket, &key, row.version.as_deref()).await?;
        let from = from.ok_or(Error::NoSuchKey)?;
        let size = match crate::read::stated_size(row) {
            Some(size) => size,
            None => self.blobs.head(&from).await?,
        };
        let blob = BlobKey {
            bucket: request.to_bucket.clone(),
            key: request.to_key.clone(),
            version: Some(version),
        };
        let attributes = BlobAttributes {
            content_type: row.metadata.mimetype.clone(),
            cache_control: row.metadata.cache_control.clone(),
        };
        let begun = self.begin_write(&blob).await?;
        self.blobs.copy(&from, size, &blob, &attributes).await?;
        begun.goes_to_commit();
        let name = self.blobs.writes_in_place().then(|| ledger::name(&blob));
        let pending = name.as_deref();
        let pending = pending.map(|blob| PendingWrite { blob, process: self.process });
        let version = version.to_string();
        let at = iso(OffsetDateTime::now_utc());
        let grace = self.settings.blob_grace;
        let moved = self
            .catalog
            .commit_move(&ctx.scope(), &of(request, &version), source, pending, &at, grace)
            .await;
        self.ring();
        let (answer, patience) = match moved {
            Ok(MoveOutcome::Moved) => return Ok(true),
            Ok(MoveOutcome::Changed) => (Ok(false), Duration::ZERO),
            Ok(MoveOutcome::TakenOver) => (Err(ledger::taken_over()), Duration::ZERO),
            Err(CatalogError::CommitUnknown) => match self.was_moved(request, &version).await {
                Some(true) => return Ok(true),
                // The broken connection's backend may still be at work.
                Some(false) => (Err(CatalogError::CommitUnknown.into()), UNKNOWN_PATIENCE),
                None => return Err(CatalogError::CommitUnknown.into()),
            },
            Err(error) => (Err(error.into()), Duration::ZERO),
        };
        self.discard(blob, patience);
        answer
    }

    /// Whether the row is at its new place now; `None` when the database does not say.
    async fn was_moved(&self, request: &MoveRequest, version: &str) -> Option<bool> {
        let (bucket, name) = (request.to_bucket.as_str(), request.to_key.as_str());
        for attempt in 0..LOOK_UPS {
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            if let Ok(id) = self.catalog.committed_id(bucket, name, version).await {
                return Some(id.is_some());
            }
        }
        tracing::error!("the outcome of a move is unknown; its blob stays");
        None
    }
}

fn of<'a>(request: &'a MoveRequest, version: &'a str) -> rowlock_catalog::MoveRequest<'a> {
    rowlock_catalog::MoveRequest {
        bucket: request.bucket.as_str(),
        name: &request.name,
        to_bucket: request.to_bucket.as_str(),
        to_name: request.to_key.as_str(),
        version,
    }
}
