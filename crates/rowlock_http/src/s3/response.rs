//! What all answers share.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::error::XML_TYPE;
use super::xml::Xml;

/// The two ids that every S3 answer bears.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) request_id: String,
    pub(crate) host_id: String,
}

impl Ids {
    /// The ids of a request.
    pub(crate) fn of(request_id: &str) -> Self {
        Self { request_id: request_id.to_owned(), host_id: STANDARD.encode(request_id) }
    }

    /// Puts them into an answer's headers.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        set(headers, "x-amz-request-id", &self.request_id);
        set(headers, "x-amz-id-2", &self.host_id);
    }
}

/// Sets a header, unless the text cannot be a header's value (rows may hold anything).
pub(crate) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// 200 with an XML document.
pub(crate) fn xml(document: Xml) -> Response<Body> {
    let mut response = Response::new(Body::from(document.finish()));
    response.headers_mut().insert(header::CONTENT_TYPE, XML_TYPE);
    response
}

/// A status without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
