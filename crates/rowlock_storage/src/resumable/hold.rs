//! A turn at an upload: taken from whoever has it, ended whatever happens.

use super::registry::Slot;
use super::{ResumableId, uuid_of};
use crate::{Error, Storage};
use rowlock_blobs::Growth;
use rowlock_catalog::{HeldResumable, ResumableRow, Wish, resumable_tag};
use std::time::Duration;
use tokio::time::Instant;

/// How long a request waits for another one to let go.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How often another process is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// An upload that is this request's to write to.
pub(crate) struct Held {
    storage: Storage,
    pub(crate) turn: HeldResumable,
    pub(crate) row: ResumableRow,
    pub(crate) slot: Slot,
    open: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.open {
            // The worker ends it in the database.
            self.storage.resumables.lapse(self.turn);
            self.storage.wake.notify_one();
        }
    }
}

impl Held {
    fn new(storage: &Storage, row: ResumableRow, slot: Slot) -> Self {
        let turn =
            HeldResumable { version: row.version, process: storage.process, epoch: row.epoch };
        Self { storage: storage.clone(), turn, row, slot, open: true }
    }

    /// What the store has noted of the blob so far.
    pub(crate) fn growth(&self) -> Result<Option<Growth>, Error> {
        growth_of(&self.row)
    }

    /// Records how far the upload is, and ends the turn if `release` says so.
    pub(crate) async fn record(
        &mut self,
        growth: &Growth,
        length: Option<u64>,
        release: bool,
    ) -> Result<(), Error> {
        let noted = serde_json::to_value(growth)
            .map_err(|_| Error::Internal("the store's notes are no JSON"))?;
        let far = (signed(growth.offset)?, length.map(signed).transpose()?);
        let expiry = self.storage.settings.resumable_expiry;
        let recorded =
            self.storage.catalog.record_resumable(&self.turn, &noted, far, expiry, release).await?;
        match recorded {
            Some(row) => {
                self.row = row;
                self.open = !release;
                Ok(())
            }
            None => {
                // Somebody took this process for dead.
                self.open = false;
                Err(Error::UploadLocked)
            }
        }
    }

    /// Ends the turn.
    pub(crate) async fn release(mut self) {
        match self.storage.catalog.release_resumable(&self.turn).await {
            Ok(_) => self.open = false,
            Err(error) => tracing::warn!(%error, "an upload could not be let go yet"),
        }
    }

    /// Ends the turn, unless it was ended with the last record.
    pub(crate) async fn release_unless_over(self) {
        if self.open {
            self.release().await;
        }
    }

    /// The turn has ended together with the upload.
    pub(crate) fn ended(mut self) -> ResumableRow {
        self.open = false;
        self.row.clone()
    }
}

/// What became of a request for a turn.
pub(crate) enum Taken {
    Held(Box<Held>),
    /// The upload's object is there.
    Completed(Box<ResumableRow>),
}

impl Storage {
    /// Takes the turn at an upload, and has whoever has it let go.
    ///
    /// # Errors
    /// [`Error::UploadLocked`] when that takes too long, [`Error::NoSuchUpload`],
    /// [`Error::UploadExpired`], or the database's.
    pub(crate) async fn take_resumable(&self, id: &ResumableId) -> Result<Taken, Error> {
        let end = Instant::now() + PATIENCE;
        let version = uuid_of(id.version);
        let slot = self.resumables.enter_until(&resumable_tag(version), end).await;
        let slot = slot.ok_or(Error::UploadLocked)?;
        let mut asked: Option<Instant> = None;
        let mut pause = Duration::from_millis(10);
        loop {
            if let Some(row) = self.catalog.take_resumable(version, self.process, false).await? {
                return Ok(Taken::Held(Box::new(Held::new(self, row, slot))));
            }
            let row = self.resumable_row(id).await?;
            if row.completed {
                return Ok(Taken::Completed(Box::new(row)));
            }
            if let Some(holder) = row.holder.filter(|holder| *holder != self.process) {
                let process = self.process;
                let inherited = self.catalog.inherit_resumable(version, process, holder, false);
                if let Some(row) = inherited.await? {
                    tracing::info!("a resumable upload of a dead server goes on here");
                    return Ok(Taken::Held(Box::new(Held::new(self, row, slot))));
                }
                if asked.is_none_or(|at| at.elapsed() >= ASK_AGAIN) {
                    self.catalog.ask_for_resumable(version, Wish::Release).await?;
                    asked = Some(Instant::now());
                }
            }
            if Instant::now() >= end {
                return Err(Error::UploadLocked);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Takes the turn at an upload that has expired, unless anybody has it.
    pub(crate) async fn take_expired(&self, row: &ResumableRow) -> Result<Option<Held>, Error> {
        let Some(slot) = self.resumables.enter(&resumable_tag(row.version)) else {
            return Ok(None);
        };
        let taken = match row.holder.filter(|holder| *holder != self.process) {
            None => self.catalog.take_resumable(row.version, self.process, true).await?,
            Some(holder) => {
                let (version, process) = (row.version, self.process);
                let inherited =
                    self.catalog.inherit_resumable(version, process, holder, true).await?;
                if inherited.is_some() {
                    tracing::info!("an expired resumable upload of a dead server is given up");
                }
                inherited
            }
        };
        Ok(taken.map(|row| Held::new(self, row, slot)))
    }

    /// Ends turns that stand in the database although they are over.
    pub(crate) async fn end_lapsed_turns(&self) {
        for held in self.resumables.lapsed() {
            if let Err(error) = self.catalog.release_resumable(&held).await {
                tracing::warn!(%error, "an upload could not be let go yet");
                self.resumables.lapse(held);
            }
        }
    }

    /// Has all requests of this process that write to resumable uploads record what has come, and
    /// let go, so that clients can go on elsewhere. For the beginning of a shutdown.
    pub async fn release_resumables(&self) {
        let end = Instant::now() + PATIENCE;
        while !self.resumables.release_all() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.end_lapsed_turns().await;
    }

    /// Takes note of what other processes want of the uploads that this one writes to
    /// ([`rowlock_catalog::Presence::asked`]), as long as these can be heard.
    pub fn hear(&self, mut asked: tokio::sync::broadcast::Receiver<rowlock_catalog::Asked>) {
        use tokio::sync::broadcast::error::RecvError;
        let resumables = std::sync::Arc::clone(&self.resumables);
        tokio::spawn(async move {
            loop {
                match asked.recv().await {
                    Ok(asked) => resumables.hear(&asked),
                    // What was missed is found in the rows.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }
}

/// What the store has noted of an upload's blob.
pub(crate) fn growth_of(row: &ResumableRow) -> Result<Option<Growth>, Error> {
    let noted = row.growth.clone().map(serde_json::from_value).transpose();
    noted.map_err(|_| Error::Internal("the store's notes cannot be read"))
}

/// A number of bytes as the database has it.
pub(crate) fn signed(bytes: u64) -> Result<i64, Error> {
    i64::try_from(bytes).map_err(|_| Error::LengthConflict)
}
