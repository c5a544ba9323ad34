//! The URL under which clients know this server, for answers that must name one whole.

use http::{HeaderMap, HeaderName, header};

use super::forwarded::{
    ForwardingSettings, X_FORWARDED_HOST, X_FORWARDED_PREFIX, first, has_port, is_good_host,
    is_good_prefix, public_port, text,
};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl ForwardingSettings {
    /// Scheme, host and path that clients put in front of the paths of this server; `received` is
    /// what was cut off a request's own path.
    ///
    /// The public URL counts first, then what proxies say, then the request. Without any host
    /// there is only a path. A public URL that names this very machine, as every installation's
    /// does at first, is no address for clients elsewhere: whoever shows another one gets that.
    pub(super) fn base_url(&self, headers: &HeaderMap, received: &str) -> String {
        let prefix = self.prefix(headers, received);
        // A gateway that cut the prefix off put its own name for us into `Host`.
        let shown = !received.is_empty() || headers.contains_key(X_FORWARDED_HOST);
        if let Some(url) = self.public_url.as_ref().filter(|url| !(url.is_local() && shown)) {
            // Whoever wrote the whole path into the URL means the same place.
            let prefix = if url.path().ends_with(&prefix) { "" } else { &prefix };
            return format!("{}://{}{}{prefix}", url.scheme(), url.host(), url.path());
        }
        let scheme = match text(headers, &X_FORWARDED_PROTO).map(first) {
            Some(proto) if proto.eq_ignore_ascii_case("https") => "https",
            _ => "http",
        };
        match host(headers) {
            Some(host) => format!("{scheme}://{host}{prefix}"),
            None => prefix,
        }
    }

    /// What a proxy says that it cut off, and what came with the request.
    fn prefix(&self, headers: &HeaderMap, received: &str) -> String {
        let said = self.allow_forwarded_path.then(|| text(headers, &X_FORWARDED_PREFIX)).flatten();
        let said = said.map_or("", first).trim_end_matches('/');
        // Some proxies name the prefix and leave it in the path.
        let twice = !received.is_empty() && said.ends_with(received);
        match is_good_prefix(said) {
            true if twice => said.to_owned(),
            true => format!("{said}{received}"),
            false => received.to_owned(),
        }
    }
}

/// The host as the proxy next to the client saw it, with its port unless that is the scheme's own.
fn host(headers: &HeaderMap) -> Option<String> {
    let good = |host: &&str| is_good_host(host);
    let Some(host) = text(headers, &X_FORWARDED_HOST).map(first).filter(good) else {
        return text(headers, &header::HOST).filter(good).map(str::to_owned);
    };
    match public_port(headers) {
        Some(port) if !has_port(host) => Some(format!("{host}:{port}")),
        _ => Some(host.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::PublicUrl;
    use http::HeaderValue;

    fn base(
        settings: &ForwardingSettings,
        list: &[(&'static str, &str)],
        received: &str,
    ) -> String {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        settings.base_url(&list.iter().map(pair).collect(), received)
    }

    #[test]
    fn the_request_names_it_where_nobody_else_does() {
        let none = ForwardingSettings::default();
        let host = ("host", "localhost:8000");
        assert_eq!(base(&none, &[host], ""), "http://localhost:8000");
        assert_eq!(base(&none, &[host], "/storage/v1"), "http://localhost:8000/storage/v1");
        assert_eq!(base(&none, &[], "/storage/v1"), "/storage/v1");
        assert_eq!(base(&none, &[("host", "a/b\"")], ""), "");
    }

    #[test]
    fn proxies_name_it() {
        let none = ForwardingSettings::default();
        let allowed = ForwardingSettings { allow_forwarded_path: true, ..none.clone() };
        let kong = [
            ("host", "storage:5000"),
            ("x-forwarded-host", "api.example.com"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-prefix", "/storage/v1/"),
        ];
        assert_eq!(base(&none, &kong, ""), "https://api.example.com:8443");
        assert_eq!(base(&allowed, &kong, ""), "https://api.example.com:8443/storage/v1");
        assert_eq!(base(&allowed, &kong, "/storage/v1"), "https://api.example.com:8443/storage/v1");
        for (port, wanted) in [("443", "http://h"), ("80", "http://h"), ("x", "http://h")] {
            let list = [("x-forwarded-host", "h"), ("x-forwarded-port", port)];
            assert_eq!(base(&none, &list, ""), wanted);
        }
        let list = [("x-forwarded-host", "h:1"), ("x-forwarded-port", "2")];
        assert_eq!(base(&none, &list, ""), "http://h:1");
        let evil = [("host", "h"), ("x-forwarded-host", "a b"), ("x-forwarded-proto", "gopher")];
        assert_eq!(base(&none, &evil, ""), "http://h");
        let evil = [("host", "h"), ("x-forwarded-prefix", "//evil/..")];
        assert_eq!(base(&allowed, &evil, "/storage/v1"), "http://h/storage/v1");
    }

    #[test]
    fn the_public_url_wins() {
        let of = |url: &str| ForwardingSettings {
            public_url: Some(PublicUrl::parse(url).unwrap()),
            allow_forwarded_path: true,
            ..ForwardingSettings::default()
        };
        let kong = [
            ("host", "storage:5000"),
            ("x-forwarded-host", "inner"),
            ("x-forwarded-prefix", "/storage/v1"),
        ];
        assert_eq!(base(&of("https://x.example"), &kong, ""), "https://x.example/storage/v1");
        let plain = [("host", "h")];
        assert_eq!(base(&of("http://x:8000/"), &plain, ""), "http://x:8000");
        assert_eq!(base(&of("http://x/storage/v1"), &kong, ""), "http://x/storage/v1");
        assert_eq!(base(&of("http://x/base"), &plain, "/storage/v1"), "http://x/base/storage/v1");
    }

    #[test]
    fn localhost_is_no_address_for_others() {
        let of = |url: &str| ForwardingSettings {
            public_url: Some(PublicUrl::parse(url).unwrap()),
            allow_forwarded_path: true,
            ..ForwardingSettings::default()
        };
        for url in ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"] {
            let lan = [("host", "192.168.1.5:8000")];
            assert_eq!(base(&of(url), &lan, "/storage/v1"), "http://192.168.1.5:8000/storage/v1");
            let inner = [("host", "storage:5000"), ("x-forwarded-prefix", "/storage/v1")];
            assert_eq!(base(&of(url), &inner, ""), format!("{url}/storage/v1"));
            let kong = [
                ("host", "storage:5000"),
                ("x-forwarded-host", "192.168.1.5"),
                ("x-forwarded-port", "8000"),
                ("x-forwarded-prefix", "/storage/v1"),
            ];
            assert_eq!(base(&of(url), &kong, ""), "http://192.168.1.5:8000/storage/v1");
        }
    }
}
