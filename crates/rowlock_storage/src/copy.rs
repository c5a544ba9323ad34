use crate::commit::Written;
use crate::permit::{Asked, Permitted};
use crate::receive::{Expected, receive};
use crate::task::detached;
use crate::upload::{NewObject, WriteCondition};
use crate::{BodyError, Context, Error, Object, OwnMetadata, Storage, Tags, Uploaded};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use rowlock_blobs::{BlobBody, BlobKey};
use rowlock_catalog::FullRow;
use rowlock_digest::{Algorithm, Checksum};
use rowlock_types::{
    BucketName, ChecksumType, ETag, ObjectKey, RowlockMetadata, UserMetadata, Version,
};
use time::OffsetDateTime;

/// Where the copy's metadata comes from (`x-amz-metadata-directive`).
#[expect(clippy::large_enum_variant, reason = "there is one for each copy, and it is moved once")]
#[derive(Debug, Clone)]
pub enum CopyMetadata {
    /// `COPY`: the source's.
    Source,
    /// The source's, but for `x-amz-website-redirect-location`.
    Redirected(Option<String>),
    /// `REPLACE`: these.
    Replace {
        /// Content type.
        content_type: Option<String>,
        /// `Cache-Control`.
        cache_control: Option<String>,
        /// User metadata.
        user_metadata: UserMetadata,
        /// What has no column of its own.
        extra: RowlockMetadata,
    },
}

/// A copy to make. The source was found, and its conditions were checked, by the caller of this
/// method (see [`Storage::find_object`]).
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// The bucket it goes to.
    pub bucket: BucketName,
    /// The key it gets.
    pub key: ObjectKey,
    /// Metadata of the copy.
    pub metadata: CopyMetadata,
    /// A condition on the target.
    pub condition: WriteCondition,
    /// The copy's tags (`x-amz-tagging-directive`); `None`: the source's.
    pub tags: Option<Tags>,
    /// The algorithm of the copy's S3 checksum; `None`: the source's, if it has one.
    pub checksum: Option<Algorithm>,
}

/// A committed copy.
pub type Copied = Uploaded;

impl Storage {
    /// Copies an object that the caller may read to where it may write.
    ///
    /// # Errors
    /// As for an upload; [`Error::NoSuchKey`] when the source's blob is gone.
    pub async fn copy_object(
        &self,
        ctx: &Context,
        source: &Object,
        request: CopyRequest,
    ) -> Result<Copied, Error> {
        let own = match request.metadata {
            CopyMetadata::Source | CopyMetadata::Redirected(_) => OwnMetadata {
                user_metadata: source.user_json.clone(),
                robots: source.metadata.x_robots_tag.clone(),
            },
            CopyMetadata::Replace { .. } => OwnMetadata::default(),
        };
        Ok(self.copy_object_with(ctx, source, request, own, false).await?.0)
    }

    /// As [`copy_object`](Self::copy_object), with metadata that S3 has no words for; and with the
    /// row, if it is wanted and no more than that had to be asked for.
    pub(crate) async fn copy_object_with(
        &self,
        ctx: &Context,
        source: &Object,
        request: CopyRequest,
        own: OwnMetadata,
        whole: bool,
    ) -> Result<(Copied, Option<FullRow>), Error> {
        let wanted = wanted_checksum(source, request.checksum);
        let new = target(source, request);
        // Policies see the whole metadata that the copy will have, as far as it is known.
        let now = OffsetDateTime::now_utc();
        let tested = serde_json::to_value(new.metadata(&source.etag, source.size, now))
            .map_err(|_| Error::Internal("metadata is no JSON"))?;
        let asked = Asked {
            bucket: &new.bucket,
            key: &new.key,
            content_type: new.content_type(),
            metadata: &tested,
            user_metadata: own.user_metadata(&new),
            size: Some(source.size),
            condition: &new.condition,
            single: false,
        };
        let permitted = self.permit(ctx, &asked).await?;
        let (this, ctx, source) = (self.clone(), ctx.clone(), source.clone());
        let copy =
            async move { this.copy(&ctx, &source, new, &own, &permitted, wanted, whole).await };
        detached(copy).await
    }

