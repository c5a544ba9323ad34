//! A request's body before and while an operation takes it.

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, header};
use http_body::Body as _;
use rowlock_storage::{BodyError, UploadStream};

use super::error::RestError;
use crate::server::is_stalled;

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
}

impl RequestBody {
    pub(crate) fn new(body: Body, headers: &HeaderMap) -> Self {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let length = match announced.and_then(|text| text.parse().ok()) {
            Some(length) => Some(length),
            None if body.is_end_stream() => Some(0),
            None => None,
        };
        Self { body: Some(body), length }
    }

    /// The length in bytes that the request announces.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The body, if nobody has taken it: an answer without it ends the connection.
    pub(crate) fn unread(self) -> Option<Body> {
        self.body
    }

    /// Takes the body as it arrives.
    pub(crate) fn take(&mut self) -> BodyDataStream {
        self.body.take().unwrap_or_default().into_data_stream()
    }

    /// Takes the body as the domain stores it.
    pub(crate) fn open(&mut self) -> UploadStream {
        self.take()
            .map(|chunk| chunk.map_err(|error| BodyError(Box::new(BodyFault::from(&error)))))
            .boxed()
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
            let chunk = chunk.map_err(|error| BodyFault::from(&error))?;
            if whole.len() + chunk.len() > most {
                return Err(too_large());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.into())
    }
}
