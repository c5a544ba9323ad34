use http::uri::Uri;
use http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode_str;

use super::route::PREFIX;

/// The most pairs of host and path that one signature is tried against.
pub const MAX_CANDIDATES: usize = 16;
const MAX_PREFIX_BYTES: usize = 128;
const MAX_HOST_BYTES: usize = 255 + 6;
const MAX_PATHS: usize = 4;

/// The address that users know us by (`STORAGE_PUBLIC_URL`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: &'static str,
    host: String,
    path: String,
}

/// The text is no URL with `http` or `https` and a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL such as https://example.com")]
pub struct InvalidPublicUrl;

impl PublicUrl {
    /// Reads the URL.
    ///
    /// # Errors
    /// When it has no scheme `http` or `https`, or no host.
    pub fn parse(text: &str) -> Result<Self, InvalidPublicUrl> {
        let uri: Uri = text.trim().parse().map_err(|_| InvalidPublicUrl)?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            _ => return Err(InvalidPublicUrl),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(InvalidPublicUrl)?;
        let host = match uri.port_u16() {
            Some(port) if port != default_port => format!("{host}:{port}"),
            _ => host.to_owned(),
        };
        Ok(Self { scheme, host, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// Whether only clients of this machine can use it.
    pub(super) fn is_local(&self) -> bool {
        let name = match self.host.strip_prefix('[') {
            Some(v6) => v6.split(']').next(),
            None => self.host.split(':').next(),
        };
        matches!(name, Some("localhost" | "127.0.0.1" | "::1"))
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Host, and port unless it is the scheme's own: the `Host` header that clients send there.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path without a slash at its end; empty for the root.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// What is believed of the headers that proxies add. Nothing here decides who may do what: a
/// signature has to fit one of the candidates, and only the secret's owner can make it fit.
#[derive(Debug, Clone, Default)]
pub struct ForwardingSettings {
    /// The address that users know us by (`STORAGE_PUBLIC_URL`).
    pub public_url: Option<PublicUrl>,
    /// Whether `Forwarded: host=` counts (`S3_ALLOW_FORWARDED_HEADER`).
    pub allow_forwarded_header: bool,
    /// A header that carries the host (`S3_PROTOCOL_NON_CANONICAL_HOST_HEADER`).
    pub non_canonical_host_header: Option<HeaderName>,
    /// Whether `X-Forwarded-Prefix` counts (`REQUEST_ALLOW_X_FORWARDED_PATH`).
    pub allow_forwarded_path: bool,
    /// A prefix that a proxy cuts off without saying so (`S3_PROTOCOL_PREFIX`).
    pub s3_prefix: Option<String>,
}

/// The hosts and paths that a client may have signed, likeliest first. At most
/// [`MAX_CANDIDATES`] pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCandidates {
    /// Texts of the `Host` header.
    pub hosts: Vec<String>,
    /// Whole paths, percent-encoded. Before a signature is accepted for one of them,
    /// [`fits_route`] must agree.
    pub paths: Vec<String>,
}

impl ForwardingSettings {
    /// The candidates of a request that came to `received` + `mount` + `rest`.
    pub(super) fn candidates(
        &self,
        headers: &HeaderMap,
        received: &str,
        mount: &str,
        rest: &str,
    ) -> SignedCandidates {
        let prefixes = self.prefixes(headers, received);
        let mut paths: Vec<String> =
            prefixes.iter().map(|prefix| format!("{prefix}{mount}{rest}")).collect();
        let mut hosts = self.hosts(headers);
        // Clients that know hosts only are served by a proxy that maps a host of its own to us.
        if !has_mount(rest) && (paths.len() + 1) * hosts.len() <= MAX_CANDIDATES {
            // At the service itself nothing is left but the root.
            paths.push(if rest.is_empty() { "/".to_owned() } else { rest.to_owned() });
        }
        let room = MAX_CANDIDATES / paths.len();
        if hosts.len() > room {
            // The host as received is the last, and the one that a direct client signs.
            hosts.drain(room - 1..hosts.len() - 1);
        }
        SignedCandidates { hosts, paths }
    }

    fn hosts(&self, headers: &HeaderMap) -> Vec<String> {
        let mut hosts = Vec::with_capacity(4);
        if let Some(url) = &self.public_url {
            push_host(&mut hosts, url.host());
        }
        if self.allow_forwarded_header
            && let Some(host) = text(headers, &header::FORWARDED).and_then(forwarded_host)
        {
            push_host(&mut hosts, host);
        }
        if let Some(name) = &self.non_canonical_host_header
            && let Some(host) = text(headers, name)
        {
            push_host(&mut hosts, first(host));
        }
        if let Some(host) = text(headers, &X_FORWARDED_HOST).map(first) {
            if let Some(port) = public_port(headers)
                && !has_port(host)
            {
                push_host(&mut hosts, &format!("{host}:{port}"));
            }
            // A proxy behind TLS often names its own port, which the client never saw.
            push_host(&mut hosts, host);
        }
        if let Some(host) = text(headers, &header::HOST) {
            // To the end, even where a proxy named it too: see `candidates`.
            hosts.retain(|known| known != host);
            push_host(&mut hosts, host);
        }
        hosts
    }

    fn prefixes(&self, headers: &HeaderMap, received: &str) -> Vec<String> {
        let mut prefixes = vec![received.to_owned()];
        let mut push = |prefix: &str| {
            let prefix = prefix.trim().trim_end_matches('/');
            if !is_good_prefix(prefix) {
                return;
            }
            let whole = if prefix.ends_with(PREFIX) || prefix.is_empty() {
                prefix.to_owned()
            } else {
                format!("{prefix}{received}")
            };
            if prefixes.len() < MAX_PATHS && !prefixes.contains(&whole) {
                prefixes.push(whole);
            }
        };
        if self.allow_forwarded_path
            && let Some(prefix) = text(headers, &X_FORWARDED_PREFIX)
        {
            push(first(prefix));
        }
        if let Some(prefix) = &self.s3_prefix {
            push(prefix);
        }
        if let Some(url) = &self.public_url {
            push(url.path());
        }
        push(PREFIX);
        push("");
        prefixes
    }
}

pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// The first of a comma list: what the proxy next to the client said.
pub(super) fn first(list: &str) -> &str {
    list.split(',').next().unwrap_or_default().trim()
}

/// The `host` of a `Forwarded` header's first element (RFC 7239, section 4).
fn forwarded_host(value: &str) -> Option<&str> {
    first(value).split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim_matches('"'))
    })
}

/// The port that clients use, where a proxy names one that a scheme does not imply.
pub(super) fn public_port(headers: &HeaderMap) -> Option<&str> {
    text(headers, &X_FORWARDED_PORT)
        .map(first)
        .filter(|port| !matches!(*port, "80" | "443") && port.parse::<u16>().is_ok())
}

pub(super) fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
}

