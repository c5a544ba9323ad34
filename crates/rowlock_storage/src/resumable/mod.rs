//! Resumable uploads: begun, gone on with over any number of requests, finished like every upload.

mod append;
mod finish;
mod hold;
mod id;
mod intake;
mod registry;

pub use id::{InvalidResumableId, ResumableId};
pub(crate) use registry::Registry;

use crate::limit::{LimitOf, Room, SizeLimit};
use crate::permit::{Asked, Permitted};
use crate::task::detached;
use crate::upload::{NewObject, OwnMetadata, WriteCondition};
use crate::{Context, Error, Storage, UploadStream};
use futures_util::StreamExt;
use hold::Taken;
use rowlock_catalog::{NewResumableRow, ResumableRow, Wish};
use rowlock_types::{RowlockMetadata, UserMetadata, Version};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;

/// How long a question how far an upload is waits for its writer.
const RECORD_PATIENCE: Duration = Duration::from_secs(2);

/// A resumable upload that is to begin.
#[derive(Debug, Clone)]
pub struct NewResumable {
    /// The object that it becomes. Its condition is `Create`, or `None` where an object may be
    /// replaced.
    pub object: NewObject,
    /// Metadata that only REST clients give.
    pub own: OwnMetadata,
    /// The length of the whole in bytes; `None` where it is to be said later.
    pub length: Option<u64>,
    /// What the client said of it, as it is to be answered (`Upload-Metadata`).
    pub upload_metadata: String,
}

/// How far a resumable upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumable {
    /// What it is known by.
    pub id: ResumableId,
    /// The length of the whole in bytes, once it is known.
    pub length: Option<u64>,
    /// Up to where its bytes are durable, which is where it goes on. The whole length only once
    /// the object is there.
    pub offset: u64,
    /// As given at its beginning.
    pub upload_metadata: String,
    /// When it is given up if nothing more comes.
    pub expires_at: OffsetDateTime,
    /// Whether the object is there.
    pub done: bool,
}

/// What a request says of the bytes that it adds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Append {
    /// Where they begin.
    pub offset: u64,
    /// The length of the whole, where that was left open at the beginning.
    pub length: Option<u64>,
    /// Whether an object that lies under the key may be replaced.
    pub upsert: bool,
    /// How many bytes come, where the request says it.
    pub announced: Option<u64>,
}

impl Resumable {
    fn of(id: ResumableId, row: &ResumableRow) -> Self {
        Self {
            id,
            length: row.length.map(unsigned),
            offset: shown_offset(row),
            upload_metadata: row.upload_metadata.clone(),
            expires_at: row.expires_at,
            done: row.completed,
        }
    }
}

/// Where a client is told to go on. Clients take an offset at the end for the whole upload's
/// success, so the last byte counts only once the object is there: it may have to come again.
fn shown_offset(row: &ResumableRow) -> u64 {
    let received = unsigned(row.received);
    if is_full(row) && !row.completed { received.saturating_sub(1) } else { received }
}

/// Whether all bytes are there.
fn is_full(row: &ResumableRow) -> bool {
    row.growth.is_some() && row.length == Some(row.received)
}

fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

/// The object that an upload becomes.
fn object_of(id: &ResumableId, row: &ResumableRow, length: Option<u64>, upsert: bool) -> NewObject {
    NewObject {
        bucket: id.bucket.clone(),
        key: id.key.clone(),
        content_type: row.content_type.clone(),
        cache_control: row.cache_control.clone(),
        user_metadata: UserMetadata::new(),
        extra: RowlockMetadata::default(),
        content_length: length,
        condition: if upsert { WriteCondition::None } else { WriteCondition::Create },
    }
}

