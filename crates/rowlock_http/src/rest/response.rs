//! What all answers share.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::error::RestError;

/// The content type of every JSON answer.
pub(crate) const JSON_TYPE: HeaderValue =
    HeaderValue::from_static("application/json; charset=utf-8");

/// 200 with a JSON document, its members in the order of its type.
///
/// # Errors
/// Only for a type that is no JSON.
pub(crate) fn json(document: &impl Serialize) -> Result<Response<Body>, RestError> {
    let text = serde_json::to_vec(document).map_err(RestError::internal)?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON_TYPE);
    Ok(response)
}

/// 200 with `{"message":…}`.
///
/// # Errors
/// Never, as things are.
pub(crate) fn message(text: &str) -> Result<Response<Body>, RestError> {
    json(&serde_json::json!({ "message": text }))
}

/// A status without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sets a header, unless the text cannot be a header's value (rows may hold anything).
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}
