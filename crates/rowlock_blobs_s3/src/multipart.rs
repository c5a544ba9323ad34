//! Multipart uploads in the service.

use crate::failure::{Failure, UNREADABLE};
use crate::list::decoded;
use crate::piece::{Buffered, Source, Sums};
use crate::read;
use crate::retry::{retrying, retrying_while};
use crate::store::Inner;
use crate::writer;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, EncodingType, ServerSideEncryption,
};
use rowlock_blobs::{BlobAttributes, Error, PartInfo};
use std::collections::HashMap;
use std::time::Duration;

/// How long the parts of an upload may be tried again: others are done already.
const PART_PATIENCE: Duration = Duration::from_secs(90);

const BEGINNING: &str = "beginning an upload";

/// A tag without its quotes.
pub(crate) fn bare(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

/// Time limits of what the service works long at: joining or copying this many bytes.
pub(crate) fn long_work(store: &Inner, bytes: u64) -> aws_sdk_s3::config::Builder {
    let limits = TimeoutConfig::builder().read_timeout(store.long_patience(bytes)).build();
    aws_sdk_s3::config::Builder::new().timeout_config(limits)
}

/// Begins an upload whose parts may carry any digest, and returns its id.
pub(crate) async fn create(
    store: &Inner,
    key: &str,
    attributes: &BlobAttributes,
) -> Result<String, Error> {
    let created = begin(store, key, attributes, None).await;
    created.map_err(|failure| failure.error(BEGINNING))
}

/// Begins an upload whose parts all carry a CRC32, where the service takes that: which parts
/// have to carry, an upload says at its beginning (S3 user guide, "Checking object integrity").
/// Returns its id and whether they do.
pub(crate) async fn create_summed(
    store: &Inner,
    key: &str,
    attributes: &BlobAttributes,
) -> Result<(String, bool), Error> {
    if !store.is_plain() {
        match begin(store, key, attributes, Some(ChecksumAlgorithm::Crc32)).await {
            Ok(id) => return Ok((id, true)),
            Err(failure) if store.gives_up_checksums(&failure) => {}
            Err(failure) => return Err(failure.error(BEGINNING)),
        }
    }
    Ok((create(store, key, attributes).await?, false))
}

async fn begin(
    store: &Inner,
    key: &str,
    attributes: &BlobAttributes,
    algorithm: Option<ChecksumAlgorithm>,
) -> Result<String, Failure> {
    let mut uncertain = false;
    let created = retrying(store.patience(), |attempt| {
        uncertain = attempt > 0;
        let request = store
            .client
            .create_multipart_upload()
            .bucket(store.bucket())
            .key(key)
            .set_checksum_algorithm(algorithm.clone())
            .set_content_type(attributes.content_type.clone())
            .set_cache_control(attributes.cache_control.clone());
        async move { request.send().await.map_err(Failure::from) }
    })
    .await?;
    let id = created.upload_id.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Failure::of(UNREADABLE, "no upload id".to_owned()))?;
    // An answer that got lost has left an upload of which only the service knows the id.
    if uncertain && let Err(error) = abort_all(store, key, Some(&id)).await {
        tracing::warn!(%error, "an upload begun twice could not be removed");
    }
    Ok(id)
}

/// Sends a part that is held, as often as it takes, and returns its entity tag. `sums` are its
/// digests.
pub(crate) async fn put_part(
    store: &Inner,
    key: &str,
    id: &str,
    number: i32,
    piece: &Buffered,
    sums: Sums,
) -> Result<String, Failure> {
    let patience = PART_PATIENCE.max(store.patience());
    put_part_within(store, patience, key, id, number, piece, sums).await
}

/// As [`put_part`], for no longer than `patience`.
pub(crate) async fn put_part_within(
    store: &Inner,
    patience: Duration,
    key: &str,
    id: &str,
    number: i32,
    piece: &Buffered,
    sums: Sums,
) -> Result<String, Failure> {
    let length = i64::try_from(piece.len()).unwrap_or(i64::MAX);
    let sent = retrying(patience, |_| {
        let request = store
            .client
            .upload_part()
            .bucket(store.bucket())
            .key(key)
            .upload_id(id)
            .part_number(number)
            .content_length(length)
            .set_checksum_crc32(sums.crc32.clone())
            .set_content_md5(sums.md5.clone())
            .body(piece.body());
        async move { Failure::unless_tagged(request.send().await?.e_tag()) }
    });
    sent.await
}

/// Sends a part whose bytes pass through, and returns its entity tag.
pub(crate) async fn pass_part(
    store: &Inner,
    key: &str,
    id: &str,
    number: i32,
    length: u64,
    source: &Source,
) -> Result<String, Failure> {
    let sent = retrying_while(
        store.patience(),
        || source.is_whole(),
        |_| {
            let request = store
                .client
                .upload_part()
                .bucket(store.bucket())
                .key(key)
                .upload_id(id)
                .part_number(number)
                .content_length(i64::try_from(length).unwrap_or(i64::MAX))
                .body(source.body());
            async move { Failure::unless_tagged(request.send().await?.e_tag()) }
        },
    );
    sent.await
}

