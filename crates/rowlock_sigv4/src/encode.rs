//! S3's own percent-encoding, and the reading of queries.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// A query whose names or values are not UTF-8 once decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the query is not UTF-8")]
pub struct InvalidQuery;

/// The decoded names and values of a raw query, in order; `?acl` has an empty value.
///
/// A server must read queries as the signature does, or a signed query could be sent in a second
/// spelling with another meaning; so read them with this: `&` separates, `+` is a space, a `%`
/// that begins no escape is itself.
///
/// # Errors
/// [`InvalidQuery`] when something decodes to bytes that are not UTF-8.
pub fn query_pairs(raw: &str) -> Result<Vec<(String, String)>, InvalidQuery> {
    let text =
        |bytes: Cow<'_, [u8]>| String::from_utf8(bytes.into_owned()).map_err(|_| InvalidQuery);
    decode_pairs(raw).map(|(name, value)| Ok((text(name)?, text(value)?))).collect()
}

/// The pairs of a raw query as bytes; empty pieces (`a&&b`) are skipped.
pub(crate) fn decode_pairs(raw: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    raw.split('&').filter(|piece| !piece.is_empty()).map(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (decode_piece(name), decode_piece(value))
    })
}

fn decode_piece(piece: &str) -> Cow<'_, [u8]> {
    if piece.contains('+') {
        let spaced = piece.replace('+', " ");
        Cow::Owned(percent_decode(spaced.as_bytes()).collect())
    } else {
        percent_decode(piece.as_bytes()).into()
    }
}

/// Encodes a decoded path as S3 clients do for the canonical URI: everything but
/// `A-Za-z0-9-._~/` as upper-case `%XX`, once, with nothing normalised.
pub fn encode_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 16);
    push_encoded(&mut out, path.as_bytes(), true);
    out
}

/// Encodes a query name or value: as [`encode_path`], and `/` too.
pub fn encode_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 16);
    push_encoded(&mut out, value.as_bytes(), false);
    out
}

/// The canonical form of a path as received: decoded once, encoded once.
pub(crate) fn canonical_path(raw: &str) -> String {
    let decoded: Cow<'_, [u8]> = percent_decode(raw.as_bytes()).into();
    let mut out = String::with_capacity(raw.len() + 16);
    push_encoded(&mut out, &decoded, true);
    out
}

/// The canonical query: pairs encoded and sorted by encoded name, then value; without
/// `X-Amz-Signature`, which cannot sign itself.
pub(crate) fn canonical_query(raw: &str) -> String {
    let mut pairs: Vec<(String, String)> = decode_pairs(raw)
        .filter(|(name, _)| name.as_ref() != b"X-Amz-Signature")
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    pairs.sort_unstable();
    let mut out = String::with_capacity(raw.len() + 16);
    for (name, value) in &pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
    out
}

fn encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 8);
    push_encoded(&mut out, bytes, false);
    out
}

fn push_encoded(out: &mut String, bytes: &[u8], keep_slash: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if keep_slash => out.push('/'),
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_sorted_by_their_encoded_form() {
        assert_eq!(canonical_query(""), "");
        assert_eq!(canonical_query("acl"), "acl=");
        assert_eq!(canonical_query("prefix=J&max-keys=2"), "max-keys=2&prefix=J");
        assert_eq!(canonical_query("a=2&a=1&X-Amz-Signature=x&b"), "a=1&a=2&b=");
        assert_eq!(canonical_query("X%2DAmz-Signature=x&a=b=c&&"), "a=b%3Dc");
        assert_eq!(canonical_query("k=a+b%2b%2f%zz&k%C3%A4=~*"), "k=a%20b%2B%2F%25zz&k%C3%A4=~%2A");
        // `-` sorts before `/` in bytes, but `%2F` before `-` once encoded.
        assert_eq!(canonical_query("a-=1&a/=2"), "a%2F=2&a-=1");
    }

    #[test]
    fn pairs_read_what_the_signature_covers() {
        let pairs = query_pairs("acl&prefix=a+b%2Bc&x=").unwrap();
        let expected = [("acl", ""), ("prefix", "a b+c"), ("x", "")];
        assert_eq!(pairs, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(query_pairs("a=%FF"), Err(InvalidQuery));
    }

    #[test]
    fn paths_are_encoded_once_and_never_normalised() {
        assert_eq!(encode_path("/b/ä +~!'()*/../x//y"), "/b/%C3%A4%20%2B~%21%27%28%29%2A/../x//y");
        assert_eq!(encode_value("a/b"), "a%2Fb");
        assert_eq!(canonical_path("/b/a%2fb+c%2525!"), "/b/a/b%2Bc%2525%21");
    }
}
