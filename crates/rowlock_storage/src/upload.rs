use crate::ledger::Begun;
use crate::limit::{LimitOf, Room, SizeLimit};
use crate::permit::{Asked, DEFAULT_TYPE, Permitted};
use crate::receive::{Expected, UploadStream, receive};
use crate::task::detached;
use crate::{Context, Error, Storage};
use rowlock_blobs::{BlobAttributes, BlobKey, BlobWriter};
use rowlock_types::{
    BucketName, ETag, ObjectKey, ObjectMetadata, RowlockMetadata, StoredChecksum, UserMetadata,
    UserMetadataJson, Version,
};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

/// What a client wants to store, before its bytes come.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// The bucket it goes to.
    pub bucket: BucketName,
    /// Its key.
    pub key: ObjectKey,
    /// Content type (the default `application/octet-stream` is filled in).
    pub content_type: Option<String>,
    /// `Cache-Control` (the default `no-cache` is filled in).
    pub cache_control: Option<String>,
    /// User metadata.
    pub user_metadata: UserMetadata,
    /// What has no column of its own.
    pub extra: RowlockMetadata,
    /// Announced length in bytes, where the request says it.
    pub content_length: Option<u64>,
    /// A condition on what is stored under the key, decided when the write is committed.
    pub condition: WriteCondition,
}

/// A condition of a write (`If-Match`, `If-None-Match`; S3 user guide, "conditional writes").
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WriteCondition {
    /// Whatever is there is replaced.
    #[default]
    None,
    /// `If-None-Match: *`: nothing may be there.
    Absent,
    /// REST without upsert: nothing may be there, and the right to insert is enough.
    Create,
    /// `If-Match`: an object with one of these tags must be there.
    Matches(Vec<ETag>),
}

/// A permitted upload that waits for its bytes.
#[derive(Debug)]
pub struct Upload {
    storage: Storage,
    ctx: Context,
    new: NewObject,
    own: OwnMetadata,
    permitted: Permitted,
}

/// Metadata that only REST clients give.
#[derive(Debug, Clone, Default)]
pub struct OwnMetadata {
    /// User metadata as whatever JSON object, in the place of [`NewObject::user_metadata`].
    pub user_metadata: Option<serde_json::Value>,
    /// An `X-Robots-Tag` of the object's own.
    pub robots: Option<String>,
}

/// A committed upload.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// Entity tag, quoted.
    pub etag: ETag,
    /// Length in bytes.
    pub size: u64,
    /// The new version.
    pub version: Version,
    /// When it was written.
    pub last_modified: OffsetDateTime,
    /// Its S3 checksum, where there is one.
    pub checksum: Option<StoredChecksum>,
}

/// A committed upload and its row.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The row's id, which outlives versions.
    pub id: Uuid,
    /// The upload.
    pub uploaded: Uploaded,
}

impl NewObject {
    pub(crate) fn content_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or(DEFAULT_TYPE)
    }

    /// What policies see of the object before its bytes are there. `size` is our extension, where
    /// it is known.
    pub(crate) fn announced(&self) -> serde_json::Value {
        let mut metadata = json!({ "mimetype": self.content_type() });
        if let Some(length) = self.content_length {
            metadata["contentLength"] = length.into();
            metadata["size"] = length.into();
        }
        if let Ok(extra) = serde_json::to_value(&self.extra)
            && !self.extra.is_empty()
        {
            metadata["rowlock"] = extra;
        }
        metadata
    }

    pub(crate) fn attributes(&self) -> BlobAttributes {
        BlobAttributes {
            content_type: self.content_type.clone(),
            cache_control: self.cache_control.clone(),
        }
    }

    /// The metadata of the stored object.
    pub(crate) fn metadata(&self, etag: &ETag, size: u64, at: OffsetDateTime) -> ObjectMetadata {
        ObjectMetadata {
            e_tag: Some(etag.to_string()),
            size: Some(size),
            mimetype: Some(self.content_type().to_owned()),
            cache_control: Some(self.cache_control.clone().unwrap_or_else(|| "no-cache".into())),
            last_modified: Some(iso(at)),
            content_length: Some(size),
            http_status_code: Some(200),
            x_robots_tag: None,
            rowlock: (!self.extra.is_empty()).then(|| self.extra.clone()),
        }
    }
}

/// RFC 3339 in UTC with milliseconds, as the reference writes times into metadata.
pub(crate) fn iso(at: OffsetDateTime) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

