use std::net::SocketAddr;

use axum::body::Body;
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderValue, Request, header};

use super::forwarded::{ForwardingSettings, SignedCandidates};
use super::request_id::RequestId;
use crate::server::ConnectionInfo;

/// Where a Supabase stack mounts the service; its gateway cuts this off.
pub(super) const PREFIX: &str = "/storage/v1";
const S3: &str = "/s3";

/// How a request reached the S3 protocol.
#[derive(Debug, Clone)]
pub struct RouteInfo {
    /// What the request is called in logs and answers.
    pub request_id: RequestId,
    /// The client, or the proxy in front of us.
    pub peer: SocketAddr,
    /// The path as received, percent-encoded, without query.
    pub raw_path: String,
    /// What was cut off in front of `/s3`: `/storage/v1`, or nothing.
    pub prefix_stripped: Option<&'static str>,
    /// The hosts and paths that the client may have signed.
    pub signed: SignedCandidates,
    rest_at: usize,
}

impl RouteInfo {
    /// The route of a request to S3; nothing when it goes elsewhere.
    pub(super) fn of(
        request: &Request<Body>,
        request_id: RequestId,
        connection: ConnectionInfo,
        forwarding: &ForwardingSettings,
    ) -> Option<Self> {
        let raw_path = request.uri().path();
        let path = without_prefix(raw_path);
        let rest = path.strip_prefix(S3).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let prefix_stripped = (path.len() < raw_path.len()).then_some(PREFIX);
        let received = prefix_stripped.unwrap_or("");
        let signed = forwarding.candidates(request.headers(), received, &path[..S3.len()], rest);
        Some(Self {
            request_id,
            peer: connection.peer,
            raw_path: raw_path.to_owned(),
            prefix_stripped,
            signed,
            rest_at: raw_path.len() - rest.len(),
        })
    }

    /// What follows `/s3` in the path, percent-encoded: empty, or `/`, or `/bucket…`.
    pub fn rest(&self) -> &str {
        &self.raw_path[self.rest_at..]
    }
}

/// The path without the stack's prefix.
pub(super) fn without_prefix(path: &str) -> &str {
    match path.strip_prefix(PREFIX) {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// The path of a request to the REST API, without the stack's prefix; nothing when it goes
/// elsewhere.
pub(super) fn rest_path(path: &str) -> Option<&str> {
    let path = without_prefix(path);
    let below = |area: &str| {
        path.strip_prefix(area).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    ["/bucket", "/object", "/cdn", "/render/image"].into_iter().any(below).then_some(path)
}

/// What a request to resumable uploads has in front of `mount` (the stack's prefix or nothing) and
/// behind it; nothing when it goes elsewhere.
pub(super) fn below_mount<'a>(path: &'a str, mount: &str) -> Option<(&'static str, &'a str)> {
    let own = without_prefix(path);
    let rest = own.strip_prefix(mount).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    Some((if own.len() < path.len() { PREFIX } else { "" }, rest))
}

/// Brings a request target into origin form. In absolute form, the target's authority replaces
/// the Host header (RFC 9112, section 3.2.2). False for every other form: such a request is for
/// a proxy, or for the server as a whole.
pub(super) fn to_origin_form(request: &mut Request<Body>) -> bool {
    let uri = request.uri();
    if !uri.path().starts_with('/') {
        return false;
    }
    match (uri.scheme(), uri.authority()) {
        (None, None) => true,
        (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {
            // User information is no part of a Host header.
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            let Ok(host) = HeaderValue::from_str(host) else { return false };
            let target = uri.path_and_query().cloned();
            let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from(target);
            request.headers_mut().insert(header::HOST, host);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request<Body> {
        let uri: Uri = target.parse().unwrap();
        Request::builder().uri(uri).header("host", "h").body(Body::empty()).unwrap()
    }

    fn route(target: &str) -> Option<(Option<&'static str>, String)> {
        let request = request(target);
        let headers = request.headers();
        let id = RequestId::of(headers, None);
        let end = SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = ConnectionInfo { peer: end, local: end };
        let route = RouteInfo::of(&request, id, connection, &ForwardingSettings::default())?;
        Some((route.prefix_stripped, route.rest().to_owned()))
    }

    #[test]
    fn s3_is_found_on_the_raw_path() {
        let found = |prefix, rest: &str| Some((prefix, rest.to_owned()));
        assert_eq!(route("/s3"), found(None, ""));
        assert_eq!(route("/s3/?list"), found(None, "/"));
        assert_eq!(route("/s3/b/a%2Fb//c"), found(None, "/b/a%2Fb//c"));
        assert_eq!(route("/storage/v1/s3/b"), found(Some(PREFIX), "/b"));
        assert_eq!(route("/s3/storage/v1/s3"), found(None, "/storage/v1/s3"));
        for other in [
            "/",
            "/s3x",
            "/%733/b",
            "//s3/b",
            "/storage/v1",
            "/storage/v1s3",
            "/S3/b",
            "/storage/v1/storage/v1/s3/b",
        ] {
            assert_eq!(route(other), None, "{other}");
        }
    }

    #[test]
    fn rest_is_found_at_the_root_and_below_the_prefix() {
        for (path, wanted) in [
            ("/bucket", Some("/bucket")),
            ("/storage/v1/object/b/a%2Fb", Some("/object/b/a%2Fb")),
            ("/cdn/", Some("/cdn/")),
            ("/render/image/public/b/k", Some("/render/image/public/b/k")),
            ("/render", None),
            ("/buckets", None),
            ("/s3/bucket", None),
            ("/storage/v1/storage/v1/bucket", None),
        ] {
            assert_eq!(rest_path(path), wanted, "{path}");
        }
    }

    #[test]
    fn resumable_uploads_are_found_at_their_mount() {
        for (path, wanted) in [
            ("/upload/resumable", Some(("", ""))),
            ("/upload/resumable/sign/abc", Some(("", "/sign/abc"))),
            ("/storage/v1/upload/resumable/abc", Some((PREFIX, "/abc"))),
            ("/upload/resumables", None),
            ("/upload", None),
            ("/s3/upload/resumable", None),
        ] {
            assert_eq!(below_mount(path, "/upload/resumable"), wanted, "{path}");
        }
    }

    #[test]
    fn targets_become_origin_form_or_are_refused() {
        let form = |target: &str| {
            let mut request = request(target);
            let good = to_origin_form(&mut request);
            let host = request.headers()[header::HOST].to_str().unwrap().to_owned();
            good.then(|| (request.uri().to_string(), host))
        };
        let is = |target: &str, host: &str| Some((target.to_owned(), host.to_owned()));
        assert_eq!(form("/a?b"), is("/a?b", "h"));
        assert_eq!(form("http://x:81/a%2fb?c"), is("/a%2fb?c", "x:81"));
        assert_eq!(form("https://u:p@x"), is("/", "x"));
        for bad in ["*", "x:80", "ftp://x/a"] {
            assert_eq!(form(bad), None, "{bad}");
        }
    }
}
