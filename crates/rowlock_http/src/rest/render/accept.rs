//! What a client says it takes.

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether WebP is among what the client takes: by its name, since `*/*` is what everything that
/// loads a file says (RFC 9110, section 12.5.1).
pub(super) fn takes_webp(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("image/webp"));
        let refused = |part: &str| {
            let weight =
                part.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
            weight.is_some_and(|(_, weight)| weight.trim().parse::<f32>() == Ok(0.0))
        };
        named && !parts.any(refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_those_who_name_it() {
        for (value, takes) in [
            ("image/avif,image/webp,image/apng,*/*;q=0.8", true),
            ("IMAGE/WebP ; q=0.1", true),
            ("image/webp;q=0", false),
            ("image/webp; q=0.000", false),
            ("*/*", false),
            ("image/*", false),
            ("image/webpx", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]);
            assert_eq!(takes_webp(&headers), takes, "{value}");
        }
        assert!(!takes_webp(&HeaderMap::new()));
        let mut two = HeaderMap::new();
        two.append(ACCEPT, HeaderValue::from_static("text/html"));
        two.append(ACCEPT, HeaderValue::from_static("image/webp"));
        assert!(takes_webp(&two));
    }
}
