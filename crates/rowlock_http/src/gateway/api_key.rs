use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, header};
use percent_encoding::percent_decode_str;
use rowlock_auth::{ApiKey, Authenticator};

/// Turns the API key of a request into an `Authorization` header, as the stack's gateway does.
///
/// Only where `Authorization` is absent, empty or an opaque key: a user's token or an AWS
/// signature stays. The key is the header `apikey`, else the query parameter of that name. Where
/// no known key is left, there is no `Authorization` either.
pub(super) fn translate(request: &mut Request<Body>, authenticator: &Authenticator) {
    let kept = request
        .headers()
        .get(header::AUTHORIZATION)
        .is_some_and(|value| !value.is_empty() && !is_opaque(value.as_bytes()));
    if kept {
        return;
    }
    let bearer = api_key(request.headers(), request.uri().query())
        .and_then(|key| token(&key, authenticator))
        .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
    match bearer {
        Some(mut bearer) => {
            bearer.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        None => {
            request.headers_mut().remove(header::AUTHORIZATION);
        }
    }
}

fn is_opaque(authorization: &[u8]) -> bool {
    const SCHEME: &[u8] = b"bearer ";
    authorization.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
        && authorization[SCHEME.len()..].trim_ascii_start().starts_with(b"sb_")
}

fn api_key(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    if let Some(value) = headers.get("apikey") {
        return value.to_str().ok().filter(|key| !key.is_empty()).map(str::to_owned);
    }
    let value = query?.split('&').find_map(|pair| pair.strip_prefix("apikey="))?;
    let key = percent_decode_str(value).decode_utf8().ok()?;
    (!key.is_empty()).then(|| key.into_owned())
}

fn token(key: &str, authenticator: &Authenticator) -> Option<String> {
    let token = match authenticator.translate_api_key(key).ok()? {
        ApiKey::Service => authenticator.service_caller().token.as_ref().to_owned(),
        ApiKey::Anon => authenticator.anon_caller().token.as_ref().to_owned(),
        ApiKey::Token(token) => token.to_owned(),
    };
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_auth::AuthSettings;

    fn authenticator() -> Authenticator {
        Authenticator::new(AuthSettings {
            jwt_secret: Some("a-secret-of-at-least-32-characters".to_owned()),
            publishable_key: Some("sb_publishable_1".to_owned()),
            secret_key: Some("sb_secret_1".to_owned()),
            ..AuthSettings::default()
        })
        .unwrap()
    }

    fn translated(target: &str, headers: &[(&'static str, &str)]) -> Option<String> {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        translate(&mut request, &authenticator());
        let value = request.headers().get(header::AUTHORIZATION)?;
        Some(value.to_str().unwrap().to_owned())
    }

    fn role(authorization: Option<String>) -> String {
        let authorization = authorization.unwrap();
        let token = authorization.strip_prefix("Bearer ").unwrap();
        authenticator().verify(token).unwrap().role.to_string()
    }

    #[test]
    fn opaque_keys_become_roles() {
        assert_eq!(role(translated("/", &[("apikey", "sb_secret_1")])), "service_role");
        assert_eq!(role(translated("/", &[("apikey", "sb_publishable_1")])), "anon");
        assert_eq!(role(translated("/?x=1&apikey=sb%5Fsecret_1", &[])), "service_role");
        let both = [("authorization", "Bearer sb_secret_1"), ("apikey", "sb_publishable_1")];
        assert_eq!(role(translated("/", &both)), "anon");
        let empty = [("authorization", ""), ("apikey", "sb_publishable_1")];
        assert_eq!(role(translated("/", &empty)), "anon");
    }

    #[test]
    fn unknown_keys_leave_nothing() {
        assert_eq!(translated("/", &[("apikey", "sb_secret_2")]), None);
        assert_eq!(translated("/", &[("authorization", "Bearer sb_secret_1")]), None);
        assert_eq!(translated("/", &[("authorization", "")]), None);
        assert_eq!(translated("/?apikey=", &[]), None);
        assert_eq!(translated("/?xapikey=sb_secret_1", &[]), None);
        // The header wins over the query, also when it is of no use.
        assert_eq!(translated("/?apikey=sb_secret_1", &[("apikey", "sb_x")]), None);
    }

    #[test]
    fn tokens_and_signatures_stay() {
        let key = ("apikey", "sb_secret_1");
        for kept in ["Bearer a.b.c", "AWS4-HMAC-SHA256 Credential=x", "Basic eA=="] {
            let headers = [("authorization", kept), key];
            assert_eq!(translated("/", &headers).as_deref(), Some(kept));
        }
        assert_eq!(translated("/", &[("apikey", "a.b.c")]).as_deref(), Some("Bearer a.b.c"));
    }
}
