//! Bytes on their way into the service: one PUT's or one part's worth.

use crate::budget::{Budget, Share};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rowlock_blobs::Error;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// How many chunks wait between a client and the service.
const QUEUED: usize = 2;

/// Bytes that are held until they are acknowledged, so that they can be sent again.
#[derive(Debug, Default)]
pub(crate) struct Buffered {
    chunks: Vec<Bytes>,
    length: u64,
    _share: Option<Share>,
}

impl Buffered {
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.length += chunk.len() as u64;
        self.chunks.push(chunk);
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

    /// A digest over all bytes, made on a thread that may take its time.
    pub(crate) async fn digest<T: Send + 'static>(
        &self,
        digest: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let chunks = self.chunks.clone();
        let work = move || digest(&mut chunks.iter().map(|chunk| &chunk[..]));
        if self.length <= 64 << 10 {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|lost| Error::Io { doing: "hashing", source: lost.into() })
    }
}

/// Bytes that go to the service as they come; they cannot be sent again.
///
/// The last chunk stays here until [`Passing::end`]: whoever finds the bytes to be wrong drops
/// this, and the service sees a request that was cut off.
#[derive(Debug)]
pub(crate) struct Passing {
    to: mpsc::Sender<Bytes>,
    last: Option<Bytes>,
}

impl Passing {
    /// The sender, and the body of `length` bytes for the request.
    pub(crate) fn new(length: u64) -> (Self, ByteStream) {
        let (to, from) = mpsc::channel(QUEUED);
        let body = SdkBody::from_body_1_x(Queue { from, left: length });
        (Self { to, last: None }, ByteStream::new(body))
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

/// Room for a piece of up to `size` bytes; `None` when there is none, and the piece has to pass
/// through. One that `must` be held waits for longer.
pub(crate) async fn buffered(budget: &Budget, size: u64, must: bool) -> Option<Buffered> {
    let share = budget.share(size, must).await?;
    Some(Buffered { _share: Some(share), ..Buffered::default() })
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
    from: mpsc::Receiver<Bytes>,
    left: u64,
}

impl Body for Queue {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.from.poll_recv(cx) {
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
