//! What all answers share.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use rowlock_storage::Resumable;

use super::headers::{TUS_RESUMABLE, UPLOAD_EXPIRES, UPLOAD_OFFSET, VERSION};
use crate::rest::time::http_date;

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(TUS_RESUMABLE, VERSION);
    response
}

/// Up to where an upload is durable.
pub(super) fn put_offset(upload: &Resumable, headers: &mut HeaderMap) {
    headers.insert(UPLOAD_OFFSET, upload.offset.into());
}

/// When an upload is given up, as long as it can be (extension "expiration").
pub(super) fn put_expiry(upload: &Resumable, headers: &mut HeaderMap) {
    if !upload.done {
        set(headers, UPLOAD_EXPIRES, &http_date(upload.expires_at));
    }
}

/// Sets a header, unless the text cannot be a header's value.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}