/// A part in the service, as Complete names it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) number: u32,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) size: u64,
    /// Base64; set for all parts of an upload that was begun so.
    pub(crate) crc32: Option<String>,
}

impl From<&PartInfo> for Sent {
    fn from(part: &PartInfo) -> Self {
        let PartInfo { number, etag, size } = part;
        Self { number: *number, etag: etag.clone(), size: *size, crc32: None }
    }
}

/// What parts were joined into.
pub(crate) struct Joined {
    pub(crate) size: u64,
    pub(crate) etag: String,
}

/// Joins parts; answers the same when it has done so already.
pub(crate) async fn complete(
    store: &Inner,
    key: &str,
    id: &str,
    parts: &[Sent],
    attributes: &BlobAttributes,
) -> Result<Joined, Error> {
    const DOING: &str = "joining parts";
    let size = parts.iter().map(|part| part.size).sum();
    // Empty parts were never sent.
    let parts: Vec<&Sent> = parts.iter().filter(|part| part.size > 0).collect();
    let parts = parts.as_slice();
    if parts.is_empty() {
        let etag = writer::put(store, key, attributes, &Buffered::default()).await?;
        abort(store, key, id).await?;
        return Ok(Joined { size, etag });
    }
    let summed = parts.iter().all(|part| part.crc32.is_some());
    let mut joined = join(store, key, id, parts, summed).await;
    if summed && joined.as_ref().is_err_and(|failure| store.gives_up_checksums(failure)) {
        joined = join(store, key, id, parts, false).await;
    }
    let tag = joined_tag(parts);
    let others = || {
        let why = "another request has joined other parts".into();
        Err(Error::Unavailable { doing: DOING, why })
    };
    match joined {
        Ok(Answer { etag, ruled }) => {
            // Some services answer a repeated request with what was joined by the first one.
            let foretold = tag.is_some_and(|tag| tag == etag);
            if store.saw_joined_tag(foretold) && !foretold && ruled {
                return others();
            }
            Ok(Joined { size, etag })
        }
        // Joined before, by an attempt whose answer was lost, or by another request.
        Err(failure) if failure.code == "NoSuchUpload" || failure.is_not_found() => {
            match read::head(store, key).await {
                Ok(found)
                    if store.foretells_tags()
                        && tag.is_some_and(|it| it != found.etag)
                        && is_ruled(store, key).await =>
                {
                    others()
                }
                Ok(found) if found.size == size => Ok(Joined { size, etag: found.etag }),
                Ok(found) => Err(Error::WrongLength { expected: size, found: found.size }),
                Err(failure) if failure.is_not_found() => Err(Error::UploadNotFound),
                Err(failure) => Err(failure.error(DOING)),
            }
        }
        Err(failure) if failure.code == "InvalidPart" => {
            // Not every service lists parts in a way that can be read; any one may be it then.
            let last = parts.last().map_or(1, |part| part.number);
            Err(match missing(store, key, id, parts).await {
                Some(part) => part,
                None => {
                    let detail = &failure.detail;
                    tracing::warn!(%detail, "the store does not join parts that it has");
                    Error::PartNotFound(last)
                }
            })
        }
        Err(failure) => Err(failure.error(DOING)),
    }
}

/// The tag that AWS gives to what these parts are joined into: the MD5 of their MD5s, `-`, and their
/// number. `None` where their own tags are no MD5s.
fn joined_tag(parts: &[&Sent]) -> Option<String> {
    let digests: Result<Vec<Vec<u8>>, _> =
        parts.iter().map(|part| hex::decode(&part.etag)).collect();
    let digests = digests.ok().filter(|digests| digests.iter().all(|it| it.len() == 16))?;
    let digest = rowlock_digest::md5(&digests.concat());
    Some(format!("{}-{}", hex::encode(digest), parts.len()))
}

/// What the service answered to a request to join parts.
struct Answer {
    etag: String,
    /// See [`follows_rule`].
    ruled: bool,
}

/// Whether the tag of an object with this encryption can follow AWS's rule. It never does where
/// keys of KMS's or of the customer's encrypt (S3 API reference, "Object", `ETag`): a bucket may
/// be set to that at any time.
fn follows_rule(encryption: Option<&ServerSideEncryption>, customer: Option<&str>) -> bool {
    let kms = encryption.is_some_and(|it| it.as_str().starts_with("aws:kms"));
    !kms && customer.is_none()
}

/// As [`follows_rule`], of what lies there.
async fn is_ruled(store: &Inner, key: &str) -> bool {
    let found = retrying(store.patience(), |_| {
        let request = store.client.head_object().bucket(store.bucket()).key(key);
        async move { request.send().await.map_err(Failure::from) }
    });
    found.await.is_ok_and(|found| {
        follows_rule(found.server_side_encryption(), found.sse_customer_algorithm())
    })
}