    #[expect(clippy::too_many_arguments, reason = "what a copy needs, handed on once")]
    async fn copy(
        &self,
        ctx: &Context,
        source: &Object,
        mut new: NewObject,
        own: &OwnMetadata,
        permitted: &Permitted,
        wanted: Option<Algorithm>,
        whole: bool,
    ) -> Result<(Copied, Option<FullRow>), Error> {
        let version = Version::random();
        let blob =
            BlobKey { bucket: new.bucket.clone(), key: new.key.clone(), version: Some(version) };
        let begun = self.begin_write(&blob).await?;
        let joined = source.etag.bare().contains('-');
        // The copy of a multipart object is one piece, and its tag the digest of all bytes.
        let etag = if joined && !self.blobs.has_etags() || wanted.is_some() {
            let (etag, checksum) = self.copy_through(source, &new, &blob, wanted).await?;
            if wanted.is_some() {
                new.extra.checksum = checksum.as_ref().map(crate::checksum::of_bytes);
            }
            etag
        } else {
            let from = source.blob.as_ref().ok_or(Error::NoSuchKey)?;
            let given = self.blobs.copy(from, source.size, &blob, &new.attributes()).await?;
            given.filter(|_| joined).map_or_else(|| source.etag.clone(), |etag| ETag::new(&etag))
        };
        begun.goes_to_commit();
        let at = OffsetDateTime::now_utc();
        let mut metadata = new.metadata(&etag, source.size, at);
        // No default here: a copy has the source's value, or the one given in its place.
        metadata.cache_control.clone_from(&new.cache_control);
        metadata.x_robots_tag.clone_from(&own.robots);
        let written = Written {
            blob: &blob,
            metadata: &metadata,
            user_metadata: own.user_metadata(&new),
            permitted,
            condition: &new.condition,
            completes: None,
            resumable: None,
            shared: false,
        };
        let row = if whole {
            self.commit_row(ctx, &written).await?
        } else {
            self.commit(ctx, &written).await?;
            None
        };
        let checksum = new.extra.checksum;
        Ok((Copied { etag, size: source.size, version, last_modified: at, checksum }, row))
    }

    /// Copies by reading and writing, with a digest of what went through.
    async fn copy_through(
        &self,
        source: &Object,
        new: &NewObject,
        blob: &BlobKey,
        compute: Option<Algorithm>,
    ) -> Result<(ETag, Option<Checksum>), Error> {
        let body = self.read_blob(source, 0..source.size).await?;
        let (length, stored) = (Some(source.size), crate::checksum::of_object(source));
        let expected = Expected { length, compute, stored, ..Expected::default() };
        let writer = self.blobs.writer(blob, &new.attributes(), Some(source.size));
        let (writer, received) = receive(upload_stream(body), writer, &expected, None).await?;
        writer.finish().await?;
        Ok((ETag::from_md5(&received.md5()), received.checksum))
    }
}

/// The checksum that has to be computed for a copy: one of the source's bytes is taken over where
/// no other is asked for; one of its parts says nothing about a copy, which is one piece.
fn wanted_checksum(source: &Object, asked: Option<Algorithm>) -> Option<Algorithm> {
    let own = source.metadata.rowlock.as_ref().and_then(|extra| extra.checksum.as_ref());
    let algorithm = own.and_then(|sum| sum.algorithm.parse::<Algorithm>().ok());
    let whole = own.is_some_and(|sum| sum.kind == ChecksumType::FullObject);
    match (asked, algorithm) {
        (None, known) => known.filter(|_| !whole),
        (Some(asked), Some(known)) if asked == known && whole => None,
        (Some(asked), _) => Some(asked),
    }
}

/// A stored body as an upload's.
pub(crate) fn upload_stream(body: BlobBody) -> crate::UploadStream {
    match body {
        BlobBody::Bytes(bytes) => {
            stream::once(async move { Ok::<Bytes, BodyError>(bytes) }).boxed()
        }
        BlobBody::Stream(chunks) => chunks.map_err(|error| BodyError(Box::new(error))).boxed(),
    }
}

fn target(source: &Object, request: CopyRequest) -> NewObject {
    let own = source.metadata.rowlock.clone().unwrap_or_default();
    let of_source = |extra| {
        let metadata = &source.metadata;
        (
            metadata.mimetype.clone(),
            metadata.cache_control.clone(),
            source.user_metadata.clone(),
            extra,
        )
    };
    let (content_type, cache_control, user_metadata, mut extra) = match request.metadata {
        CopyMetadata::Source => of_source(own.clone()),
        CopyMetadata::Redirected(website_redirect_location) => {
            of_source(RowlockMetadata { website_redirect_location, ..own.clone() })
        }
        CopyMetadata::Replace { content_type, cache_control, user_metadata, extra } => {
            (content_type, cache_control, user_metadata, extra)
        }
    };
    extra.tags = request.tags.unwrap_or(own.tags);
    extra.checksum = own.checksum;
    extra.parts = None;
    NewObject {
        bucket: request.bucket,
        key: request.key,
        content_type,
        cache_control,
        user_metadata,
        extra,
        content_length: Some(source.size),
        condition: request.condition,
    }
}
