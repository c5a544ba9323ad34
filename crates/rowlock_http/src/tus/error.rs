//! The one place where a refusal or failure of a resumable upload gets its status and its text.
//!
//! Clients of this protocol look at the status alone, which is the real one; the body is a plain
//! sentence. Only who asks without a good token is answered as the REST API answers, since the
//! reference asks for it before the protocol begins.

use std::borrow::Cow;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use rowlock_storage::Error as StorageError;

use super::headers::{TUS_RESUMABLE, VERSION};
use crate::gateway::RequestId;
use crate::rest::body::BodyFault;
use crate::rest::error::RestError;

/// The content type of sentences, and of answers without any.
pub(super) const TEXT_TYPE: HeaderValue = HeaderValue::from_static("text/plain;charset=UTF-8");

/// Seconds after which whoever found the server busy may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A refusal or failure, ready to be rendered.
#[derive(Debug, thiserror::Error)]
#[error("{0:?}")]
pub(crate) struct TusError(Box<Inner>);

#[derive(Debug)]
enum Inner {
    Plain {
        status: u16,
        text: Cow<'static, str>,
        headers: HeaderMap,
        /// What the log should know and the client must not.
        log: Option<String>,
    },
    /// Before the protocol began.
    Rest(RestError),
}

impl TusError {
    pub(super) fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self(Box::new(Inner::Plain { status, text, headers: HeaderMap::new(), log: None }))
    }

    /// An answer in the REST API's form.
    pub(super) fn rest(error: RestError) -> Self {
        Self(Box::new(Inner::Rest(error)))
    }

    /// A header that is not of its form.
    pub(super) fn invalid(name: &HeaderName) -> Self {
        Self::new(400, format!("Invalid {name}\n"))
    }

    /// More bytes than may be.
    pub(super) fn too_large() -> Self {
        Self::new(413, "Maximum size exceeded\n")
    }

    /// The URL names no upload.
    pub(super) fn no_such_upload() -> Self {
        Self::new(404, "The file for this url was not found\n")
    }

    /// Too many requests bring bytes at the moment.
    pub(super) fn busy() -> Self {
        Self::new(503, "Too many uploads at a time\n").with(header::RETRY_AFTER, RETRY_AFTER)
    }

    /// One more header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Inner::Plain { headers, .. } = &mut *self.0 {
            headers.insert(name, value);
        }
        self
    }

    /// Status and text.
    #[cfg(test)]
    pub(super) fn told(self) -> (u16, String) {
        match *self.0 {
            Inner::Plain { status, text, .. } => (status, text.into_owned()),
            Inner::Rest(error) => {
                let told = error.told();
                (told.status, told.message.into_owned())
            }
        }
    }

    /// The answer.
    pub(super) fn into_response(self, request_id: &RequestId) -> Response<Body> {
        let (status, text, headers, log) = match *self.0 {
            Inner::Plain { status, text, headers, log } => (status, text, headers, log),
            Inner::Rest(error) => return error.into_response(request_id),
        };
        if let Some(what) = log {
            tracing::error!(request_id = request_id.as_str(), status, "TUS: {what}");
        }
        let mut response = Response::new(Body::from(text.into_owned()));
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(TUS_RESUMABLE, VERSION);
        response.headers_mut().insert(header::CONTENT_TYPE, TEXT_TYPE);
        response.headers_mut().extend(headers);
        response
    }
}

/// What both protocols refuse for the same reason, in the same words.
impl From<RestError> for TusError {
    fn from(error: RestError) -> Self {
        let told = error.told();
        let mut error = Self::new(told.status, told.message);
        if let Inner::Plain { log, .. } = &mut *error.0 {
            *log = told.log;
        }
        if told.status == 503 { error.with(header::RETRY_AFTER, RETRY_AFTER) } else { error }
    }
}

impl From<BodyFault> for TusError {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Stalled => Self::new(408, "The client sent nothing for too long\n"),
            BodyFault::Broken => Self::new(400, "The body broke off\n"),
        }
    }
}

impl From<StorageError> for TusError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NoSuchUpload => Self::no_such_upload(),
            StorageError::EntityTooLarge { .. } => Self::too_large(),
            StorageError::IncompleteBody => Self::from(BodyFault::Broken),
            StorageError::OffsetConflict { .. } => Self::new(409, "Upload-Offset conflict\n"),
            StorageError::UploadLocked => {
                Self::new(423, "The upload is in use by another request\n")
                    .with(header::RETRY_AFTER, RETRY_AFTER)
            }
            StorageError::UploadExpired => {
                Self::new(410, "The file for this url no longer exists\n")
            }
            StorageError::LengthConflict => Self::invalid(&super::headers::UPLOAD_LENGTH),
            StorageError::UploadCompleted => {
                Self::new(400, "Cannot terminate an already completed upload\n")
            }
            StorageError::Body(error) => match error.0.downcast::<BodyFault>() {
                Ok(fault) => (*fault).into(),
                Err(other) => RestError::internal(other).into(),
            },
            other => RestError::from(other).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_the_recorded_ones() {
        for (error, status, text) in [
            (StorageError::NoSuchBucket, 404, "Bucket not found"),
            (StorageError::PreconditionFailed, 409, "The resource already exists"),
            (StorageError::NoSuchUpload, 404, "The file for this url was not found\n"),
            (
                StorageError::InvalidMimeType("application/json".into()),
                415,
                "mime type application/json is not supported",
            ),
        ] {
            assert_eq!(TusError::from(error).told(), (status, text.to_owned()));
        }
    }

    #[test]
    fn failures_do_not_tell_what_the_log_tells() {
        let error = TusError::from(StorageError::Internal("/var/lib/secret/path"));
        let Inner::Plain { status, text, log, .. } = *error.0 else { panic!("in JSON") };
        assert_eq!((status, &*text), (500, "Internal Server Error"));
        assert!(log.unwrap().contains("secret"));
    }

    #[test]
    fn whoever_may_come_again_is_told_when() {
        let response = TusError::busy().into_response(&RequestId::of(&HeaderMap::new(), None));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[TUS_RESUMABLE], "1.0.0");
    }
}
