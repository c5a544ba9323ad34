//! The paths of signed URLs, and the token that comes with them.

use percent_encoding::percent_decode_str;

use crate::rest::context::RestRequest;
use crate::rest::error::RestError;

/// The signed path of an object, relative to the API. Clients run it through an encoder of their
/// own, which leaves alone what would cut a URL; only that is encoded here.
pub(super) fn signed_path(area: &str, bucket: &str, key: &str, token: &str) -> String {
    let whole = |text: &str| text.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("/{area}/{}/{}?token={token}", whole(bucket), whole(key))
}

/// The token of a signed URL. The key of one that nobody encoded may have a `?` of its own, behind
/// which everything looks like a query.
///
/// # Errors
/// InvalidRequest where there is none.
pub(super) fn token(request: &RestRequest) -> Result<&str, RestError> {
    let found = request.query.get("token").or_else(|| request.query.last_ending("?token"));
    found
        .map(|token| token.rsplit_once("?token=").map_or(token, |(_, token)| token))
        .filter(|token| !token.is_empty())
        .ok_or_else(|| RestError::invalid("querystring must have required property 'token'"))
}

/// Bucket and key that a token is good for, where the request's path means the same. A path that
/// was encoded once more than it was decoded does, and one that a `?` or `#` of the key cut.
///
/// # Errors
/// InvalidSignature.
pub(super) fn named<'a>(
    url: &'a str,
    request: &RestRequest,
) -> Result<(&'a str, &'a str), RestError> {
    let path = format!("{}/{}", request.bucket, request.key);
    let decoded = percent_decode_str(&path).decode_utf8().unwrap_or_default();
    let cut = url.strip_prefix(&path).is_some_and(|rest| rest.starts_with(['?', '#']));
    if url != path && url != decoded && !cut {
        return Err(RestError::invalid_signature());
    }
    url.split_once('/').ok_or_else(RestError::invalid_signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::context::request_to;

    #[test]
    fn paths_survive_encoders() {
        assert_eq!(
            signed_path("object/sign", "b", "a b/ü.txt", "t"),
            "/object/sign/b/a b/ü.txt?token=t"
        );
        assert_eq!(
            signed_path("object/sign", "b", "a?b#c%d", "t"),
            "/object/sign/b/a%3Fb%23c%25d?token=t"
        );
    }

    #[test]
    fn the_tokens_own_claim_counts() {
        for (url, bucket, key, fits) in [
            ("b/k", "b", "k", true),
            ("b/a?b#c%d", "b", "a?b#c%d", true),
            ("b/a?b#c%d", "b", "a%3Fb%23c%25d", true),
            ("b/a?b", "b", "a", true),
            ("b/a#b", "b", "a", true),
            ("b/ab", "b", "a", false),
            ("b/k", "b", "other", false),
            ("b/k", "c", "k", false),
            ("nothing", "nothing", "", false),
        ] {
            let request = request_to(bucket, key, "");
            let found = named(url, &request).ok();
            assert_eq!(found, if fits { url.split_once('/') } else { None }, "{url} {key}");
        }
    }

    #[test]
    fn tokens_behind_a_keys_question_mark() {
        assert_eq!(token(&request_to("b", "k", "download&token=t")).unwrap(), "t");
        assert_eq!(token(&request_to("b", "a", "b.txt?token=t")).unwrap(), "t");
        assert_eq!(token(&request_to("b", "a", "token=key?token=t")).unwrap(), "t");
        for query in ["", "token=", "x?token="] {
            assert!(token(&request_to("b", "k", query)).is_err(), "{query}");
        }
    }
}