impl Storage {
    /// Asks whether the caller may store this object: bucket, limits, policies. Nothing is
    /// written, no byte of the body is read, and no connection is held afterwards.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::EntityTooLarge`], [`Error::InvalidMimeType`],
    /// [`Error::PreconditionFailed`], or the database's refusal.
    pub async fn begin_upload(&self, ctx: &Context, new: NewObject) -> Result<Upload, Error> {
        self.begin_upload_with(ctx, new, OwnMetadata::default()).await
    }

    /// As [`begin_upload`](Self::begin_upload), with metadata that S3 has no words for.
    ///
    /// # Errors
    /// As there.
    pub async fn begin_upload_with(
        &self,
        ctx: &Context,
        new: NewObject,
        own: OwnMetadata,
    ) -> Result<Upload, Error> {
        let asked = Asked {
            bucket: &new.bucket,
            key: &new.key,
            content_type: new.content_type(),
            metadata: &new.announced(),
            user_metadata: own.user_metadata(&new),
            size: new.content_length,
            condition: &new.condition,
            single: true,
        };
        // Boxed: a slow upload would keep the room for it to its end.
        let permitted = Box::pin(self.permit(ctx, &asked)).await?;
        Ok(Upload { storage: self.clone(), ctx: ctx.clone(), new, own, permitted })
    }
}

impl OwnMetadata {
    pub(crate) fn user_metadata<'a>(&'a self, new: &'a NewObject) -> &'a dyn UserMetadataJson {
        match &self.user_metadata {
            Some(json) => json,
            None => &new.user_metadata,
        }
    }
}

impl Upload {
    /// Binds the upload to a limit of the protocol's own, in bytes.
    #[must_use]
    pub fn at_most(mut self, bytes: u64) -> Self {
        let own = SizeLimit { bytes, of: LimitOf::Request };
        let other = self.permitted.limit.filter(|limit| limit.bytes < bytes);
        self.permitted.limit = Some(other.unwrap_or(own));
        self
    }

    /// Receives the body, verifies it, makes it durable and commits its row. If the caller's
    /// future is dropped, nothing is left behind, or the commit finishes on its own.
    ///
    /// # Errors
    /// What [`Expected`] did not find true, [`Error::Body`], [`Error::EntityTooLarge`],
    /// [`Error::PreconditionFailed`], or the database's refusal. Nothing of the body stays then.
    pub async fn receive(self, body: UploadStream, expected: Expected) -> Result<Uploaded, Error> {
        Ok(self.store(body, expected).await?.uploaded)
    }

    /// As [`receive`](Self::receive), with the row's id.
    ///
    /// # Errors
    /// As there.
    pub async fn store(mut self, body: UploadStream, expected: Expected) -> Result<Stored, Error> {
        let version = Version::random();
        let blob = BlobKey {
            bucket: self.new.bucket.clone(),
            key: self.new.key.clone(),
            version: Some(version),
        };
        let attributes = self.new.attributes();
        let begun = self.storage.begin_write(&blob).await?;
        let writer = self.storage.blobs.writer(&blob, &attributes, expected.length);
        let room = self.permitted.limit.map(Room::from);
        let (writer, received) = receive(body, writer, &expected, room).await?;
        let etag = ETag::from_md5(&received.md5());
        self.new.extra.checksum = received.checksum.as_ref().map(crate::checksum::of_bytes);
        detached(self.finish(begun, writer, blob, version, etag, received.size)).await
    }

    async fn finish(
        self,
        begun: Begun,
        writer: Box<dyn BlobWriter>,
        blob: BlobKey,
        version: Version,
        etag: ETag,
        size: u64,
    ) -> Result<Stored, Error> {
        writer.finish().await?;
        begun.goes_to_commit();
        let at = OffsetDateTime::now_utc();
        let mut metadata = self.new.metadata(&etag, size, at);
        metadata.x_robots_tag.clone_from(&self.own.robots);
        let written = crate::commit::Written {
            blob: &blob,
            metadata: &metadata,
            user_metadata: self.own.user_metadata(&self.new),
            permitted: &self.permitted,
            condition: &self.new.condition,
            completes: None,
            resumable: None,
            shared: false,
        };
        let id = self.storage.commit(&self.ctx, &written).await?;
        let checksum = self.new.extra.checksum;
        let uploaded = Uploaded { etag, size, version, last_modified: at, checksum };
        Ok(Stored { id, uploaded })
    }
}
