//! Bytes on their way to a blob that grows.

use super::hold::{Held, PATIENCE, Taken};
use super::intake::Intake;
use super::{
    Append, Resumable, ResumableId, agreed_length, completed, is_full, room_within, shown_offset,
    unsigned,
};
use crate::limit::Room;
use crate::permit::Permitted;
use crate::receive::UploadStream;
use crate::task::detached;
use crate::{Context, Error, Storage};
use bytes::Bytes;
use rowlock_blobs::{BlobAttributes, Grower, Growth};
use rowlock_catalog::{ResumableRow, Wish};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// After so many bytes, but not more often than once a second, or so long, what is cheap to be made
/// durable is, and recorded.
const RECORD_BYTES: u64 = 16 * 1024 * 1024;
const RECORD_AGAIN: Duration = Duration::from_secs(1);
const RECORD_AFTER: Duration = Duration::from_secs(10);

/// After so long all of it is, which on an S3 service costs a request for what fills no part.
const SYNC_AFTER: Duration = Duration::from_secs(60);

/// Before which the same is not done again for those who ask how far the upload is.
const SYNC_AGAIN: Duration = Duration::from_secs(5);

/// An upload that a request may write to, and what it says of it.
struct Task {
    storage: Storage,
    id: ResumableId,
    append: Append,
    length: Option<u64>,
    limit: Option<Room>,
    attributes: BlobAttributes,
}

/// Why no more bytes are taken.
enum Stop {
    Ended,
    /// Another request wants to go on.
    Released,
    Failed(Error),
}

/// Refuses bytes that do not begin where the upload ends.
pub(super) fn check_offset(row: &ResumableRow, append: &Append) -> Result<(), Error> {
    let received = unsigned(row.received);
    // The last byte may come again before the object is there.
    if append.offset == received || is_full(row) && append.offset == shown_offset(row) {
        return Ok(());
    }
    Err(Error::OffsetConflict { offset: shown_offset(row) })
}

/// That what is announced fits into the whole; asked after the offset, since clients repair a wrong
/// one by themselves.
pub(super) fn check_announced(length: Option<u64>, append: &Append) -> Result<(), Error> {
    match (length, append.announced) {
        (Some(length), Some(announced)) => {
            room_within(length).check(append.offset.saturating_add(announced))
        }
        _ => Ok(()),
    }
}

impl Storage {
    /// Takes the turn, adds the bytes, and makes the object once all are there; in a task of its
    /// own, since what has come is to be recorded however the request ends.
    pub(super) async fn write_resumable(
        &self,
        ctx: &Context,
        id: ResumableId,
        append: Append,
        body: UploadStream,
        permitted: Permitted,
    ) -> Result<Resumable, Error> {
        let (this, ctx) = (self.clone(), ctx.clone());
        detached(async move {
            let mut held = match this.take_resumable(&id).await? {
                Taken::Held(held) => held,
                Taken::Completed(row) => return completed(&id, &row, &append),
            };
            let task = match Task::new(&this, &id, append, &held.row, &permitted) {
                Ok(task) => task,
                Err(error) => {
                    held.release().await;
                    return Err(error);
                }
            };
            let written = if is_full(&held.row) {
                task.skip(&held, body).await.map(|()| true)
            } else {
                task.write(&mut held, body).await
            };
            match written {
                // All is there: the object is made, or why it cannot be is the answer.
                Ok(true) => this.finish_resumable(&ctx, &id, &append, *held, &permitted).await,
                Ok(false) => Ok(Resumable::of(id, &held.ended())),
                Err(error) => {
                    held.release_unless_over().await;
                    Err(error)
                }
            }
        })
        .await
    }
}

impl Task {
    fn new(
        storage: &Storage,
        id: &ResumableId,
        append: Append,
        row: &ResumableRow,
        permitted: &Permitted,
    ) -> Result<Self, Error> {
        check_offset(row, &append)?;
        let length = agreed_length(row, &append)?;
        if let (None, Some(told)) = (row.length, length) {
            storage.blobs.check_growing(told)?;
        }
        check_announced(length, &append)?;
        let limit = permitted.limit.map(Room::from);
        if let (Some(limit), Some(length)) = (limit, length) {
            limit.check(length)?;
        }
        let attributes = BlobAttributes {
            content_type: row.content_type.clone(),
            cache_control: row.cache_control.clone(),
        };
        Ok(Self { storage: storage.clone(), id: id.clone(), append, length, limit, attributes })
    }

