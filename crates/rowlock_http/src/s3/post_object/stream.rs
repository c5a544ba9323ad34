//! A request's body on its way into the form parser, which takes all that a stream has ready
//! whenever it is asked for something: so it gets one piece at a time, none before it has used up
//! the one before, and no more than a form may have before its file has begun.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use http_body::Body as _;
use parking_lot::Mutex;

use crate::s3::body_fault::{BodyFault, fault_of};

/// More than this may not come before the file's first byte: 20 KB of fields, as AWS has it, and
/// room for what is around them.
const MAX_BEFORE_FILE: usize = 64 * 1024;

/// The body, shared with whoever answers when the form is refused half way.
#[derive(Clone)]
pub(crate) struct Source {
    body: Arc<Mutex<Option<Body>>>,
    file_began: Arc<AtomicBool>,
    found: Arc<AtomicUsize>,
}

impl Source {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body: Arc::new(Mutex::new(Some(body))),
            file_began: Arc::default(),
            found: Arc::default(),
        }
    }

    /// What is left of the body.
    pub(super) fn take(&self) -> Body {
        self.body.lock().take().unwrap_or_else(Body::empty)
    }

    /// The parser found something in what it has, and may find more in it.
    pub(super) fn found(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on the limit of what comes before the file does not count.
    pub(super) fn file_begins(&self) {
        self.file_began.store(true, Ordering::Relaxed);
    }

    /// The stream that the parser reads.
    pub(super) fn stream(&self) -> Pieces {
        Pieces { source: self.clone(), given: 0, pause: false, found: 0 }
    }
}

pub(super) struct Pieces {
    source: Source,
    given: usize,
    pause: bool,
    /// What the parser had found when it was last told to go on with what it has.
    found: usize,
}

impl Stream for Pieces {
    type Item = Result<Bytes, BodyFault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.pause) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !self.source.file_began.load(Ordering::Relaxed) {
            let found = self.source.found.load(Ordering::Relaxed);
            if std::mem::replace(&mut self.found, found) != found {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.given > MAX_BEFORE_FILE {
                return Poll::Ready(Some(Err(BodyFault::FormTooLarge)));
            }
        }
        let piece = {
            let mut body = self.source.body.lock();
            let Some(body) = body.as_mut() else { return Poll::Ready(None) };
            loop {
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Ready(Some(Err(error))) => {
                        return Poll::Ready(Some(Err(fault_of(&error))));
                    }
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(piece) = frame.into_data() {
                            break piece;
                        }
                    }
                }
            }
        };
        self.given = self.given.saturating_add(piece.len());
        self.pause = true;
        Poll::Ready(Some(Ok(piece)))
    }
}
