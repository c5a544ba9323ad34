//! Reading blobs: passed through as they come, gone on with where they broke off.

use crate::failure::{Failure, TIMEOUT, UNREACHABLE};
use crate::multipart::bare;
use crate::retry::{pause, retrying};
use crate::store::Inner;
use crate::streams::Stream;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use rowlock_blobs::{BlobBody, BlobKey, Error};
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const DOING: &str = "reading a blob";
/// What is no larger is read whole before it is answered.
const SMALL: u64 = 256 << 10;
/// The longest chunk handed on.
const CHUNK: usize = 512 << 10;
/// How long a client may take no bytes before others come first.
const IDLE: Duration = Duration::from_secs(5);
/// How often in a row a body may break off without a byte in between.
const BREAKS: u32 = 4;

/// What the service knows of a key.
pub(crate) struct Found {
    pub(crate) size: u64,
    pub(crate) etag: String,
}

pub(crate) async fn head(store: &Inner, key: &str) -> Result<Found, Failure> {
    let found = retrying(store.patience(), |_| {
        let request = store.client.head_object().bucket(store.bucket()).key(key);
        async move { request.send().await.map_err(|error| Failure::from(error).of_head()) }
    })
    .await?;
    let size = found.content_length().and_then(|length| u64::try_from(length).ok());
    Ok(Found { size: size.unwrap_or_default(), etag: bare(found.e_tag()) })
}

/// Reads a range; see [`rowlock_blobs::BlobStore::read`].
pub(crate) async fn read(
    store: &Arc<Inner>,
    blob: &BlobKey,
    size: u64,
    range: Range<u64>,
) -> Result<BlobBody, Error> {
    let key = store.layout.key(blob);
    let end = range.end.min(size);
    let start = range.start.min(end);
    if start == end && size > 0 {
        let found = head(store, &key).await.map_err(|failure| failure.error(DOING))?;
        return if found.size == size {
            Ok(BlobBody::Bytes(Bytes::new()))
        } else {
            Err(Error::WrongLength { expected: size, found: found.size })
        };
    }
    let large = end - start > SMALL;
    let mut reader = Reader {
        store: Arc::clone(store),
        key,
        size,
        at: start,
        end,
        tag: None,
        body: None,
        breaks: 0,
        stream: if large { Some(store.streams.read(DOING).await?) } else { None },
    };
    reader.open().await?;
    if large {
        return Ok(BlobBody::Stream(pumped(reader)));
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(end - start).unwrap_or_default());
    while let Some(chunk) = reader.next().await? {
        whole.extend_from_slice(&chunk);
    }
    Ok(BlobBody::Bytes(whole.freeze()))
}

/// Reads ahead of a client by one chunk. When the client takes none for a while and others wait, the
/// connection goes, and is opened anew when the client comes back.
fn pumped(mut reader: Reader) -> BoxStream<'static, Result<Bytes, Error>> {
    let (to, from) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let mut place = pin!(to.reserve());
            let place = loop {
                match tokio::time::timeout(IDLE, &mut place).await {
                    Ok(Ok(place)) => break place,
                    Ok(Err(_)) => return,
                    Err(_) if reader.store.streams.are_crowded() => reader.close(),
                    Err(_) => {}
                }
            };
            let next = tokio::select! {
                () = to.closed() => return,
                next = reader.next() => next.transpose(),
            };
            let Some(next) = next else { return };
            let failed = next.is_err();
            place.send(next);
            if failed {
                return;
            }
        }
    });
    stream::unfold(from, |mut from| async move { Some((from.recv().await?, from)) }).boxed()
}

/// Reads the whole object of this length and entity tag (without quotes).
pub(crate) async fn whole(
    store: &Arc<Inner>,
    key: String,
    size: u64,
    etag: &str,
    mut each: impl FnMut(Bytes),
) -> Result<(), Error> {
    let (store, tag) = (Arc::clone(store), Some(format!("\"{etag}\"")));
    let mut reader =
        Reader { store, key, size, at: 0, end: size, tag, body: None, breaks: 0, stream: None };
    while let Some(chunk) = reader.next().await? {
        each(chunk);
    }
    Ok(())
}

/// What is still to be read of a blob.
struct Reader {
    store: Arc<Inner>,
    key: String,
    size: u64,
    at: u64,
    end: u64,
    /// The entity tag of the first answer: what follows must be of the same object.
    tag: Option<String>,
    body: Option<(ByteStream, Bytes)>,
    breaks: u32,
    /// The right to go on at a client's pace; `None` for what is small, or closed for now.
    stream: Option<Stream>,
}

