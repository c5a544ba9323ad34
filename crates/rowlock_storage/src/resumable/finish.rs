//! The end of a resumable upload: an object, or nothing.

use super::append::of_growing;
use super::hold::Held;
use super::{Append, Resumable, ResumableId, object_of, unsigned};
use crate::commit::Written;
use crate::permit::Permitted;
use crate::{Context, Error, Storage};
use rowlock_catalog::ResumableRow;
use rowlock_types::{BucketName, ETag, KeyRules, ObjectKey, Version};
use time::OffsetDateTime;

impl Storage {
    /// Makes the object of an upload whose bytes are all there. Whatever fails, all of it is kept,
    /// and may be asked for again.
    pub(super) async fn finish_resumable(
        &self,
        ctx: &Context,
        id: &ResumableId,
        append: &Append,
        held: Held,
        permitted: &Permitted,
    ) -> Result<Resumable, Error> {
        match self.commit_resumable(ctx, id, append, &held, permitted).await {
            Ok(()) => {
                self.wake.notify_one();
                let row = ResumableRow { completed: true, ..held.ended() };
                Ok(Resumable::of(id.clone(), &row))
            }
            Err(Error::UploadLocked) => {
                held.release().await;
                // Whoever took this process for dead may have made the object; or the bucket is
                // another one now.
                let row = self.resumable_row(id).await?;
                if row.completed {
                    Ok(Resumable::of(id.clone(), &row))
                } else {
                    Err(Error::UploadLocked)
                }
            }
            Err(error) => {
                held.release().await;
                Err(error)
            }
        }
    }

    async fn commit_resumable(
        &self,
        ctx: &Context,
        id: &ResumableId,
        append: &Append,
        held: &Held,
        permitted: &Permitted,
    ) -> Result<(), Error> {
        let row = &held.row;
        let growth = held.growth()?.ok_or(Error::Internal("a full upload has no notes"))?;
        let length = unsigned(row.received);
        let object = object_of(id, row, Some(length), append.upsert);
        let attributes = object.attributes();
        let blob = id.blob();
        let grown = self.blobs.finish_growing(&blob, &growth, &attributes).await;
        let grown = grown.map_err(of_growing)?;
        if grown.left {
            self.catalog.mark_resumable(&held.turn).await?;
        }
        if grown.size != length {
            let wrong = rowlock_blobs::Error::WrongLength { expected: length, found: grown.size };
            return Err(of_growing(wrong));
        }
        let etag = ETag::new(&grown.etag);
        let mut metadata = object.metadata(&etag, length, OffsetDateTime::now_utc());
        metadata.x_robots_tag.clone_from(&row.robots);
        let written = Written {
            blob: &blob,
            metadata: &metadata,
            user_metadata: &row.user_metadata,
            permitted,
            condition: &object.condition,
            completes: None,
            resumable: Some(held.turn),
            // A failure may be followed by another attempt.
            shared: true,
        };
        self.commit(ctx, &written).await.map(drop)
    }

    /// Removes what has come of an upload, then the upload.
    pub(super) async fn give_up(&self, held: Held, id: &ResumableId) -> Result<(), Error> {
        let ended = match held.growth() {
            Ok(growth) => self.remove_and_end(&held, growth.as_ref(), id).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(true) => {
                held.ended();
                self.wake.notify_one();
                Ok(())
            }
            Ok(false) => {
                held.ended();
                Err(Error::UploadLocked)
            }
            Err(error) => {
                held.release().await;
                Err(error)
            }
        }
    }

    async fn remove_and_end(
        &self,
        held: &Held,
        growth: Option<&rowlock_blobs::Growth>,
        id: &ResumableId,
    ) -> Result<bool, Error> {
        self.blobs.remove_growing(&id.blob(), growth).await?;
        // The blob that it may have become goes through the outbox, if no row names it.
        Ok(self.catalog.end_resumable(&held.turn).await?)
    }

    /// Gives up what nobody went on with in time, and forgets what is done.
    pub(crate) async fn give_up_expired(&self, limit: i64) -> Result<(), Error> {
        let mut last = None;
        loop {
            // What could not be given up keeps nothing behind it.
            let rows = self.catalog.expired_resumables(last, limit).await?;
            for row in &rows {
                self.give_up_if_free(row).await?;
            }
            match rows.last() {
                Some(row) if rows.len() as i64 >= limit => {
                    last = Some((row.expires_at, row.version));
                }
                _ => break,
            }
        }
        loop {
            let rows = self.catalog.forget_completed_resumables(limit).await?;
            for row in &rows {
                if let Some(id) = id_of(row) {
                    // Never the object's blob.
                    self.blobs.remove_growing(&id.blob(), None).await?;
                }
                self.catalog.forget_completed_resumable(row.version).await?;
            }
            if (rows.len() as i64) < limit {
                return Ok(());
            }
        }
    }

    /// Gives an expired upload up, unless somebody has it.
    async fn give_up_if_free(&self, row: &ResumableRow) -> Result<(), Error> {
        let Some(id) = id_of(row) else {
            tracing::error!("an upload's row names a blob that cannot be");
            return Ok(());
        };
        let Some(held) = self.take_expired(row).await? else { return Ok(()) };
        match self.give_up(held, &id).await {
            Ok(()) => {
                let (bucket, key) = (&id.bucket, &id.key);
                tracing::info!(%bucket, %key, "an expired resumable upload was given up");
                Ok(())
            }
            // The others would wait as long.
            Err(error @ (Error::StorageUnavailable(_) | Error::Busy(_) | Error::Catalog(_))) => {
                Err(error)
            }
            Err(error) => {
                tracing::warn!(%error, "an upload could not be given up yet");
                Ok(())
            }
        }
    }
}

fn id_of(row: &ResumableRow) -> Option<ResumableId> {
    Some(ResumableId {
        bucket: BucketName::existing(&row.bucket).ok()?,
        key: ObjectKey::new(&row.name, KeyRules::Utf8).ok()?,
        version: Version::parse(&row.version.to_string()).ok()?,
    })
}
