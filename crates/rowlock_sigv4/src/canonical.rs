//! The canonical request: the text whose digest is signed.

use aws_lc_rs::digest::{Context, SHA256};

use crate::Request;

/// The canonical headers before and after the `host` line, which depends on the candidate tried.
#[derive(PartialEq, Eq)]
pub(crate) struct CanonicalHeaders {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl CanonicalHeaders {
    /// The values of the signed headers, several of one name joined by commas, each trimmed and,
    /// with `collapse`, with every run of spaces made one.
    ///
    /// S3's page only trims; the general SigV4 page and the SDKs collapse too, so a verifier
    /// tries both.
    pub(crate) fn new(request: &Request<'_>, signed: &[String], collapse: bool) -> Self {
        let mut headers = Self { before: Vec::with_capacity(512), after: Vec::with_capacity(512) };
        let mut out = &mut headers.before;
        for name in signed {
            if name == "host" {
                out = &mut headers.after;
                continue;
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            for (n, value) in received(request, name).enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                push_value(out, value, collapse);
            }
            out.push(b'\n');
        }
        headers
    }
}

/// The values of a signed header as the client sent them, before proxies touched them.
fn received<'a>(request: &Request<'a>, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let original = "x-original-accept-encoding";
    let name = if name == "accept-encoding" && request.has(original) { original } else { name };
    // Proxies answer `Expect` themselves and drop it; it has one possible value.
    let dropped = (name == "expect" && !request.has(name)).then_some(b"100-continue".as_slice());
    request.headers.iter().filter(move |(n, _)| *n == name).map(|(_, value)| *value).chain(dropped)
}

fn push_value(out: &mut Vec<u8>, value: &[u8], collapse: bool) {
    let value = value.trim_ascii();
    if !collapse {
        out.extend_from_slice(value);
        return;
    }
    let mut after_space = false;
    for &byte in value {
        let space = byte == b' ' || byte == b'\t';
        if !(space && after_space) {
            out.push(if space { b' ' } else { byte });
        }
        after_space = space;
    }
}

/// The parts of a canonical request that all candidates share.
pub(crate) struct CanonicalRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) query: &'a str,
    pub(crate) signed_headers: &'a str,
    pub(crate) payload: &'a str,
}

impl CanonicalRequest<'_> {
    /// The SHA-256 digest in hex of the canonical request with this path, host and header values.
    pub(crate) fn hash(&self, path: &str, host: &str, headers: &CanonicalHeaders) -> String {
        let mut digest = Context::new(&SHA256);
        for part in [
            self.method.as_bytes(),
            b"\n",
            path.as_bytes(),
            b"\n",
            self.query.as_bytes(),
            b"\n",
            &headers.before,
            b"host:",
            host.trim().as_bytes(),
            b"\n",
            &headers.after,
            b"\n",
            self.signed_headers.as_bytes(),
            b"\n",
            self.payload.as_bytes(),
        ] {
            digest.update(part);
        }
        hex::encode(digest.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(headers: &[(&str, &[u8])], signed: &[&str], collapse: bool) -> String {
        let request = Request { method: "GET", paths: &[], hosts: &[], query: "", headers };
        let signed: Vec<String> = signed.iter().map(|s| (*s).to_owned()).collect();
        let headers = CanonicalHeaders::new(&request, &signed, collapse);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        format!("{}|{}", text(headers.before), text(headers.after))
    }

    #[test]
    fn values_are_trimmed_collapsed_and_joined() {
        let headers: &[(&str, &[u8])] =
            &[("x-b", b"  a \t b  "), ("x-a", b"1"), ("x-b", b"c"), ("x-c", b" ")];
        let signed = ["x-a", "host", "x-b", "x-c"];
        assert_eq!(canonical(headers, &signed, true), "x-a:1\n|x-b:a b,c\nx-c:\n");
        assert_eq!(canonical(headers, &signed, false), "x-a:1\n|x-b:a \t b,c\nx-c:\n");
    }

    #[test]
    fn what_proxies_change_is_read_as_sent() {
        let headers: &[(&str, &[u8])] =
            &[("accept-encoding", b"gzip, br"), ("x-original-accept-encoding", b"identity")];
        assert_eq!(
            canonical(headers, &["accept-encoding", "expect", "host"], true),
            "accept-encoding:identity\nexpect:100-continue\n|"
        );
        assert_eq!(
            canonical(&headers[..1], &["accept-encoding"], true),
            "accept-encoding:gzip, br\n|"
        );
        assert_eq!(canonical(&[("expect", b"x")], &["expect"], true), "expect:x\n|");
    }
}