impl Reader {
    /// Asks for what is left, and checks that the blob has the length it should have.
    async fn open(&mut self) -> Result<(), Error> {
        let whole = self.at == 0 && self.end == self.size;
        // The last byte that is asked for, counted from 0.
        let range = (!whole).then(|| format!("bytes={}-{}", self.at, self.end.saturating_sub(1)));
        let answer = retrying(self.store.patience(), |_| {
            let request = self
                .store
                .client
                .get_object()
                .bucket(self.store.bucket())
                .key(&self.key)
                .set_range(range.clone())
                .set_if_match(self.tag.clone());
            async move { request.send().await.map_err(Failure::from) }
        })
        .await;
        let answer = match answer {
            Ok(answer) => answer,
            // Beyond the end: the blob is shorter than its row says.
            Err(failure) if failure.status == Some(416) => {
                let found = head(&self.store, &self.key).await;
                let found = found.map_err(|failure| failure.error(DOING))?.size;
                return Err(Error::WrongLength { expected: self.size, found });
            }
            Err(failure) => return Err(failure.error(DOING)),
        };
        if answer.e_tag().is_none() {
            return Err(unfit("an answer that is no object's"));
        }
        let found = whole_length(&answer);
        if found != Some(self.size) {
            let found = found.unwrap_or_default();
            return Err(Error::WrongLength { expected: self.size, found });
        }
        if let Some(asked) = range
            && answer.content_range().and_then(|it| it.strip_prefix("bytes ")?.split('/').next())
                != asked.strip_prefix("bytes=")
        {
            return Err(unfit("another range than was asked for"));
        }
        self.tag = self.tag.take().or_else(|| answer.e_tag().map(str::to_owned));
        self.body = Some((answer.body, Bytes::new()));
        Ok(())
    }

    /// Gives the connection up until the next bytes are wanted.
    fn close(&mut self) {
        self.body = None;
        self.stream = None;
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.at == self.end {
                return Ok(None);
            }
            let Some((body, rest)) = &mut self.body else {
                if self.stream.is_none() && self.end - self.at > SMALL {
                    self.stream = Some(self.store.streams.read(DOING).await?);
                }
                self.open().await?;
                continue;
            };
            if rest.is_empty() {
                let progress = self.store.settings.limits.progress;
                let why = match tokio::time::timeout(progress, body.next()).await {
                    Ok(Some(Ok(chunk))) => {
                        *rest = chunk;
                        continue;
                    }
                    Ok(Some(Err(_)) | None) => UNREACHABLE,
                    Err(_) => TIMEOUT,
                };
                self.body = None;
                self.breaks += 1;
                if self.breaks >= BREAKS || why == TIMEOUT && self.breaks > 1 {
                    return Err(Error::Unavailable { doing: DOING, why: why.into() });
                }
                tokio::time::sleep(pause(self.breaks, false)).await;
                continue;
            }
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let length = rest.len().min(CHUNK).min(left);
            // The last bytes are handed on when the body has ended well: at its end a checksum is
            // compared, and a longer body is another object.
            if rest.len() > left {
                return Err(unfit("more bytes than were asked for"));
            }
            if length == left {
                let progress = self.store.settings.limits.progress;
                match tokio::time::timeout(progress, ended(body)).await {
                    Ok(true) => {}
                    Ok(false) => return Err(unfit("bytes that do not fit their checksum")),
                    Err(_) => return Err(unfit(TIMEOUT)),
                }
            }
            let chunk = rest.split_to(length);
            self.at += chunk.len() as u64;
            self.breaks = 0;
            return Ok(Some(chunk));
        }
    }
}

/// Whether a body ends, and well.
async fn ended(body: &mut ByteStream) -> bool {
    loop {
        match body.next().await {
            None => return true,
            Some(Ok(more)) if more.is_empty() => {}
            Some(_) => return false,
        }
    }
}

fn unfit(why: &str) -> Error {
    Error::Unavailable { doing: DOING, why: why.to_owned() }
}

/// The length of the whole blob, of which an answer may hold a part.
fn whole_length(answer: &GetObjectOutput) -> Option<u64> {
    match answer.content_range() {
        Some(range) => range.rsplit_once('/')?.1.parse().ok(),
        None => u64::try_from(answer.content_length()?).ok(),
    }
}
