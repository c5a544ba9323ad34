//! `OPTIONS`: what this server can, and what a page may ask of it.

use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::TusSettings;
use super::headers::{TUS_EXTENSION, TUS_MAX_SIZE, TUS_VERSION, VERSION};
use super::response;

const METHODS: HeaderValue = HeaderValue::from_static("POST, HEAD, PATCH, OPTIONS, DELETE");
const EXTENSIONS: HeaderValue = HeaderValue::from_static(
    "creation,creation-with-upload,creation-defer-length,termination,expiration",
);
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");
/// What clients of the protocol send.
const ALLOWED: &str = "Authorization, Content-Type, Location, Tus-Extension, Tus-Max-Size, \
    Tus-Resumable, Tus-Version, Upload-Concat, Upload-Defer-Length, Upload-Length, \
    Upload-Metadata, Upload-Offset, X-HTTP-Method-Override, X-Requested-With, X-Forwarded-Host, \
    X-Forwarded-Proto, Forwarded, X-Upsert, Upload-Expires, ApiKey, x-signature";

pub(super) fn handle(settings: &TusSettings, request: &HeaderMap) -> Response<Body> {
    let mut response = response::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(TUS_VERSION, VERSION);
    headers.insert(TUS_EXTENSION, EXTENSIONS);
    if let Some(most) = settings.max_size {
        headers.insert(TUS_MAX_SIZE, most.into());
    }
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed(request));
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.append(VARY, HeaderValue::from(ACCESS_CONTROL_REQUEST_HEADERS));
    response
}

/// Pages send headers of their own beside the protocol's: those that a preflight asks for too.
fn allowed(request: &HeaderMap) -> HeaderValue {
    let wanted = request.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|value| value.to_str().ok());
    let known = |name: &&str| !ALLOWED.split(", ").any(|one| one.eq_ignore_ascii_case(name));
    let more = wanted.unwrap_or_default().split(',').map(str::trim);
    let more: Vec<&str> = more.filter(|name| !name.is_empty()).filter(known).collect();
    let list = std::iter::once(ALLOWED).chain(more).collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&list).unwrap_or_else(|_| HeaderValue::from_static(ALLOWED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_can() {
        let told =
            handle(&TusSettings { max_size: Some(9), ..TusSettings::default() }, &HeaderMap::new());
        assert_eq!(told.status(), 204);
        for (name, value) in [
            ("tus-resumable", "1.0.0"),
            ("tus-version", "1.0.0"),
            ("tus-max-size", "9"),
            ("tus-extension", EXTENSIONS.to_str().unwrap()),
            ("access-control-allow-methods", "POST, HEAD, PATCH, OPTIONS, DELETE"),
            ("access-control-allow-headers", ALLOWED),
        ] {
            assert_eq!(told.headers()[name], value, "{name}");
        }
        let told = handle(&TusSettings::default(), &HeaderMap::new());
        assert!(!told.headers().contains_key("tus-max-size"));
    }

    #[test]
    fn a_page_may_send_what_it_asks_for() {
        let mut request = HeaderMap::new();
        let wanted = HeaderValue::from_static("authorization,x-client-info, upload-length");
        request.insert(ACCESS_CONTROL_REQUEST_HEADERS, wanted);
        assert_eq!(allowed(&request), format!("{ALLOWED}, x-client-info"));
    }
}
