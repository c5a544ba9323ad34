//! A request's body before and while an operation takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Body as _;
use rowlock_storage::{BodyError, UploadStream};

use super::error::RestError;
use crate::server::{is_stalled, refuse_early};

/// A body of so many bytes is taken for the sake of its connection, if it comes in so short a time.
const SMALL: u64 = 64 * 1024;
const SHORT: Duration = Duration::from_secs(1);

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// The client sent nothing for too long.
    #[error("the client sent nothing for too long")]
    Stalled,
    /// The connection broke, or its framing did.
    #[error("the body broke off")]
    Broken,
}

impl From<&axum::Error> for BodyFault {
    fn from(error: &axum::Error) -> Self {
        if is_stalled(error) { Self::Stalled } else { Self::Broken }
    }
}

/// A body that nobody has begun to read.
pub(crate) struct RequestBody {
    body: Option<Body>,
    length: Option<u64>,
    ended: Arc<AtomicBool>,
}

/// The bytes of a body as they arrive.
pub(crate) type Frames = BoxStream<'static, Result<Bytes, BodyFault>>;

impl RequestBody {
    pub(crate) fn new(body: Body, headers: &HeaderMap) -> Self {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let length = match announced.and_then(|text| text.parse().ok()) {
            Some(length) => Some(length),
            None if body.is_end_stream() => Some(0),
            None => None,
        };
        Self { body: Some(body), length, ended: Arc::default() }
    }

    /// The length in bytes that the request announces.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Finishes an answer: one to a body that was not read to its end ends the connection.
    /// SDKs send small bodies that no operation reads: these are taken, so that the connection
    /// lives on.
    pub(crate) async fn answer(mut self, response: Response<Body>) -> Response<Body> {
        let refused = response.status().as_u16() >= 400;
        if !refused && self.body.is_some() && self.length.is_some_and(|length| length <= SMALL) {
            let mut frames = self.take();
            let rest = async { while let Some(Ok(_)) = frames.next().await {} };
            if tokio::time::timeout(SHORT, rest).await.is_err() {
                return closing(response);
            }
            return response;
        }
        match self.body {
            Some(unread) => refuse_early(unread, response),
            None if refused && !self.ended.load(Ordering::Relaxed) => closing(response),
            None => response,
        }
    }

    /// Takes the body as it arrives.
    pub(crate) fn take(&mut self) -> Frames {
        let ended = Arc::clone(&self.ended);
        let frames = self.body.take().unwrap_or_default().into_data_stream();
        let end = stream::poll_fn(move |_| {
            ended.store(true, Ordering::Relaxed);
            Poll::Ready(None)
        });
        frames.map(|frame| frame.map_err(|error| BodyFault::from(&error))).chain(end).boxed()
    }

    /// Takes the body as the domain stores it.
    pub(crate) fn open(&mut self) -> UploadStream {
        self.take().map(|chunk| chunk.map_err(|fault| BodyError(Box::new(fault)))).boxed()
    }

    /// Takes the whole body into memory.
    ///
    /// # Errors
    /// EntityTooLarge beyond `most` bytes (the rest stays unread), or what broke the body.
    pub(crate) async fn whole(&mut self, most: usize) -> Result<Bytes, RestError> {
        let too_large = || RestError::entity_too_large();
        if self.length.is_some_and(|length| length > most as u64) {
            return Err(too_large());
        }
        let mut stream = self.take();
        let mut whole = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if whole.len() + chunk.len() > most {
                return Err(too_large());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.into())
    }
}

fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &'static str) -> RequestBody {
        RequestBody::new(Body::from(text), &HeaderMap::new())
    }

    fn refusal() -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
        response
    }

    fn closes(response: &Response<Body>) -> bool {
        response.headers().contains_key(header::CONNECTION)
    }

    #[tokio::test]
    async fn refusals_end_connections_with_unread_bodies() {
        assert!(closes(&body("x").answer(refusal()).await));
        assert!(!closes(&body("").answer(refusal()).await));
        let mut half = body("x");
        drop(half.take());
        assert!(closes(&half.answer(refusal()).await));
        let mut whole = body("x");
        assert_eq!(whole.whole(9).await.unwrap(), "x");
        assert!(!closes(&whole.answer(refusal()).await));
    }

    #[tokio::test]
    async fn small_unread_bodies_keep_their_connection() {
        let announced = |length: &'static str, body: Body| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static(length));
            RequestBody::new(body, &headers)
        };
        let good = || Response::new(Body::empty());
        assert!(!closes(&announced("2", Body::from("{}")).answer(good()).await));
        let slow = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert!(closes(&announced("2", slow).answer(good()).await));
        assert!(closes(&announced("70000", Body::from(vec![0; 70_000])).answer(good()).await));
    }

    #[tokio::test]
    async fn bodies_have_a_limit() {
        assert_eq!(body("abc").whole(3).await.unwrap(), "abc");
        assert_eq!(body("abcd").whole(3).await.unwrap_err().code(), "EntityTooLarge");
    }
}
