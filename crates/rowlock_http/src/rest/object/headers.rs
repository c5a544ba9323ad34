//! What an answer's headers tell of an object, from its row alone.

use http::{HeaderMap, HeaderValue, header};
use rowlock_storage::Object;
use rowlock_types::ETag;

use super::cache;
use super::disposition::attachment;
use crate::rest::RestSettings;
use crate::rest::context::RestRequest;
use crate::rest::response::set;
use crate::rest::time::http_date;

/// The content type of objects whose row has none.
const DEFAULT_TYPE: &str = "application/octet-stream";

/// The content type that the row has.
pub(in crate::rest) fn content_type(object: &Object) -> &str {
    object.metadata.mimetype.as_deref().unwrap_or(DEFAULT_TYPE)
}

/// The cache control that the row has.
pub(super) fn cache_control(object: &Object) -> &str {
    object.metadata.cache_control.as_deref().unwrap_or("no-cache")
}

/// Tag, date and caching: what every answer about an object tells. The tag is the object's, or that
/// of what is made of it.
pub(in crate::rest) fn put_validators(
    object: &Object,
    etag: &ETag,
    request: &RestRequest,
    settings: &RestSettings,
    headers: &mut HeaderMap,
) {
    let control = cache::control(cache_control(object), etag, &request.headers, settings);
    set(headers, header::CACHE_CONTROL, &control);
    set(headers, header::ETAG, etag.as_str());
    set(headers, header::LAST_MODIFIED, &http_date(object.last_modified));
}

/// All headers of an answer with the object's bytes, but for length and range.
pub(super) fn put(
    object: &Object,
    request: &RestRequest,
    settings: &RestSettings,
    headers: &mut HeaderMap,
) {
    put_validators(object, &object.etag, request, settings, headers);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(headers, header::CONTENT_TYPE, content_type(object));
    put_robots(object, headers);
    // What only S3 clients can store: bytes without their encoding would be unreadable.
    if let Some(extra) = &object.metadata.rowlock {
        for (name, value) in [
            (header::CONTENT_DISPOSITION, &extra.content_disposition),
            (header::CONTENT_ENCODING, &extra.content_encoding),
            (header::CONTENT_LANGUAGE, &extra.content_language),
            (header::EXPIRES, &extra.expires),
        ] {
            if let Some(value) = value {
                set(headers, name, value);
            }
        }
    }
    put_disposition(request, headers);
}

/// What search engines may do with it.
pub(in crate::rest) fn put_robots(object: &Object, headers: &mut HeaderMap) {
    let robots = object.metadata.x_robots_tag.as_deref().unwrap_or("none");
    set(headers, header::HeaderName::from_static("x-robots-tag"), robots);
}

/// `?download`: the answer becomes a file.
pub(in crate::rest) fn put_disposition(request: &RestRequest, headers: &mut HeaderMap) {
    if let Some(name) = request.query.get("download") {
        set(headers, header::CONTENT_DISPOSITION, &attachment(name));
    }
}