async fn join(
    store: &Inner,
    key: &str,
    id: &str,
    parts: &[&Sent],
    summed: bool,
) -> Result<Answer, Failure> {
    let size = parts.iter().map(|part| part.size).sum();
    let parts = parts
        .iter()
        .map(|part| {
            CompletedPart::builder()
                .part_number(i32::try_from(part.number).unwrap_or(i32::MAX))
                .e_tag(format!("\"{}\"", part.etag))
                .set_checksum_crc32(part.crc32.clone().filter(|_| summed))
                .build()
        })
        .collect();
    let list = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    retrying(store.patience(), |_| {
        let request = store
            .client
            .complete_multipart_upload()
            .bucket(store.bucket())
            .key(key)
            .upload_id(id)
            .multipart_upload(list.clone())
            .customize()
            .config_override(long_work(store, size));
        async move {
            let joined = request.send().await?;
            let ruled = follows_rule(joined.server_side_encryption(), None);
            Ok(Answer { etag: Failure::unless_tagged(joined.e_tag())?, ruled })
        }
    })
    .await
}

/// The entity tag of the part that the service has under a number.
pub(crate) async fn part_tag(
    store: &Inner,
    key: &str,
    id: &str,
    number: i32,
) -> Result<Option<String>, Failure> {
    let page = retrying(store.patience(), |_| {
        let request = store
            .client
            .list_parts()
            .bucket(store.bucket())
            .key(key)
            .upload_id(id)
            .part_number_marker((number - 1).to_string())
            .max_parts(1);
        async move { request.send().await.map_err(Failure::from) }
    })
    .await?;
    let part = page.parts().iter().find(|part| part.part_number() == Some(number));
    Ok(part.map(|part| bare(part.e_tag())))
}

/// Which of the parts the service does not have, if it can be found out.
async fn missing(store: &Inner, key: &str, id: &str, parts: &[&Sent]) -> Option<Error> {
    let mut there = HashMap::new();
    let mut marker = None;
    loop {
        let page = store
            .client
            .list_parts()
            .bucket(store.bucket())
            .key(key)
            .upload_id(id)
            .set_part_number_marker(marker)
            .send()
            .await
            .ok()?;
        for part in page.parts() {
            there.insert(part.part_number()?, bare(part.e_tag()));
        }
        marker = page.next_part_number_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) || marker.is_none() {
            break;
        }
    }
    let lacks = |part: &&&Sent| {
        let number = i32::try_from(part.number).ok();
        number.and_then(|number| there.get(&number)) != Some(&part.etag)
    };
    parts.iter().find(lacks).map(|part| Error::PartNotFound(part.number))
}

/// Removes an upload and its parts; one that does not exist is a success.
pub(crate) async fn abort(store: &Inner, key: &str, id: &str) -> Result<(), Error> {
    let aborted = retrying(store.patience(), |_| {
        let request =
            store.client.abort_multipart_upload().bucket(store.bucket()).key(key).upload_id(id);
        async move { request.send().await.map_err(Failure::from) }
    })
    .await;
    match aborted {
        Ok(_) => Ok(()),
        Err(failure) if failure.code == "NoSuchUpload" || failure.is_not_found() => Ok(()),
        Err(failure) => Err(failure.error("removing an upload")),
    }
}

/// Removes every upload of this very key, but for the one named.
pub(crate) async fn abort_all(store: &Inner, key: &str, but: Option<&str>) -> Result<(), Error> {
    let mut markers = (None, None);
    loop {
        let page = retrying(store.patience(), |_| {
            let request = store
                .client
                .list_multipart_uploads()
                .bucket(store.bucket())
                .prefix(key)
                // Names may hold what XML cannot.
                .encoding_type(EncodingType::Url)
                .set_key_marker(markers.0.clone())
                .set_upload_id_marker(markers.1.clone());
            async move { request.send().await.map_err(Failure::from) }
        })
        .await;
        let page = match page.map_err(|failure| failure.error("listing uploads")) {
            // There is none of a name that the service does not take.
            Err(Error::UnsupportedKey(_)) => return Ok(()),
            page => page?,
        };
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        let name = |text: Option<&str>| match text {
            Some(text) if encoded => decoded(text),
            other => other.map(str::to_owned),
        };
        for upload in page.uploads() {
            if let (Some(found), Some(id)) = (name(upload.key()), upload.upload_id())
                && found == key
                && Some(id) != but
            {
                abort(store, key, id).await?;
            }
        }
        markers = (name(page.next_key_marker()), page.next_upload_id_marker().map(str::to_owned));
        if page.is_truncated() != Some(true) || markers.0.is_none() {
            return Ok(());
        }
    }
}
