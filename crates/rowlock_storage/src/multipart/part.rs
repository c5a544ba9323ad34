use super::{Address, Pending};
use crate::copy::upload_stream;
use crate::limit::Room;
use crate::permit::{Asked, DEFAULT_TYPE};
use crate::receive::{Expected, UploadStream, receive};
use crate::task::detached;
use crate::upload::WriteCondition;
use crate::{ChecksumFault, Context, DEFAULT_CHECKSUM, Error, Object, Storage, WantedChecksum};
use rowlock_blobs::{BlobWriter, StagedPart};
use rowlock_catalog::OtherParts;
use rowlock_digest::{Algorithm, Checksum};
use rowlock_types::{BucketName, ETag, ObjectKey, UploadId};
use serde_json::json;
use std::ops::Range;
use time::OffsetDateTime;

/// How often the store is asked for one part, while others of its number are recorded.
const ASKED_MOST: u32 = 5;

/// A stored part.
#[derive(Debug, Clone)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u32,
    /// Entity tag, quoted.
    pub etag: ETag,
    /// Length in bytes.
    pub size: u64,
    /// When it was stored.
    pub last_modified: OffsetDateTime,
    /// Its S3 checksum, where it has one.
    pub checksum: Option<Checksum>,
}

/// A permitted part that waits for its bytes.
#[derive(Debug)]
pub struct PartUpload {
    storage: Storage,
    ctx: Context,
    pending: Pending,
    number: u32,
    room: Option<Room>,
    /// By which record the part was stored before its bytes were sent, if it was.
    before: Option<String>,
}

impl Storage {
    /// Asks whether the caller may store this part. `content_length` in bytes, where known.
    ///
    /// # Errors
    /// [`Error::NoSuchUpload`], [`Error::EntityTooLarge`], or the database's refusal.
    pub async fn begin_part(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        content_length: Option<u64>,
    ) -> Result<PartUpload, Error> {
        let others = OtherParts {
            number: i32::try_from(number).map_err(|_| Error::InvalidPart(number))?,
            always: self.settings.max_object_bytes.is_some(),
        };
        let names = (bucket.as_str(), key.as_str(), upload.as_str());
        let found = self
            .catalog
            .find_upload_and_sum(&ctx.scope(), names.0, names.1, names.2, others)
            .await?;
        let (row, stored) = found.ok_or(Error::NoSuchUpload)?;
        let pending = Pending::own(ctx, Address { bucket, key, upload }, row)?;
        // An upload that is too large with this part can be completed with it no more.
        let taken = u64::try_from(stored.others).unwrap_or(0);
        let room = self.limit(pending.row.file_size_limit, false);
        let room = room.map(|limit| Room { limit, taken });
        if let Some(room) = room {
            room.check(content_length.unwrap_or(0))?;
        }
        if !ctx.caller.is_service {
            self.permit_pending(ctx, &pending, content_length).await?;
        }
        let before = stored.mark;
        Ok(PartUpload { storage: self.clone(), ctx: ctx.clone(), pending, number, room, before })
    }

    /// Asks the policies whether the caller may (still) write the object that an upload becomes.
    pub(crate) async fn permit_pending(
        &self,
        ctx: &Context,
        pending: &Pending,
        content_length: Option<u64>,
    ) -> Result<crate::permit::Permitted, Error> {
        let content_type = pending.metadata.mimetype.as_deref().unwrap_or(DEFAULT_TYPE);
        let mut metadata = json!({ "mimetype": content_type });
        if let Some(length) = content_length {
            metadata["contentLength"] = length.into();
        }
        let asked = Asked {
            bucket: &pending.blob.blob.bucket,
            key: &pending.blob.blob.key,
            content_type,
            metadata: &metadata,
            user_metadata: &pending.user_metadata,
            size: None,
            condition: &WriteCondition::None,
            single: false,
        };
        self.permit(ctx, &asked).await
    }

    /// Stores a range of an existing object as a part. The source was found, and its conditions
    /// were checked, before.
    ///
    /// # Errors
    /// As [`Storage::begin_part`]; [`Error::NoSuchKey`] when the source's blob is gone.
    #[expect(clippy::too_many_arguments, reason = "they are the operation's own parameters")]
    pub async fn copy_part(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        source: &Object,
        range: Range<u64>,
    ) -> Result<Part, Error> {
        let length = range.end.saturating_sub(range.start);
        let part = self.begin_part(ctx, bucket, key, upload, number, Some(length)).await?;
        let from = source.blob.as_ref().ok_or(Error::NoSuchKey)?;
        // A checksum that is asked for takes the bytes; the default one is not worth them.
        let to = &part.pending.blob;
        if part.pending.checksum().is_none()
            && let Some(staged) =
                self.blobs.copy_part(from, source.size, range.clone(), to, number).await?
        {
            let whole = range == (0..source.size);
            let known = whole.then(|| default_checksum(source)).flatten();
            return detached(part.publish(
                staged,
                source.etag.clone(),
                length,
                known.into_iter().collect(),
            ))
            .await;
        }
        // Of a range nothing is known that its bytes could be compared with.
        let whole = range == (0..source.size);
        let stored = whole.then(|| crate::checksum::of_object(source)).flatten();
        let body = self.read_blob(source, range).await?;
        let expected = Expected { length: Some(length), stored, ..Expected::default() };
        part.receive(upload_stream(body), expected).await
    }
}

