//! Looking through all keys, and moving them out of the way.

use crate::copy;
use crate::failure::Failure;
use crate::layout::checked;
use crate::read;
use crate::retry::retrying;
use crate::store::Inner;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{EncodingType, Object};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use rowlock_blobs::{Error, Found, FoundKind};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DOING: &str = "listing blobs";

/// What is asked for next.
enum Next {
    /// A page of the tenant's keys of one kind, from this token on.
    Keys { section: Section, token: Option<String> },
    /// A page of uploads from these markers on.
    Uploads { key: Option<String>, id: Option<String> },
    /// Nothing more.
    End,
}

/// Where keys of one kind lie.
#[derive(Clone, Copy)]
enum Section {
    Blobs,
    Aside,
    Growing,
}

impl Section {
    fn prefix(self, store: &Inner) -> String {
        match self {
            Self::Blobs => store.layout.tenant_prefix(),
            Self::Aside => store.layout.aside_prefix(),
            Self::Growing => store.layout.growing_prefix(),
        }
    }

    /// What a key is, by what follows the prefix.
    fn kind(self, rest: &str) -> FoundKind {
        match (self, rest.split_once('/')) {
            (Self::Blobs, Some((bucket, path))) if !bucket.is_empty() => FoundKind::Blob {
                bucket: bucket.to_owned(),
                path: path.to_owned(),
                resumable: false,
            },
            (Self::Aside, _) => {
                FoundKind::Aside { version: rest.rsplit('/').next().unwrap_or_default().to_owned() }
            }
            (Self::Growing, Some((version, _))) => {
                FoundKind::Growing { version: version.to_owned() }
            }
            _ => FoundKind::Odd,
        }
    }

    fn after(self) -> Option<Self> {
        match self {
            Self::Blobs => Some(Self::Aside),
            Self::Aside => Some(Self::Growing),
            Self::Growing => None,
        }
    }
}

/// All that lies in the service for this tenant: blobs, blobs aside, what is kept of growing ones,
/// uploads.
pub(crate) fn list(store: Arc<Inner>) -> BoxStream<'static, Result<Found, Error>> {
    // The last key of a page waits for the next one: what comes behind it tells what it is.
    let start = (store, Next::Keys { section: Section::Blobs, token: None }, None);
    let pages = stream::try_unfold(start, |(store, next, mut held)| async move {
        let (page, next) = match next {
            Next::Keys { section, token } => keys(&store, section, token).await?,
            Next::Uploads { key, id } => uploads(&store, key, id).await?,
            Next::End => return Ok::<_, Error>(None),
        };
        let mut page = judged(held.take(), page);
        if !matches!(next, Next::End) {
            held = page.pop_back();
        }
        Ok(Some((stream::iter(page.into_iter().map(Ok)), (store, next, held))))
    });
    pages.try_flatten().boxed()
}

/// Marks what the state of a resumable upload lies beside: in the order of keys it comes next.
fn judged(held: Option<Found>, page: Vec<Found>) -> VecDeque<Found> {
    let mut judged: VecDeque<Found> = held.into_iter().collect();
    for found in page {
        if let Some(last) = judged.back_mut()
            && let FoundKind::Blob { resumable, .. } = &mut last.kind
            && found.name.strip_prefix(&last.name).is_some_and(|ending| ending == ".info")
        {
            *resumable = true;
        }
        judged.push_back(found);
    }
    judged
}

async fn keys(
    store: &Inner,
    section: Section,
    token: Option<String>,
) -> Result<(Vec<Found>, Next), Error> {
    let prefix = section.prefix(store);
    let (objects, token) = page(store, &prefix, token).await?;
    let found = objects.into_iter().filter_map(|(name, object)| {
        let kind = section.kind(name.strip_prefix(&prefix)?);
        let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        Some(Found { kind, size, modified: time(object.last_modified()), name })
    });
    let next = match (token, section.after()) {
        (Some(token), _) => Next::Keys { section, token: Some(token) },
        (None, Some(section)) => Next::Keys { section, token: None },
        (None, None) => Next::Uploads { key: None, id: None },
    };
    Ok((found.collect(), next))
}

/// A page of objects with their names, and where the next one begins.
async fn page(
    store: &Inner,
    prefix: &str,
    token: Option<String>,
) -> Result<(Vec<(String, Object)>, Option<String>), Error> {
    let page = retrying(store.patience(), |_| {
        let request = store
            .client
            .list_objects_v2()
            .bucket(store.bucket())
            .prefix(prefix)
            // Names may hold what XML cannot.
            .encoding_type(EncodingType::Url)
            .set_continuation_token(token.clone());
        async move { request.send().await.map_err(Failure::from) }
    })
    .await
    .map_err(|failure| failure.error(DOING))?;
    let encoded = page.encoding_type() == Some(&EncodingType::Url);
    let more = page.is_truncated() == Some(true);
    let token = page.next_continuation_token().filter(|_| more).map(str::to_owned);
    let named = page.contents.unwrap_or_default().into_iter().filter_map(|object| {
        let key = object.key()?;
        let name = if encoded { decoded(key)? } else { key.to_owned() };
        Some((name, object))
    });
    Ok((named.collect(), token))
}