impl Storage {
    /// Begins a resumable upload: asks whether the caller may store the object, and notes it. One
    /// of no bytes is finished at once.
    ///
    /// # Errors
    /// As [`Storage::begin_upload`]; as [`Storage::append_resumable`] where there are no bytes.
    pub async fn create_resumable(
        &self,
        ctx: &Context,
        new: NewResumable,
    ) -> Result<Resumable, Error> {
        let NewResumable { mut object, own, length, upload_metadata } = new;
        object.content_length = length;
        let user_metadata = own.user_metadata(&object).to_json();
        let permitted = self.permit_resumable(ctx, &object, &user_metadata, length).await?;
        length.map_or(Ok(()), |length| self.blobs.check_growing(length))?;
        let version = Version::random();
        let row = NewResumableRow {
            version: uuid_of(version),
            bucket: object.bucket.as_str(),
            name: object.key.as_str(),
            length: length.map(hold::signed).transpose()?,
            upload_metadata: &upload_metadata,
            content_type: object.content_type.as_deref(),
            cache_control: object.cache_control.as_deref(),
            user_metadata: &user_metadata,
            robots: own.robots.as_deref(),
            expiry: self.settings.resumable_expiry,
        };
        let row = self.catalog.insert_resumable(&row).await?.ok_or(Error::NoSuchBucket)?;
        let id = ResumableId { bucket: object.bucket.clone(), key: object.key.clone(), version };
        if length != Some(0) {
            return Ok(Resumable::of(id, &row));
        }
        let upsert = object.condition == WriteCondition::None;
        let nothing = Append { upsert, ..Append::default() };
        let body = futures_util::stream::empty().boxed();
        let made = self.write_resumable(ctx, id.clone(), nothing, body, permitted).await;
        if made.is_err() {
            // Nobody was told of it; where this fails, it expires.
            let this = self.clone();
            tokio::spawn(async move {
                if let Err(error) = this.end_resumable(&id).await {
                    tracing::debug!(%error, "a refused upload stays until it expires");
                }
            });
        }
        made
    }

    /// Finds a resumable upload, and how far it is. A request that writes to it records what has
    /// come so far, and goes on.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::UploadExpired`], [`Error::UploadLocked`] for one of no bytes
    /// whose object is not there, or the database's.
    pub async fn find_resumable(&self, id: &ResumableId) -> Result<Resumable, Error> {
        let row = self.resumable_row(id).await?;
        self.how_far(id, row).await
    }

    async fn how_far(&self, id: &ResumableId, mut row: ResumableRow) -> Result<Resumable, Error> {
        if !row.completed && row.holder.is_some() {
            row = self.freshly_recorded(id, row).await?;
        }
        if is_full(&row) && !row.completed && row.received == 0 {
            // There is no byte to be told less of.
            return Err(Error::UploadLocked);
        }
        Ok(Resumable::of(id.clone(), &row))
    }

    /// As [`Storage::find_resumable`], for a caller who may store the object.
    ///
    /// # Errors
    /// As [`Storage::find_resumable`], or the database's refusal.
    pub async fn find_resumable_as(
        &self,
        ctx: &Context,
        id: &ResumableId,
    ) -> Result<Resumable, Error> {
        let row = self.resumable_row(id).await?;
        self.may_store(ctx, id, &row).await?;
        self.how_far(id, row).await
    }