    /// Reads what comes of a last byte that is there already.
    async fn skip(&self, held: &Held, body: UploadStream) -> Result<(), Error> {
        let (mut intake, mut offset) = (Intake::new(body), self.append.offset);
        loop {
            tokio::select! {
                biased;
                wish = held.slot.wish() => match wish {
                    Wish::Release => return Err(Error::UploadLocked),
                    Wish::Record => {}
                },
                piece = intake.pull() => match piece? {
                    Some(piece) => offset = self.after(offset, &piece)?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Where the upload ends with these bytes, if they fit.
    fn after(&self, offset: u64, piece: &Bytes) -> Result<u64, Error> {
        let end = offset.saturating_add(piece.len() as u64);
        for room in [self.length.map(room_within), self.limit].into_iter().flatten() {
            if !room.holds(end) {
                return Err(Error::EntityTooLarge { limit: room.limit, size: None });
            }
        }
        Ok(end)
    }

    /// Where the blob is to go on: at what is noted of it, or at its beginning.
    async fn begin(&self, held: &mut Held) -> Result<Growth, Error> {
        if let Some(growth) = held.growth()? {
            return Ok(growth);
        }
        let (blobs, blob) = (&self.storage.blobs, self.id.blob());
        if held.turn.epoch > 1 {
            // A turn before may have begun it, and not come to record it.
            blobs.remove_growing(&blob, None).await?;
        }
        let (length, first) = (self.length, self.append.announced);
        let growth = blobs.create_growing(&blob, &self.attributes, length, first).await?;
        held.record(&growth, self.length, false).await?;
        Ok(growth)
    }

    /// A writer; whoever was taken for dead and lives may need a moment to find out.
    async fn grower(&self, growth: &Growth) -> Result<Box<dyn Grower>, Error> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.storage.blobs.grow(&self.id.blob(), growth).await {
                Err(rowlock_blobs::Error::Busy { .. }) if Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(rowlock_blobs::Error::Busy { .. }) => return Err(Error::UploadLocked),
                other => return other.map_err(of_growing),
            }
        }
    }

    /// Writes the body; whether the upload is full then. If it is not, the turn is over.
    async fn write(&self, held: &mut Held, body: UploadStream) -> Result<bool, Error> {
        let growth = self.begin(held).await?;
        let mut grower = self.grower(&growth).await?;
        let mut intake = Intake::new(body);
        let mut offset = growth.offset;
        let mut stop = self.pour(held, &mut intake, grower.as_mut(), &mut offset).await;
        // What was read and not written; where writing fails, what was written before still counts.
        let rest = intake.rest();
        if !rest.is_empty() && !is_too_long(&stop) && !is_lost(&stop) {
            match self.after(offset, &rest) {
                Ok(end) => match grower.write(rest).await {
                    Ok(()) => offset = end,
                    Err(error) => stop = stop.or(of_growing(error)),
                },
                Err(error) => stop = stop.or(error),
            }
        }
        if is_lost(&stop) {
            return stop.into_result();
        }
        let all = Some(offset) == self.length;
        let growth = match grower.sync(all).await {
            Ok(growth) => growth,
            Err(error) => {
                // What is known to be durable.
                stop = stop.or(of_growing(error));
                grower.sync(false).await.map_err(of_growing)?
            }
        };
        // Others may go on from here on.
        drop(grower);
        // Of a body that is longer than it may be nobody knows what it is.
        let full = Some(growth.offset) == self.length && !is_too_long(&stop);
        held.record(&growth, self.length, !full).await?;
        if full { Ok(true) } else { stop.into_result() }
    }

    /// Reads and writes side by side, and records now and then.
    async fn pour(
        &self,
        held: &mut Held,
        intake: &mut Intake,
        grower: &mut dyn Grower,
        offset: &mut u64,
    ) -> Stop {
        let mut ready = Bytes::new();
        let mut since = 0;
        let mut recorded = Instant::now();
        let mut due = recorded + RECORD_AFTER;
        // The first question is answered with all there is.
        let mut synced: Option<Instant> = None;
        let began = Instant::now();
        loop {
            let piece = std::mem::take(&mut ready);
            let (arrived, end) = (piece.len() as u64, *offset);
            let writing =
                async { if piece.is_empty() { Ok(()) } else { grower.write(piece).await } };
            let reading = async {
                tokio::select! {
                    biased;
                    wish = held.slot.wish() => Next::Wish(wish),
                    () = sleep_until(due) => Next::Due,
                    piece = intake.pull() => Next::Piece(piece),
                }
            };
            let (written, next) = futures_util::join!(writing, reading);
            if let Err(error) = written {
                return Stop::Failed(of_growing(error));
            }
            *offset = end + arrived;
            since += arrived;
            let mut whole = false;
            match next {
                Next::Piece(Ok(Some(piece))) => {
                    if let Err(error) = self.after(*offset, &piece) {
                        return Stop::Failed(error);
                    }
                    ready = piece;
                }
                Next::Piece(Ok(None)) => return Stop::Ended,
                Next::Piece(Err(error)) => return Stop::Failed(error),
                Next::Wish(Wish::Release) => return Stop::Released,
                // Whoever asks again and again is told what costs little.
                Next::Wish(Wish::Record) => {
                    whole = synced.is_none_or(|at| at.elapsed() >= SYNC_AGAIN);
                    due = Instant::now();
                }
                Next::Due => whole = synced.unwrap_or(began).elapsed() >= SYNC_AFTER,
            }
            let much = since >= RECORD_BYTES && recorded.elapsed() >= RECORD_AGAIN;
            if !whole && !much && Instant::now() < due {
                continue;
            }
            if whole {
                synced = Some(Instant::now());
            }
            (since, recorded) = (0, Instant::now());
            due = recorded + RECORD_AFTER;
            match self.record_midway(held, grower, whole).await {
                // Somebody waits, whom nobody has heard.
                Ok(()) if held.row.wanted => {
                    return Stop::Released.with(ready, grower, offset).await;
                }
                Ok(()) => {}
                Err(error) => return Stop::Failed(error),
            }
        }
    }

    async fn record_midway(
        &self,
        held: &mut Held,
        grower: &mut dyn Grower,
        whole: bool,
    ) -> Result<(), Error> {
        let growth = if whole { grower.sync(false).await } else { grower.checkpoint().await };
        held.record(&growth.map_err(of_growing)?, self.length, false).await
    }
}

/// What comes next while a piece is being written.
enum Next {
    Piece(Result<Option<Bytes>, Error>),
    Wish(Wish),
    Due,
}

impl Stop {
    /// The first failure is the one to tell.
    fn or(self, error: Error) -> Self {
        match self {
            Self::Failed(first) => Self::Failed(first),
            Self::Ended | Self::Released => Self::Failed(error),
        }
    }

    /// Writes a piece that is ready before the stop.
    async fn with(self, piece: Bytes, grower: &mut dyn Grower, offset: &mut u64) -> Self {
        let arrived = piece.len() as u64;
        match grower.write(piece).await {
            Ok(()) => {
                *offset += arrived;
                self
            }
            Err(error) => self.or(of_growing(error)),
        }
    }

    /// Of an upload that is not full.
    fn into_result(self) -> Result<bool, Error> {
        match self {
            Self::Ended => Ok(false),
            Self::Released => Err(Error::UploadLocked),
            Self::Failed(error) => Err(error),
        }
    }
}

/// Whether there is nothing more to record: the turn is somebody else's now, the store has nothing
/// of the blob, or the last growth could not be recorded. A store may forget what an older one needs
/// once it is asked for the next.
fn is_lost(stop: &Stop) -> bool {
    let Stop::Failed(error) = stop else { return false };
    match error {
        Error::UploadLocked | Error::Catalog(_) | Error::Internal(_) => true,
        Error::StorageUnavailable(error) => is_missing(error),
        _ => false,
    }
}

/// Whether a store says that it has nothing of a blob that grows, or not all of it.
fn is_missing(error: &rowlock_blobs::Error) -> bool {
    use rowlock_blobs::Error::{NotFound, PartNotFound, UploadNotFound, WrongLength};
    matches!(error, NotFound | UploadNotFound | PartNotFound(_) | WrongLength { .. })
}

fn is_too_long(stop: &Stop) -> bool {
    matches!(stop, Stop::Failed(Error::EntityTooLarge { .. }))
}

/// What a store says of a blob that grows. What it does not have now it may have later, as where a
/// volume is not mounted: nobody gives an upload up for that before it expires.
pub(super) fn of_growing(error: rowlock_blobs::Error) -> Error {
    if is_missing(&error) {
        tracing::warn!(%error, "what was received of an upload is not there");
        return Error::StorageUnavailable(error);
    }
    error.into()
}
