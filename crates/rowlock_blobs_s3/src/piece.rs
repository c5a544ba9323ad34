//! Bytes on their way into the service: one PUT's or one part's worth.

use crate::budget::{Budget, Share, Wait};
use crate::streams::Stream;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rowlock_blobs::Error;
use rowlock_digest::{Algorithm, Digests};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// How many chunks wait between a client and the service.
const QUEUED: usize = 2;

/// Bytes that are held until they are acknowledged, so that they can be sent again.
#[derive(Debug, Default)]
pub(crate) struct Buffered {
    chunks: Vec<Bytes>,
    length: u64,
    share: Share,
}

impl Buffered {
    /// Nothing yet, and where its room is to come from.
    pub(crate) fn new(share: Share) -> Self {
        Self { share, ..Self::default() }
    }

    /// Takes room for the next `bytes` of at most `most` in all; see [`Budget::grow`].
    pub(crate) async fn make_room(
        &mut self,
        budget: &Budget,
        bytes: usize,
        most: u64,
        wait: Wait,
    ) -> bool {
        budget.grow(&mut self.share, self.length + bytes as u64, most, wait).await
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.length += chunk.len() as u64;
        self.chunks.push(chunk);
    }

    /// Puts bytes in front of those that are held; there has to be room for them.
    pub(crate) fn prepend(&mut self, mut chunks: Vec<Bytes>) {
        self.length += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        chunks.append(&mut self.chunks);
        self.chunks = chunks;
    }

    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// The bytes as a request's body, as often as it is needed.
    pub(crate) fn body(&self) -> ByteStream {
        let chunks = self.chunks.iter().filter(|chunk| !chunk.is_empty()).cloned().collect();
        let left = self.length;
        ByteStream::new(SdkBody::from_body_1_x(Chunks { chunks, left }))
    }

    /// The digest to send along: a CRC32, or the MD5 that every service knows and that costs
    /// many times as much.
    pub(crate) async fn sums(&self, crc32: bool) -> Result<Sums, Error> {
        let algorithm = if crc32 { Algorithm::Crc32 } else { Algorithm::Md5 };
        let chunks = self.chunks.clone();
        let work = move || {
            let mut digests = Digests::new([algorithm]);
            chunks.iter().for_each(|chunk| digests.update(chunk));
            digests.finish().get(algorithm).map(|digest| STANDARD.encode(digest))
        };
        let sum = if self.length <= 64 << 10 {
            work()
        } else {
            let made = tokio::task::spawn_blocking(work).await;
            made.map_err(|lost| Error::Io { doing: "hashing", source: lost.into() })?
        };
        Ok(if crc32 { Sums { crc32: sum, md5: None } } else { Sums { crc32: None, md5: sum } })
    }

    /// The room that the bytes took.
    pub(crate) fn into_share(self) -> Share {
        self.share
    }
}

/// Digests of a piece as headers carry them: in Base64.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    pub(crate) crc32: Option<String>,
    pub(crate) md5: Option<String>,
}

impl Sums {
    /// What `Content-MD5` says of bytes with this digest.
    pub(crate) fn of_md5(digest: [u8; 16]) -> Self {
        Self { crc32: None, md5: Some(STANDARD.encode(digest)) }
    }
}

/// How many of the bytes that pass through are kept for a second try: a connection that the service
/// had closed meanwhile, or a refusal at its door, is known before many of them have gone.
const KEPT: usize = 1 << 20;

/// Bytes that go to the service as they come. Once more than the first of them have gone, they
/// cannot be sent again.
///
/// The last chunk stays here until [`Passing::end`]: whoever finds the bytes to be wrong drops
/// this, and the service sees a request that was cut off.
#[derive(Debug)]
pub(crate) struct Passing {
    to: mpsc::Sender<Bytes>,
    last: Option<Bytes>,
}

/// Where requests get passing bytes from; one request at a time.
#[derive(Debug)]
pub(crate) struct Source {
    passed: Arc<Mutex<Passed>>,
    length: u64,
    /// The right to pass bytes through, until the request has its answer.
    _stream: Stream,
}

#[derive(Debug)]
struct Passed {
    from: mpsc::Receiver<Bytes>,
    /// All that has gone, as long as `whole`.
    kept: Vec<Bytes>,
    size: usize,
    whole: bool,
    /// Counts the requests: what is left of an earlier one gets no bytes any more.
    request: u32,
}

impl Source {
    /// The bytes as a request's body, from the first one.
    pub(crate) fn body(&self) -> ByteStream {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.request += 1;
        let request = passed.request;
        drop(passed);
        let (passed, left) = (Arc::clone(&self.passed), self.length);
        ByteStream::new(SdkBody::from_body_1_x(Queue { passed, request, next: 0, left }))
    }

    /// Whether another request can have all bytes.
    pub(crate) fn is_whole(&self) -> bool {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).whole
    }
}

impl Passing {
    /// The sender, and the source of `length` bytes for the request.
    pub(crate) fn new(length: u64, stream: Stream) -> (Self, Source) {
        let (to, from) = mpsc::channel(QUEUED);
        let passed = Passed { from, kept: Vec::new(), size: 0, whole: true, request: 0 };
        let passed = Arc::new(Mutex::new(passed));
        (Self { to, last: None }, Source { passed, length, _stream: stream })
    }

    /// Passes on what was held so far, and gives its room back; false as for [`Passing::push`].
    pub(crate) async fn take_over(&mut self, held: Buffered) -> bool {
        for chunk in held.chunks {
            if !self.push(chunk).await {
                return false;
            }
        }
        true
    }

    /// False when nobody takes the bytes any more: the request has its answer.
    pub(crate) async fn push(&mut self, chunk: Bytes) -> bool {
        match self.last.replace(chunk) {
            Some(chunk) if !chunk.is_empty() => self.to.send(chunk).await.is_ok(),
            _ => true,
        }
    }

    /// Lets the last chunk go.
    pub(crate) async fn end(self) {
        if let Some(chunk) = self.last.filter(|chunk| !chunk.is_empty()) {
            // Nobody takes it: the request's answer tells why.
            let _ = self.to.send(chunk).await;
        }
    }
}

struct Chunks {
    chunks: VecDeque<Bytes>,
    left: u64,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = self.chunks.pop_front();
        if let Some(chunk) = &next {
            self.left -= chunk.len() as u64;
        }
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

struct Queue {
    passed: Arc<Mutex<Passed>>,
    request: u32,
    /// Which of the kept chunks comes next.
    next: usize,
    left: u64,
}

impl Queue {
    /// The next chunk: one that was kept, or a new one.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.request != self.request {
            return Poll::Ready(None);
        }
        if let Some(chunk) = passed.kept.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(chunk.clone()));
        }
        let polled = passed.from.poll_recv(cx);
        if let Poll::Ready(Some(chunk)) = &polled
            && passed.whole
        {
            passed.size += chunk.len();
            if passed.size <= KEPT {
                passed.kept.push(chunk.clone());
                self.next += 1;
            } else {
                passed.whole = false;
                passed.kept = Vec::new();
            }
        }
        polled
    }
}

impl Body for Queue {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.poll_chunk(cx) {
            Poll::Ready(Some(chunk)) => {
                let Some(left) = self.left.checked_sub(chunk.len() as u64) else {
                    return Poll::Ready(Some(Err(io::Error::other("more bytes than announced"))));
                };
                self.left = left;
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Poll::Ready(None) if self.left == 0 => Poll::Ready(None),
            Poll::Ready(None) => {
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "given up"))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