fn push_host(hosts: &mut Vec<String>, host: &str) {
    if is_good_host(host) && !hosts.iter().any(|known| known == host) {
        hosts.push(host.to_owned());
    }
}

/// Whether a text can be a host with or without a port, and nothing else.
pub(super) fn is_good_host(host: &str) -> bool {
    let good = |b: u8| b.is_ascii_graphic() && !b"/?#@\\\"<>,".contains(&b);
    !host.is_empty() && host.len() <= MAX_HOST_BYTES && host.bytes().all(good)
}

/// A prefix is empty or `/segment…`, at most 128 bytes, without a segment `s3` (which would hide
/// where the protocol begins), without dot or empty segments, and with nothing encoded.
pub(super) fn is_good_prefix(prefix: &str) -> bool {
    let good = |b: u8| b.is_ascii_graphic() && !b"%?#\\".contains(&b);
    prefix.is_empty()
        || (prefix.len() <= MAX_PREFIX_BYTES
            && prefix.starts_with('/')
            && prefix.bytes().all(good)
            && prefix[1..].split('/').all(|segment| !matches!(segment, "" | "." | ".." | "s3")))
}

/// Whether a segment of a path is `s3`.
fn has_mount(path: &str) -> bool {
    path.split('/').any(is_mount)
}

fn is_mount(segment: &str) -> bool {
    percent_decode_str(segment).eq(b"s3".iter().copied())
}

