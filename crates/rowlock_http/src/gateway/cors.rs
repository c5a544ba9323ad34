use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS");
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");
/// Every header of an answer that a script may want to read and that browsers hide otherwise.
const EXPOSED: &str = "Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, \
    Content-Range, Date, ETag, Location, Retry-After, Server-Timing, Tus-Extension, Tus-Max-Size, \
    Tus-Resumable, Tus-Version, Upload-Defer-Length, Upload-Expires, Upload-Length, \
    Upload-Metadata, Upload-Offset, X-Robots-Tag, x-amz-abort-date, x-amz-abort-rule-id, \
    x-amz-bucket-region, x-amz-checksum-crc32, x-amz-checksum-crc32c, x-amz-checksum-crc64nvme, \
    x-amz-checksum-sha1, x-amz-checksum-sha256, x-amz-checksum-type, \
    x-amz-copy-source-version-id, x-amz-delete-marker, x-amz-expiration, x-amz-id-2, \
    x-amz-missing-meta, x-amz-mp-parts-count, x-amz-object-size, x-amz-request-id, \
    x-amz-server-side-encryption, x-amz-storage-class, x-amz-tagging-count, x-amz-version-id";
const USER_METADATA: &str = "x-amz-meta-";

/// Which web origins may read answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// All of them (`*`).
    Any,
    /// Only these, such as `https://app.example.com`.
    List(Vec<String>),
}

impl CorsOrigins {
    /// Reads a comma list of origins; `*` among them, or nothing at all, means any.
    pub fn parse(text: &str) -> Self {
        let origins = || text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        if origins().next().is_none() || origins().any(|origin| origin == "*") {
            return Self::Any;
        }
        Self::List(origins().map(|origin| origin.trim_end_matches('/').to_owned()).collect())
    }

    /// Says on an answer who may read it. What the answer already says stays.
    pub(super) fn mark(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let allowed = match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::List(list) => {
                headers.append(VARY, HeaderValue::from(ORIGIN));
                origin
                    .filter(|origin| list.iter().any(|o| o.as_bytes() == origin.as_bytes()))
                    .cloned()
            }
        };
        let Some(allowed) = allowed else {
            headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
            return;
        };
        if *self != Self::Any || !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
        if !headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS) {
            let exposed = exposed(headers);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

/// The answer to a preflight: every method, and the headers asked for (a wildcard would leave
/// out `Authorization`).
pub(super) fn preflight(request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    let wanted = request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let wanted = wanted.unwrap_or_else(|| HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.append(VARY, HeaderValue::from(ACCESS_CONTROL_REQUEST_HEADERS));
    response
}

fn exposed(headers: &HeaderMap) -> HeaderValue {
    let own = headers.keys().map(|name| name.as_str()).filter(|n| n.starts_with(USER_METADATA));
    let own: Vec<&str> = own.collect();
    if own.is_empty() {
        return HeaderValue::from_static(EXPOSED);
    }
    HeaderValue::from_str(&format!("{EXPOSED}, {}", own.join(", ")))
        .unwrap_or_else(|_| HeaderValue::from_static(EXPOSED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(origins: &CorsOrigins, origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-meta-colour", HeaderValue::from_static("red"));
        origins.mark(origin.map(HeaderValue::from_static).as_ref(), &mut headers);
        headers
    }

    #[test]
    fn lists_are_read_leniently() {
        assert_eq!(CorsOrigins::parse(""), CorsOrigins::Any);
        assert_eq!(CorsOrigins::parse("https://a, *"), CorsOrigins::Any);
        let list = vec!["https://a".to_owned(), "http://b:3000".to_owned()];
        assert_eq!(CorsOrigins::parse(" https://a/ ,,http://b:3000"), CorsOrigins::List(list));
    }

    #[test]
    fn any_origin_reads_everything() {
        let headers = marked(&CorsOrigins::Any, None);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let exposed = headers[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
        for name in ["ETag", "x-amz-request-id", "Upload-Offset", "x-amz-meta-colour"] {
            assert!(exposed.split(", ").any(|e| e == name), "{name}");
        }
        assert!(!headers.contains_key(VARY));
    }

    #[test]
    fn a_list_names_the_origin_or_nothing() {
        let list = CorsOrigins::parse("https://a,https://b");
        let headers = marked(&list, Some("https://b"));
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://b");
        assert_eq!(headers[VARY], "origin");
        for origin in [None, Some("https://c"), Some("https://b.evil"), Some("null")] {
            let headers = marked(&list, origin);
            assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{origin:?}");
            assert_eq!(headers[VARY], "origin");
        }
    }

    #[test]
    fn what_a_protocol_says_itself_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Tus-Resumable"));
        CorsOrigins::Any.mark(None, &mut headers);
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "Tus-Resumable");
    }
}
