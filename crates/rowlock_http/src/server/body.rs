use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

/// The client sent nothing of a body for too long.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the request's body stalled")]
pub struct BodyStalled;

/// Whether reading a body failed because the client sent nothing for too long (S3:
/// `RequestTimeout`).
pub fn is_stalled(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<BodyStalled>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Answers before the request's body was read: what is left of the body is given up, and where
/// there is some, the answer says `Connection: close`.
///
/// The connection then takes and forgets at most 1 MiB of the body for at most 5 s, so that a
/// client still sending gets to read the answer instead of a reset.
pub fn refuse_early(body: Body, mut response: Response<Body>) -> Response<Body> {
    if !body.is_end_stream() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A request's body that fails when its client pauses for too long. The time counts only while
/// someone waits for the body, and anew after each piece.
pub(super) struct TimedBody {
    inner: Incoming,
    given_up: GivenUp,
    ended: bool,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
}

/// Whether somebody let go of a request's body before its end.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl TimedBody {
    pub(super) fn wrap(inner: Incoming, limit: Duration, given_up: GivenUp) -> Body {
        if inner.is_end_stream() {
            return Body::empty();
        }
        Body::new(Self { inner, given_up, ended: false, limit, timer: None, waiting_since: None })
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        if !self.ended && !self.inner.is_end_stream() {
            self.given_up.0.store(true, Ordering::Release);
        }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.waiting_since = None;
            this.ended = frame.is_none();
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        // The timer runs on after a piece came, and is set anew only when it rings: a fast
        // upload then costs no timer operation per piece.
        let since = *this.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since + this.limit;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Some(Err(BodyStalled.into())));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