/// Whether a signed path means the bucket and key that the request was routed to: what follows
/// its first segment `s3`, decoded, must equal `routed`, decoded; a path without such a segment
/// was signed by a client that knows our host only, and is bucket and key as a whole.
///
/// Otherwise a URL signed for the key `u/s3/B/x` of bucket A would, sent as `/s3/B/x` with the
/// prefix `/s3/A/u`, open bucket B.
pub fn fits_route(signed_path: &str, routed: &str) -> bool {
    let mut at = 0;
    for segment in signed_path.split('/') {
        at += segment.len();
        if is_mount(segment) {
            return percent_decode_str(&signed_path[at..]).eq(percent_decode_str(routed));
        }
        at += 1;
    }
    percent_decode_str(signed_path).eq(percent_decode_str(routed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        list.iter().map(pair).collect()
    }

    fn hosts(settings: &ForwardingSettings, list: &[(&'static str, &str)]) -> Vec<String> {
        settings.candidates(&headers(list), "", "/s3", "/b/k").hosts
    }

    fn paths(
        settings: &ForwardingSettings,
        list: &[(&'static str, &str)],
        received: &str,
    ) -> Vec<String> {
        settings.candidates(&headers(list), received, "/s3", "/b").paths
    }

    #[test]
    fn public_urls() {
        let parts = |text| PublicUrl::parse(text).map(|url| (url.host, url.path));
        let is = |host: &str, path: &str| Ok((host.to_owned(), path.to_owned()));
        assert_eq!(parts("http://localhost:8000"), is("localhost:8000", ""));
        assert_eq!(parts("https://x.example:443/"), is("x.example", ""));
        assert_eq!(parts("http://u:p@x:443/base/storage/v1/"), is("x:443", "/base/storage/v1"));
        for bad in ["", "localhost:8000", "ftp://x", "/path", "https://"] {
            assert_eq!(parts(bad), Err(InvalidPublicUrl), "{bad}");
        }
    }

    #[test]
    fn hosts_come_in_the_order_of_trust() {
        let all = [
            ("host", "storage:5000"),
            ("forwarded", "for=1.2.3.4;Host=\"fwd:1\", host=later"),
            ("x-real-host", "real, proxy"),
            ("x-forwarded-host", "xfh.example, inner"),
            ("x-forwarded-port", "8000, 80"),
        ];
        let none = ForwardingSettings::default();
        assert_eq!(hosts(&none, &all), ["xfh.example:8000", "xfh.example", "storage:5000"]);
        let everything = ForwardingSettings {
            public_url: Some(PublicUrl::parse("http://public:8000").unwrap()),
            allow_forwarded_header: true,
            non_canonical_host_header: Some(HeaderName::from_static("x-real-host")),
            ..none
        };
        let expected =
            ["public:8000", "fwd:1", "real", "xfh.example:8000", "xfh.example", "storage:5000"];
        assert_eq!(hosts(&everything, &all), expected);
    }

    #[test]
    fn ports_are_added_only_where_they_show() {
        let with = |host: &str, port: &str| {
            let list = [("x-forwarded-host", host), ("x-forwarded-port", port)];
            hosts(&ForwardingSettings::default(), &list)
        };
        assert_eq!(with("h", "443"), ["h"]);
        assert_eq!(with("h", "80"), ["h"]);
        assert_eq!(with("h:9", "8000"), ["h:9"]);
        assert_eq!(with("[::1]", "8000"), ["[::1]:8000", "[::1]"]);
        assert_eq!(with("h", "port"), ["h"]);
        assert_eq!(with("a/b", "8000"), [""; 0]);
        assert_eq!(with(&"h".repeat(300), "80"), [""; 0]);
    }

    #[test]
    fn paths_as_proxies_cut_them() {
        let default = ForwardingSettings::default();
        assert_eq!(paths(&default, &[], ""), ["/s3/b", "/storage/v1/s3/b", "/b"]);
        assert_eq!(paths(&default, &[], "/storage/v1"), ["/storage/v1/s3/b", "/s3/b", "/b"]);
        let foo = [("x-forwarded-prefix", "/foo/")];
        assert_eq!(paths(&default, &foo, ""), ["/s3/b", "/storage/v1/s3/b", "/b"]);
        let allowed = ForwardingSettings {
            allow_forwarded_path: true,
            s3_prefix: Some("/bar".to_owned()),
            public_url: Some(PublicUrl::parse("https://x/base").unwrap()),
            ..default
        };
        assert_eq!(
            paths(&allowed, &foo, ""),
            ["/s3/b", "/foo/s3/b", "/bar/s3/b", "/base/s3/b", "/b"]
        );
        let kong = [("x-forwarded-prefix", "/storage/v1")];
        assert_eq!(paths(&allowed, &kong, "")[1], "/storage/v1/s3/b");
        assert_eq!(paths(&allowed, &foo, "/storage/v1")[1], "/foo/storage/v1/s3/b");
    }

    #[test]
    fn bad_prefixes_are_dropped() {
        let settings =
            ForwardingSettings { allow_forwarded_path: true, ..ForwardingSettings::default() };
        let long = format!("/{}", "x".repeat(128));
        for bad in ["/s3/A/u", "/a/s3", "/a/%73%33", "relative", "/a//b", "/a/../b", "/a?b", &long]
        {
            let list = [("x-forwarded-prefix", bad)];
            assert_eq!(paths(&settings, &list, ""), ["/s3/b", "/storage/v1/s3/b", "/b"], "{bad}");
        }
        let longest = format!("/{}", "x".repeat(127));
        assert_eq!(paths(&settings, &[("x-forwarded-prefix", &longest)], "").len(), 4);
    }

    #[test]
    fn clients_that_know_a_host_only() {
        let settings = ForwardingSettings::default();
        let host = headers(&[("host", "h")]);
        let paths = |rest: &str| settings.candidates(&host, "", "/s3", rest).paths;
        assert_eq!(paths("/b/k").last().unwrap(), "/b/k");
        // Another mount's path, signed for another object.
        for rest in ["/storage/v1/s3/A/k", "/x/%733/A/k", "/s3"] {
            assert_eq!(paths(rest), [format!("/s3{rest}"), format!("/storage/v1/s3{rest}")]);
        }
    }

    #[test]
    fn never_more_than_sixteen_pairs_and_always_the_host_as_received() {
        let settings = ForwardingSettings {
            public_url: Some(PublicUrl::parse("http://public/base").unwrap()),
            allow_forwarded_header: true,
            non_canonical_host_header: Some(HeaderName::from_static("x-real-host")),
            allow_forwarded_path: true,
            s3_prefix: Some("/p".to_owned()),
        };
        let all = headers(&[
            ("host", "received"),
            ("forwarded", "host=fwd"),
            ("x-real-host", "real"),
            ("x-forwarded-host", "xfh"),
            ("x-forwarded-port", "8000"),
            ("x-forwarded-prefix", "/x"),
        ]);
        let found = settings.candidates(&all, "", "/s3", "");
        assert_eq!(found.hosts, ["public", "fwd", "real", "received"]);
        assert_eq!(found.paths, ["/s3", "/x/s3", "/p/s3", "/base/s3"]);
        assert!(found.hosts.len() * found.paths.len() <= MAX_CANDIDATES);
    }

    #[test]
    fn a_signed_path_must_mean_the_routed_object() {
        for (signed, routed) in [
            ("/s3/b/k", "/b/k"),
            ("/storage/v1/s3/b/k", "/b/k"),
            ("/foo/s3", ""),
            ("/s3/", "/"),
            ("/s3/b/a%2Fs3%2fx", "/b/a/s3/x"),
            ("/s3/b/%C3%A9", "/b/%c3%a9"),
            ("/s3/b/s3/x", "/b/s3/x"),
            ("/b/k", "/b/k"),
            ("/b/%C3%A9", "/b/%c3%a9"),
            ("", ""),
        ] {
            assert!(fits_route(signed, routed), "{signed} {routed}");
        }
        for (signed, routed) in [
            // Signed for key `u/s3/B/x` of bucket A.
            ("/s3/A/u/s3/B/x", "/B/x"),
            ("/storage/v1/s3/A/u/s3/B/x", "/B/x"),
            ("/%733/A/u/s3/B/x", "/B/x"),
            ("/s3/b/k", "/b/other"),
            ("/s3/b/k", "/b/k/"),
            ("/S3/b/k", "/b/k"),
            // Signed for bucket A, sent as if the mount's own path were a bucket and a key.
            ("/storage/v1/s3/A/k", "/storage/v1/s3/A/k"),
            ("/b/k", "/b/other"),
        ] {
            assert!(!fits_route(signed, routed), "{signed} {routed}");
        }
    }
}
