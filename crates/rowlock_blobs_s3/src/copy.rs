//! Copies that the service makes by itself.

use crate::encode::copy_source;
use crate::failure::Failure;
use crate::layout::checked;
use crate::multipart::{self, Sent, long_work};
use crate::retry::retrying;
use crate::store::Inner;
use crate::upload::unless_lost;
use aws_sdk_s3::types::MetadataDirective;
use futures_util::{StreamExt, TryStreamExt, stream};
use rowlock_blobs::{BlobAttributes, BlobKey, Error};
use std::ops::Range;

const DOING: &str = "copying a blob";
/// How many pieces of a large copy are made at a time.
const AT_A_TIME: usize = 4;
/// The largest piece of a copy by parts: one that a service does in well under a minute.
const PIECE: u64 = 1 << 30;
/// Of sources no larger than this, no range can be copied (S3 API reference, UploadPartCopy).
pub(crate) const SMALLEST_RANGED: u64 = 5 << 20;
/// What is smaller is read and sent: Garage makes no part of what it keeps beside an object's name
/// (up to 3,072 bytes).
pub(crate) const SMALLEST: u64 = 8 << 10;

/// Copies a blob and returns the copy's entity tag.
pub(crate) async fn whole(
    store: &Inner,
    from: &BlobKey,
    size: u64,
    to: &BlobKey,
    attributes: &BlobAttributes,
) -> Result<String, Error> {
    let (from, to) = (store.layout.key(from), checked(store.layout.key(to))?);
    if size > store.settings.copy_limit {
        return by_parts(store, &from, size, &to, attributes).await;
    }
    let copied = retrying(store.patience(), |_| {
        let request = store
            .client
            .copy_object()
            .bucket(store.bucket())
            .key(&to)
            .copy_source(copy_source(store.bucket(), &from))
            .metadata_directive(MetadataDirective::Replace)
            .set_content_type(attributes.content_type.clone())
            .set_cache_control(attributes.cache_control.clone())
            .customize()
            .config_override(long_work(store, size));
        async move {
            let answer = request.send().await?;
            Failure::unless_tagged(answer.copy_object_result().and_then(|it| it.e_tag()))
        }
    });
    copied.await.map_err(|failure| failure.error(DOING))
}

/// Copies a key to another with what the service keeps beside it (of a large one, only bytes).
pub(crate) async fn renamed(store: &Inner, from: &str, size: u64, to: &str) -> Result<(), Error> {
    if size > store.settings.copy_limit {
        let attributes = BlobAttributes::default();
        return by_parts(store, from, size, to, &attributes).await.map(drop);
    }
    let copied = retrying(store.patience(), |_| {
        let request = store
            .client
            .copy_object()
            .bucket(store.bucket())
            .key(to)
            .copy_source(copy_source(store.bucket(), from))
            .customize()
            .config_override(long_work(store, size));
        async move {
            let answer = request.send().await?;
            Failure::unless_tagged(answer.copy_object_result().and_then(|it| it.e_tag()))
        }
    });
    copied.await.map(drop).map_err(|failure| failure.error(DOING))
}

/// Copies a range of a blob of some size as a part and returns the part's entity tag.
pub(crate) async fn part(
    store: &Inner,
    from: &str,
    (range, size): (Range<u64>, u64),
    to: &str,
    id: &str,
    number: u32,
) -> Result<String, Error> {
    let length = range.end - range.start;
    let some = (length < size).then(|| format!("bytes={}-{}", range.start, range.end - 1));
    let copied = retrying(store.patience(), |_| {
        let request = store
            .client
            .upload_part_copy()
            .bucket(store.bucket())
            .key(to)
            .upload_id(id)
            .part_number(i32::try_from(number).unwrap_or(i32::MAX))
            .copy_source(copy_source(store.bucket(), from))
            .set_copy_source_range(some.clone())
            .customize()
            .config_override(long_work(store, length));
        async move {
            let answer = request.send().await?;
            Failure::unless_tagged(answer.copy_part_result().and_then(|it| it.e_tag()))
        }
    });
    copied.await.map_err(|failure| failure.error(DOING))
}

async fn by_parts(
    store: &Inner,
    from: &str,
    size: u64,
    to: &str,
    attributes: &BlobAttributes,
) -> Result<String, Error> {
    let id = multipart::create(store, to, attributes).await?;
    let step = PIECE.min(store.settings.copy_limit);
    let pieces = (0..size.div_ceil(step)).zip(1_u32..).map(|(index, number)| {
        let id = &id;
        let range = index * step..size.min((index + 1) * step);
        async move {
            let length = range.end - range.start;
            let etag = part(store, from, (range, size), to, id, number).await?;
            Ok::<_, Error>(Sent { number, etag, size: length, crc32: None })
        }
    });
    let copied: Result<Vec<Sent>, Error> =
        stream::iter(pieces).buffered(AT_A_TIME).try_collect().await;
    let joined = match copied {
        Ok(parts) => multipart::complete(store, to, &id, &parts, attributes).await,
        Err(error) => Err(error),
    };
    match joined {
        Ok(joined) => Ok(joined.etag),
        Err(error) => {
            if let Err(error) = multipart::abort(store, to, &id).await {
                tracing::warn!(%error, "an unfinished copy could not be aborted yet");
            }
            Err(unless_lost(error))
        }
    }
}