    /// Has the holder of an upload record, and waits a little for it.
    async fn freshly_recorded(
        &self,
        id: &ResumableId,
        before: ResumableRow,
    ) -> Result<ResumableRow, Error> {
        let tag = rowlock_catalog::resumable_tag(before.version);
        let Some(holder) = before.holder else { return Ok(before) };
        if holder == self.process {
            if !self.resumables.tell(&tag, Wish::Record) {
                return self.resumable_row(id).await;
            }
        } else if self.catalog.may_live(holder).await? {
            self.catalog.ask_for_resumable(before.version, Wish::Record).await?;
        } else {
            return Ok(before);
        }
        let end = Instant::now() + RECORD_PATIENCE;
        let mut pause = Duration::from_millis(5);
        loop {
            tokio::time::sleep(pause).await;
            let row = self.resumable_row(id).await?;
            let recorded = row.completed
                || row.holder != before.holder
                || row.epoch != before.epoch
                || row.held_at != before.held_at;
            if recorded || Instant::now() >= end {
                return Ok(row);
            }
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Adds bytes to a resumable upload, and makes the object once they are all there. What has
    /// come is kept when the body breaks off or the caller's future is dropped.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::UploadExpired`], [`Error::OffsetConflict`],
    /// [`Error::LengthConflict`], [`Error::UploadLocked`], [`Error::EntityTooLarge`],
    /// [`Error::Body`], [`Error::PreconditionFailed`] where an object is there and is not to be
    /// replaced, or the database's refusal.
    pub async fn append_resumable(
        &self,
        ctx: &Context,
        id: &ResumableId,
        append: Append,
        body: UploadStream,
    ) -> Result<Resumable, Error> {
        let row = self.resumable_row(id).await?;
        if row.completed {
            self.may_store(ctx, id, &row).await?;
            return completed(id, &row, &append);
        }
        let length = agreed_length(&row, &append)?;
        let object = object_of(id, &row, length, append.upsert);
        let permitted = self.permit_resumable(ctx, &object, &row.user_metadata, length).await?;
        // Where nobody writes, a wrong offset needs no turn to be seen.
        if row.holder.is_none() {
            append::check_offset(&row, &append)?;
            append::check_announced(length, &append)?;
        }
        self.write_resumable(ctx, id.clone(), append, body, permitted).await
    }

    /// Gives a resumable upload up: what has come goes.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::UploadExpired`], [`Error::UploadCompleted`],
    /// [`Error::UploadLocked`], or the database's refusal.
    pub async fn terminate_resumable(&self, ctx: &Context, id: &ResumableId) -> Result<(), Error> {
        let row = self.resumable_row(id).await?;
        self.may_store(ctx, id, &row).await?;
        if row.completed {
            return Err(Error::UploadCompleted);
        }
        let (this, id) = (self.clone(), id.clone());
        detached(async move { this.end_resumable(&id).await }).await
    }

    async fn end_resumable(&self, id: &ResumableId) -> Result<(), Error> {
        match self.take_resumable(id).await? {
            Taken::Held(held) => self.give_up(*held, id).await,
            Taken::Completed(_) => Err(Error::UploadCompleted),
        }
    }

    /// An upload that may go on, or is done.
    async fn resumable_row(&self, id: &ResumableId) -> Result<ResumableRow, Error> {
        let (bucket, name) = (id.bucket.as_str(), id.key.as_str());
        let row = self.catalog.find_resumable(bucket, name, uuid_of(id.version)).await?;
        let row = row.ok_or(Error::NoSuchUpload)?;
        // Whoever writes to it puts its expiry off with the next bytes.
        if row.expired && row.holder.is_none() {
            return Err(Error::UploadExpired);
        }
        Ok(row)
    }

    /// That policies let the caller store the object, whatever lies under its key and however large
    /// it may be by now.
    async fn may_store(
        &self,
        ctx: &Context,
        id: &ResumableId,
        row: &ResumableRow,
    ) -> Result<(), Error> {
        let object = object_of(id, row, row.length.map(unsigned), false);
        match self.permit_resumable(ctx, &object, &row.user_metadata, None).await {
            // Policies would have spoken first.
            Ok(_) | Err(Error::PreconditionFailed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `size`: what limits are to bind.
    async fn permit_resumable(
        &self,
        ctx: &Context,
        object: &NewObject,
        user_metadata: &serde_json::Value,
        size: Option<u64>,
    ) -> Result<Permitted, Error> {
        let asked = Asked {
            bucket: &object.bucket,
            key: &object.key,
            content_type: object.content_type(),
            metadata: &object.announced(),
            user_metadata,
            size,
            condition: &object.condition,
            single: false,
        };
        // Boxed: a slow upload would keep the room for it to its end.
        Box::pin(self.permit(ctx, &asked)).await
    }
}

/// What a request for an upload whose object is there is answered: a repeated last one is content.
fn completed(id: &ResumableId, row: &ResumableRow, append: &Append) -> Result<Resumable, Error> {
    let length = unsigned(row.received);
    let at_end = append.offset == length && append.announced.unwrap_or(0) == 0;
    let last_byte = append.offset.saturating_add(1) == length && append.announced == Some(1);
    if at_end || last_byte {
        return Ok(Resumable::of(id.clone(), row));
    }
    Err(Error::OffsetConflict { offset: length })
}

/// The length of the whole, as it was said before or is said now.
fn agreed_length(row: &ResumableRow, append: &Append) -> Result<Option<u64>, Error> {
    let known = row.length.map(unsigned);
    match (known, append.length) {
        (Some(known), Some(said)) if known != said => Err(Error::LengthConflict),
        (None, Some(said)) if said < unsigned(row.received) => Err(Error::LengthConflict),
        (known, said) => Ok(known.or(said)),
    }
}

/// The bytes of an upload itself, as a limit of theirs.
fn room_within(length: u64) -> Room {
    SizeLimit { bytes: length, of: LimitOf::Request }.into()
}

/// A version as the database has it.
fn uuid_of(version: Version) -> uuid::Uuid {
    version.uuid()
}
