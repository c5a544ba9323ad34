//! Caching: what an answer says, and whether a client's copy is still good.

use http::HeaderMap;
use rowlock_types::ETag;
use time::OffsetDateTime;

use crate::rest::RestSettings;
use crate::rest::time::parse_http_date;

/// `Cache-Control` of an answer. Only a request that revalidates (that carries an entity tag in
/// one of the headers named) gets hints for shared caches: how long they may keep the answer,
/// and, where the tag is an old one, that they may serve the old object meanwhile.
pub(super) fn control(
    stored: &str,
    etag: &ETag,
    headers: &HeaderMap,
    settings: &RestSettings,
) -> String {
    let mut control = stored.to_owned();
    let Some(known) = settings.etag_headers.iter().find_map(|name| headers.get(name)) else {
        return control;
    };
    if settings.s_maxage > 0 {
        control.push_str(&format!(", s-maxage={}", settings.s_maxage));
    }
    if known.as_bytes() != etag.as_str().as_bytes() {
        control.push_str(", stale-while-revalidate=30");
    }
    control
}

/// Whether the client's copy is the current one: by its entity tags, else by its date (RFC 9110,
/// section 13.2.2). Dates of headers are whole seconds, those of objects are not, and the
/// reference compares both as they are.
pub(in crate::rest) fn is_current(
    headers: &HeaderMap,
    etag: &ETag,
    modified: OffsetDateTime,
) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(tags) = text("if-none-match") {
        let mut tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        return tags.any(|tag| tag == "*" || ETag::new(tag) == *etag);
    }
    text("if-modified-since").and_then(parse_http_date).is_some_and(|since| since >= modified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use time::macros::datetime;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn hints_for_shared_caches() {
        let etag = ETag::new("abc");
        let plain = RestSettings::default();
        let shared = RestSettings { s_maxage: 60, ..RestSettings::default() };
        let of = |pairs: &[_], settings| control("max-age=1", &etag, &headers(pairs), settings);
        let same = ("if-none-match", "\"abc\"");
        let old = ("if-none-match", "\"zzz\"");
        assert_eq!(of(&[], &shared), "max-age=1");
        assert_eq!(of(&[same], &plain), "max-age=1");
        assert_eq!(of(&[same], &shared), "max-age=1, s-maxage=60");
        assert_eq!(of(&[old], &plain), "max-age=1, stale-while-revalidate=30");
        assert_eq!(of(&[old], &shared), "max-age=1, s-maxage=60, stale-while-revalidate=30");
        let named = RestSettings {
            etag_headers: vec![HeaderName::from_static("x-etag")],
            ..RestSettings::default()
        };
        assert_eq!(of(&[old], &named), "max-age=1");
        assert_eq!(of(&[("x-etag", "z")], &named), "max-age=1, stale-while-revalidate=30");
    }

    #[test]
    fn copies() {
        let modified = datetime!(2026-11-24 02:04:02.635 UTC);
        let etag = ETag::new("abc");
        for (pairs, current) in [
            (&[][..], false),
            (&[("if-none-match", "\"abc\"")], true),
            (&[("if-none-match", "\"x\", W/\"abc\"")], true),
            (&[("if-none-match", "*")], true),
            (&[("if-none-match", "\"zzz\"")], false),
            (&[("if-modified-since", "Tue, 24 Nov 2026 02:04:02 GMT")], false),
            (&[("if-modified-since", "Tue, 24 Nov 2026 02:04:03 GMT")], true),
            (&[("if-modified-since", "never")], false),
            (
                &[
                    ("if-none-match", "\"zzz\""),
                    ("if-modified-since", "Tue, 24 Nov 2026 02:04:03 GMT"),
                ],
                false,
            ),
        ] {
            assert_eq!(is_current(&headers(pairs), &etag, modified), current, "{pairs:?}");
        }
    }
}