impl PartUpload {
    /// Receives the part's body, verifies it, makes it durable and records it.
    ///
    /// # Errors
    /// As [`crate::Upload::receive`]; [`Error::NoSuchUpload`] when it was aborted meanwhile.
    pub async fn receive(self, body: UploadStream, mut expected: Expected) -> Result<Part, Error> {
        let wanted = self.pending.checksum();
        if let (Some(WantedChecksum { algorithm, .. }), Some(actual)) = (wanted, expected.claimed())
            && actual != algorithm
        {
            return Err(ChecksumFault::Algorithm { expected: algorithm, actual }.into());
        }
        let own = wanted.unwrap_or(DEFAULT_CHECKSUM).algorithm;
        expected.compute = Some(own);
        let (blob, length) = (&self.pending.blob, expected.length);
        let writer = self.storage.blobs.part_writer(blob, self.number, length);
        let (writer, received) = receive(body, writer, &expected, self.room).await?;
        let etag = ETag::from_md5(&received.md5());
        // What the client sent is its answer; what the object's checksum is made of is kept too.
        let mut checksums: Vec<Checksum> = received.checksum.iter().cloned().collect();
        if expected.claimed().is_some_and(|claimed| claimed != own) {
            checksums.extend(received.digests.checksum(own));
        }
        detached(self.finish(writer, etag, received.size, checksums)).await
    }

    /// The part gets its place and its row in one step, under a lock: two writers of one part
    /// leave the bytes and the row of the same one.
    async fn finish(
        self,
        writer: Box<dyn BlobWriter>,
        etag: ETag,
        size: u64,
        checksums: Vec<Checksum>,
    ) -> Result<Part, Error> {
        let staged: Box<dyn StagedPart> = writer.stage(etag.bare()).await?;
        self.publish(staged, etag, size, checksums).await
    }

    /// `checksums`: the part's own first.
    async fn publish(
        self,
        mut staged: Box<dyn StagedPart>,
        etag: ETag,
        size: u64,
        checksums: Vec<Checksum>,
    ) -> Result<Part, Error> {
        let number = i32::try_from(self.number).map_err(|_| Error::InvalidPart(self.number))?;
        let bytes = i64::try_from(size).map_err(|_| Error::InvalidPart(self.number))?;
        // Where a part takes its place when it is staged, another one of its number may have been
        // staged after it and recorded before it. It was recorded since this one began then: the
        // store is only asked where that is so, and nothing of the database's is held meanwhile.
        let ordered = !self.storage.blobs.writes_in_place();
        let (mut known, mut asked) = (self.before.clone(), 0);
        let record = loop {
            let record = self.storage.catalog.begin_part(&self.pending.row, number).await?;
            let record = record.ok_or(Error::NoSuchUpload)?;
            if ordered || record.mark() == known.as_deref() {
                break record;
            }
            known = record.mark().map(str::to_owned);
            record.leave().await?;
            if asked == ASKED_MOST {
                return Err(Error::Busy("recording a part"));
            }
            asked += 1;
            // The other one's record stands, or is to come.
            if !staged.is_in_place().await? {
                return Ok(self.replaced(staged.publish().await?, etag, size, checksums));
            }
        };
        // What Complete has to name is the tag that the store gave, where it gives tags.
        let etag = staged.publish().await?.map_or(etag, |given| ETag::new(&given));
        let column = crate::checksum::to_column(&checksums);
        let scope = self.ctx.scope();
        let last_modified = record.record(&scope, etag.bare(), bytes, column.as_deref()).await?;
        let checksum = checksums.into_iter().next();
        Ok(Part { number: self.number, etag, size, last_modified, checksum })
    }

    /// The answer to a part that was stored, and replaced at once.
    fn replaced(
        &self,
        given: Option<String>,
        etag: ETag,
        size: u64,
        checksums: Vec<Checksum>,
    ) -> Part {
        let etag = given.map_or(etag, |given| ETag::new(&given));
        let (last_modified, checksum) = (OffsetDateTime::now_utc(), checksums.into_iter().next());
        Part { number: self.number, etag, size, last_modified, checksum }
    }
}

/// The default checksum of a source that has one of all its bytes.
fn default_checksum(source: &Object) -> Option<Checksum> {
    let stored = source.metadata.rowlock.as_ref()?.checksum.as_ref()?;
    let algorithm = stored.algorithm.parse::<Algorithm>().ok()?;
    let fits = WantedChecksum { algorithm, kind: stored.kind } == DEFAULT_CHECKSUM;
    Checksum::parse(algorithm, &stored.value).ok().filter(|_| fits)
}