/// All keys with this prefix: a few.
pub(crate) async fn below(store: &Inner, prefix: &str) -> Result<Vec<String>, Error> {
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let (objects, next) = page(store, prefix, token).await?;
        all.extend(objects.into_iter().map(|(name, _)| name));
        token = next;
        if token.is_none() {
            return Ok(all);
        }
    }
}

async fn uploads(
    store: &Inner,
    key: Option<String>,
    id: Option<String>,
) -> Result<(Vec<Found>, Next), Error> {
    let (tenant, aside) = (store.layout.tenant_prefix(), store.layout.aside_prefix());
    let page = retrying(store.patience(), |_| {
        let request = store
            .client
            .list_multipart_uploads()
            .bucket(store.bucket())
            .encoding_type(EncodingType::Url)
            .set_key_marker(key.clone())
            .set_upload_id_marker(id.clone());
        async move { request.send().await.map_err(Failure::from) }
    })
    .await
    .map_err(|failure| failure.error("listing uploads"))?;
    let encoded = page.encoding_type() == Some(&EncodingType::Url);
    let found = page.uploads().iter().filter_map(|upload| {
        let key = upload.key()?;
        let name = if encoded { decoded(key)? } else { key.to_owned() };
        let (bucket, path) = match name.strip_prefix(&tenant) {
            Some(rest) => rest.split_once('/').unwrap_or_default(),
            None if name.starts_with(&aside) => ("", ""),
            None => return None,
        };
        let kind = FoundKind::Upload {
            id: upload.upload_id()?.to_owned(),
            bucket: bucket.to_owned(),
            path: path.to_owned(),
        };
        Some(Found { kind, size: 0, modified: time(upload.initiated()), name: name.clone() })
    });
    let found = found.collect();
    let key = match page.next_key_marker() {
        Some(key) if encoded => decoded(key),
        other => other.map(str::to_owned),
    };
    let id = page.next_upload_id_marker().map(str::to_owned);
    match (page.is_truncated() == Some(true), &key) {
        (true, None) => Err(cut_short()),
        (true, Some(_)) => Ok((found, Next::Uploads { key, id })),
        (false, _) => Ok((found, Next::End)),
    }
}

/// A page that says there are more, and not how to get them.
fn cut_short() -> Error {
    Error::Unavailable { doing: DOING, why: "a list that cannot be gone on with".into() }
}

/// Whether there is such a key.
pub(crate) async fn exists(store: &Inner, name: &str) -> Result<bool, Error> {
    match read::head(store, name).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_not_found() => Ok(false),
        Err(failure) => Err(failure.error("looking at a blob")),
    }
}

/// Moves a key of this tenant below `__internal/quarantine/` and returns its new one.
pub(crate) async fn quarantine(store: &Inner, name: &str) -> Result<String, Error> {
    const DOING: &str = "moving a blob to quarantine";
    let ours = [store.layout.tenant_prefix(), store.layout.aside_prefix()];
    if !ours.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Error::NotFound);
    }
    let mut to = format!("__internal/quarantine/{name}");
    if read::head(store, &checked(to.clone())?).await.is_ok() {
        to = format!("{to}~{:08x}", rand::random::<u32>());
    }
    let to = checked(to)?;
    let size = read::head(store, name).await.map_err(|failure| failure.error(DOING))?.size;
    copy::renamed(store, name, size, &to).await?;
    // Deleted only once the copy is seen to be there.
    let copied = read::head(store, &to).await.map_err(|failure| failure.error(DOING))?.size;
    if copied != size {
        return Err(Error::WrongLength { expected: size, found: copied });
    }
    let deleted = retrying(store.patience(), |_| {
        let request = store.client.delete_object().bucket(store.bucket()).key(name);
        async move { request.send().await.map_err(Failure::from) }
    });
    deleted.await.map_err(|failure| failure.error(DOING))?;
    Ok(to)
}

fn time(at: Option<&DateTime>) -> SystemTime {
    let seconds = at.and_then(|at| u64::try_from(at.secs()).ok()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// What a service has encoded as in a URL's query.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (rest.next()?, rest.next()?);
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(high)? * 16 + digit(low)?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(name: &str) -> Found {
        let kind = FoundKind::Blob { bucket: "b".into(), path: name.to_owned(), resumable: false };
        Found { name: name.to_owned(), kind, size: 0, modified: UNIX_EPOCH }
    }

    #[test]
    fn names_are_decoded() {
        assert_eq!(decoded("a+b%20c%2Bd%C3%BC%2f").as_deref(), Some("a b c+dü/"));
        for cut in ["%", "%4", "%zz", "%FF"] {
            assert_eq!(decoded(cut), None, "{cut}");
        }
    }

    #[test]
    fn state_is_seen_over_the_end_of_a_page() {
        let resumable = |found: VecDeque<Found>| -> Vec<bool> {
            let is = |found: Found| matches!(found.kind, FoundKind::Blob { resumable: true, .. });
            found.into_iter().map(is).collect()
        };
        let page = vec![blob("a.info"), blob("b"), blob("b.informal"), blob("c"), blob("c.info")];
        assert_eq!(
            resumable(judged(Some(blob("a")), page)),
            [true, false, false, false, true, false]
        );
    }
}
