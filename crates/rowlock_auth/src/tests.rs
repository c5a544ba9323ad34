use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::vectors::{JWKS, SECRET, TOKENS};
use crate::{ApiKey, AuthSettings, Authenticator, Error, HmacAlgorithm, SettingsError};
use crate::{mint, mint_with};

/// 2100-01-01, which no token of the tests has reached.
const EXP: i64 = 4_102_444_800;

fn settings() -> AuthSettings {
    AuthSettings { jwt_secret: Some(SECRET.into()), ..AuthSettings::default() }
}

fn auth() -> Authenticator {
    Authenticator::new(settings()).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn token(claims: Value) -> String {
    mint(SECRET, &object(claims))
}

/// A token with any header and payload text, signed with HS256.
fn raw(header: &str, payload: &str, secret: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let tag = crate::key::hmac_sign(HmacAlgorithm::Hs256, secret.as_bytes(), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn oct(id: Option<&str>, secret: &str) -> Value {
    let mut key = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret)});
    if let Some(id) = id {
        key["kid"] = json!(id);
    }
    key
}

fn with_keys(secret: Option<&str>, keys: Value) -> Authenticator {
    let settings = AuthSettings {
        jwt_secret: secret.map(str::to_owned),
        jwks: Some(json!({ "keys": keys }).to_string()),
        ..AuthSettings::default()
    };
    Authenticator::new(settings).unwrap()
}

fn flip_last_byte_of_signature(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    *signature.last_mut().unwrap() ^= 1;
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn tokens_of_another_implementation_are_read() {
    let auth = Authenticator::new(AuthSettings { jwks: Some(JWKS.into()), ..settings() }).unwrap();
    assert_eq!(TOKENS.len(), 9);
    for (algorithm, token) in TOKENS {
        let session = auth.session(token).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(session.caller.role.as_str(), "authenticated", "{algorithm}");
        assert_eq!(session.caller.subject.as_deref(), Some("u"));
        assert_eq!(&*session.caller.token, *token);
        assert_eq!(session.expires_at, Some(EXP));
        assert!(!session.caller.is_service);
        let forged = flip_last_byte_of_signature(token);
        assert_eq!(auth.verify(&forged), Err(Error::SignatureMismatch), "{algorithm}");
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert_eq!(auth.verify(&format!("{signed}.")), Err(Error::SignatureMismatch));
        assert_eq!(auth.verify(&format!("{signed}.ü!")), Err(Error::SignatureMismatch));
    }
}

#[test]
fn a_public_key_never_verifies_an_hmac() {
    let keys: Value = serde_json::from_str(JWKS).unwrap();
    for key in keys["keys"].as_array().unwrap() {
        let auth = with_keys(None, json!([key]));
        let id = key["kid"].as_str().unwrap();
        for member in ["n", "x"] {
            let Some(text) = key[member].as_str() else { continue };
            let decoded = URL_SAFE_NO_PAD.decode(text).unwrap();
            for algorithm in ["HS256", "HS384", "HS512"] {
                for header in [
                    format!(r#"{{"alg":"{algorithm}"}}"#),
                    format!(r#"{{"alg":"{algorithm}","kid":"{id}"}}"#),
                ] {
                    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), "e30");
                    for secret in [text.as_bytes(), &decoded, key.to_string().as_bytes()] {
                        let hash = algorithm.parse().unwrap();
                        let tag = crate::key::hmac_sign(hash, secret, signed.as_bytes());
                        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
                        assert_eq!(auth.verify(&token), Err(Error::NoMatchingKey));
                    }
                }
            }
        }
    }
}

#[test]
fn public_keys_are_chosen_by_type_and_id() {
    let keys: Value = serde_json::from_str(JWKS).unwrap();
    let mut renamed = keys["keys"].clone();
    for key in renamed.as_array_mut().unwrap() {
        key["kid"] = json!("other");
    }
    let renamed = with_keys(Some(SECRET), renamed);
    let mut nameless = keys["keys"].clone();
    for key in nameless.as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("kid");
    }
    let nameless = with_keys(Some(SECRET), nameless);
    for (algorithm, token) in TOKENS.iter().filter(|(name, _)| !name.starts_with("HS")) {
        assert_eq!(renamed.verify(token), Err(Error::NoMatchingKey), "{algorithm}");
        assert_eq!(nameless.verify(token), Err(Error::NoMatchingKey), "{algorithm}");
    }
    // A key that says it is for one algorithm serves no other.
    let mut rsa = keys["keys"][0].clone();
    rsa["alg"] = json!("RS256");
    let auth = with_keys(None, json!([rsa]));
    assert!(auth.verify(TOKENS[0].1).is_ok());
    assert_eq!(auth.verify(TOKENS[1].1), Err(Error::NoMatchingKey));
}

#[test]
fn secrets_are_chosen_by_id_and_end_with_the_static_one() {
    let signed_by =
        |secret, id| raw(&format!(r#"{{"alg":"HS256","kid":"{id}"}}"#), r#"{"role":"r"}"#, secret);
    let auth = with_keys(
        Some("static secret"),
        json!([oct(Some("a"), "secret a"), oct(Some("b"), "secret b"), oct(None, "nameless")]),
    );
    assert!(auth.verify(&signed_by("secret a", "a")).is_ok());
    assert_eq!(auth.verify(&signed_by("secret b", "a")), Err(Error::SignatureMismatch));
    assert!(auth.verify(&signed_by("nameless", "c")).is_ok());
    assert!(auth.verify(&signed_by("static secret", "c")).is_ok());
    assert!(auth.verify(&raw(r#"{"alg":"HS256"}"#, "{}", "static secret")).is_ok());
    let without_id = raw(r#"{"alg":"HS256"}"#, "{}", "nameless");
    assert_eq!(auth.verify(&without_id), Err(Error::SignatureMismatch));

    let auth = with_keys(None, json!([oct(Some("a"), "secret a")]));
    assert!(auth.verify(&signed_by("secret a", "a")).is_ok());
    assert_eq!(auth.verify(&signed_by("secret a", "b")), Err(Error::NoMatchingKey));
    let without_id = raw(r#"{"alg":"HS256"}"#, "{}", "secret a");
    assert_eq!(auth.verify(&without_id), Err(Error::NoMatchingKey));
}

#[test]
fn malformed_tokens_are_told_apart_in_the_references_words() {
    let auth = auth();
    let text = |token: &str| auth.verify(token).unwrap_err().to_string();
    for token in ["", "x", "a.b", "a.b.c.d", "a.b.c.d.e"] {
        assert_eq!(text(token), "Invalid Compact JWS", "{token}");
    }
    for token in ["not.a.jwt", "..", "e30=.e30.x", "W10.e30.x", "ü.b.c"] {
        assert_eq!(text(token), "JWS Protected Header is invalid", "{token}");
    }
    let header = |text: &str| raw(text, "{}", SECRET);
    assert_eq!(text(&header(r#"{"alg":"HS256","kid":5}"#)), "JWS Protected Header is invalid");
    for headless in ["{}", r#"{"alg":5}"#, r#"{"alg":null}"#] {
        assert_eq!(auth.verify(&header(headless)), Err(Error::MissingAlgorithm), "{headless}");
    }
    for name in ["none", "None", "NONE", "hs256", "HS1", "RSA-OAEP", ""] {
        let token = header(&format!(r#"{{"alg":"{name}"}}"#));
        assert_eq!(auth.verify(&token), Err(Error::AlgorithmNotAllowed), "{name}");
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert_eq!(auth.verify(&format!("{signed}.")), Err(Error::AlgorithmNotAllowed), "{name}");
    }
    let critical = header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#);
    assert_eq!(auth.verify(&critical), Err(Error::CriticalExtension));
    assert_eq!(text(&mint("another secret", &Map::new())), "signature verification failed");
    for payload in ["", "[]", "5", "{", r#""text""#] {
        let token = raw(r#"{"alg":"HS256"}"#, payload, SECRET);
        assert_eq!(auth.verify(&token), Err(Error::InvalidClaims), "{payload}");
    }
}

#[test]
fn times_have_no_leeway() {
    let auth = auth();
    let at =
        |claims: Value, now| auth.session_at(&token(claims), now).map(|session| session.expires_at);
    assert_eq!(at(json!({"exp": 100}), 99), Ok(Some(100)));
    assert_eq!(at(json!({"exp": 100}), 100), Err(Error::Expired));
    assert_eq!(at(json!({"exp": 100}), 101), Err(Error::Expired));
    assert_eq!(at(json!({"exp": 100.5}), 100), Ok(Some(100)));
    assert_eq!(at(json!({"exp": -1}), 0), Err(Error::Expired));
    assert_eq!(at(json!({"exp": 1e300}), 0), Ok(Some(i64::MAX)));
    assert_eq!(at(json!({"nbf": 100}), 99), Err(Error::NotYetValid));
    assert_eq!(at(json!({"nbf": 100}), 100), Ok(None));
    assert_eq!(at(json!({"nbf": 100, "exp": 90}), 95), Err(Error::NotYetValid));
    assert_eq!(at(json!({}), i64::MAX), Ok(None));
    for (name, value) in [("exp", json!("100")), ("exp", json!(null)), ("nbf", json!([]))] {
        assert_eq!(at(json!({ name: value }), 0), Err(Error::NotANumber(name)), "{name}");
    }
    assert_eq!(Error::Expired.to_string(), r#""exp" claim timestamp check failed"#);
    let past = auth.verify(&token(json!({"exp": 1_600_000_000})));
    assert_eq!(past, Err(Error::Expired));
}

#[test]
fn the_caller_carries_what_policies_read() {
    let auth = auth();
    let sent = raw(
        r#"{"alg":"HS256"}"#,
        r#"{ "sub" : "first", "role":"anon", "x": [1, "ü"], "role":"authenticated", "sub":"u" }"#,
        SECRET,
    );
    let caller = auth.verify(&sent).unwrap();
    // Of a name that occurs twice, the one that decided here is the one that policies see.
    assert_eq!(caller.role.as_str(), "authenticated");
    assert_eq!(caller.subject.as_deref(), Some("u"));
    assert_eq!(&*caller.claims, r#"{"sub":"u","role":"authenticated","x":[1,"ü"]}"#);
    assert_eq!(&*caller.token, sent);

    let caller = auth.verify(&token(json!({}))).unwrap();
    assert_eq!(caller.role.as_str(), "anon");
    assert_eq!(caller.subject, None);
    assert_eq!(auth.verify(&token(json!({"role": null}))).unwrap().role.as_str(), "anon");
    let subject = |sub: Value| auth.verify(&token(json!({ "sub": sub }))).map(|c| c.subject);
    assert_eq!(subject(json!(7)).unwrap().as_deref(), Some("7"));
    assert_eq!(subject(json!("")), Ok(None));
    assert_eq!(subject(json!("a\0b")), Err(Error::InvalidClaim("sub")));
    assert_eq!(subject(json!({})), Err(Error::InvalidClaim("sub")));
    assert!(auth.verify(&token(json!({"role": "service_role"}))).unwrap().is_service);
}

#[test]
fn roles_that_policies_would_not_bind_are_refused() {
    let forbidden_roles = vec!["supabase_storage_admin".to_owned()];
    let auth = Authenticator::new(AuthSettings { forbidden_roles, ..settings() }).unwrap();
    let role = |role: Value| auth.verify(&token(json!({ "role": role }))).map(|caller| caller.role);
    let long = "x".repeat(64);
    for name in ["none", "None", "", "supabase_storage_admin", "a\0b", &long] {
        assert!(matches!(role(json!(name)), Err(Error::ForbiddenRole(_))), "{name:?}");
    }
    assert!(role(json!("postgres")).is_ok());
    assert_eq!(role(json!(5)), Err(Error::InvalidClaim("role")));

    auth.set_forbidden_roles(["postgres".to_owned()]).unwrap();
    assert_eq!(role(json!("postgres")), Err(Error::ForbiddenRole("postgres".into())));
    assert!(role(json!("supabase_storage_admin")).is_ok());
    for own in ["anon", "service_role"] {
        let refused = auth.set_forbidden_roles([own.to_owned()]);
        assert_eq!(refused, Err(SettingsError::ForbiddenRole(own.into())));
    }
    assert!(role(json!("postgres")).is_err(), "a refused list changes nothing");
}

#[test]
fn a_signed_urls_token_opens_no_session() {
    let auth = auth();
    for url in [json!("bucket/key"), json!(""), json!(null)] {
        let download = token(json!({"url": url, "role": "service_role"}));
        assert_eq!(auth.verify(&download), Err(Error::SignedUrlToken));
    }
}

#[test]
fn keys_are_made_from_the_secret_where_they_are_absent() {
    let auth = Authenticator::new(AuthSettings {
        jwt_algorithm: HmacAlgorithm::Hs512,
        anon_role: "nobody".into(),
        ..settings()
    })
    .unwrap();
    let anon = auth.session(auth.anon_key().unwrap()).unwrap();
    assert_eq!(anon.caller.role.as_str(), "nobody");
    assert_eq!(anon.caller, auth.anon_caller());
    assert!(anon.expires_at.is_some());
    assert!(auth.anon_key().unwrap().starts_with(&URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512""#)));
    let service = auth.service_caller();
    assert_eq!(auth.verify(&service.token).unwrap(), service);
    assert!(service.is_service);
    assert_eq!(auth.warnings(), Vec::<String>::new());

    let auth = with_keys(None, json!([]));
    assert_eq!(auth.anon_key(), None);
    let service = auth.service_caller();
    assert_eq!(&*service.claims, r#"{"role":"service_role"}"#);
    assert_eq!(&*service.token, "");
}

#[test]
fn the_service_keys_own_claims_count() {
    let key = token(json!({"role": "boss", "iss": "supabase", "sub": "x", "exp": EXP}));
    let auth =
        Authenticator::new(AuthSettings { service_key: Some(key.clone()), ..settings() }).unwrap();
    let service = auth.service_caller();
    assert_eq!(service.role.as_str(), "boss");
    assert_eq!(service.subject, None);
    assert!(service.is_service);
    assert_eq!(
        &*service.claims,
        format!(r#"{{"role":"boss","iss":"supabase","sub":"x","exp":{EXP}}}"#)
    );
    assert_eq!(&*service.token, key);
    assert!(auth.verify(&key).unwrap().is_service);
}

#[test]
fn odd_keys_are_told_at_the_start() {
    let old = token(json!({"role": "service_role", "exp": 1_600_000_000}));
    let foreign = mint("another secret", &object(json!({"role": "anon"})));
    let auth = Authenticator::new(AuthSettings {
        service_key: Some(old),
        anon_key: Some(foreign),
        ..settings()
    })
    .unwrap();
    assert_eq!(auth.warnings().len(), 2);
    assert!(auth.warnings()[0].contains("anon key"));
    assert!(auth.warnings()[1].contains("service key"));
    let refused = |settings| Authenticator::new(settings).unwrap_err();
    for text in ["sb_secret_x", "a.b.c", ""] {
        let settings = AuthSettings { service_key: Some(text.into()), ..settings() };
        assert_eq!(refused(settings), SettingsError::NotAToken("service key"), "{text}");
    }
    let empty = AuthSettings { jwt_secret: Some(String::new()), ..settings() };
    assert_eq!(refused(empty), SettingsError::EmptySecret);
}

#[test]
fn key_sets_that_cannot_be_right_are_refused() {
    let new =
        |jwks: &str| Authenticator::new(AuthSettings { jwks: Some(jwks.into()), ..settings() });
    for text in ["", "[]", "{}", "{\"keys\":{}}", "nonsense"] {
        assert_eq!(new(text).unwrap_err(), SettingsError::InvalidKeySet, "{text}");
    }
    for key in [
        json!({}),
        json!({"kty": "oct"}),
        json!({"kty": "oct", "k": ""}),
        json!({"kty": "oct", "k": "ü"}),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AQ"}),
        json!({"kty": "oct", "k": "AQ", "alg": "RS256"}),
        json!({"kty": "oct", "k": 5}),
    ] {
        let set = json!({"keys": [oct(None, "x"), key]}).to_string();
        let error = new(&set).unwrap_err();
        assert!(matches!(error, SettingsError::InvalidKey { index: 2, .. }), "{set}: {error}");
    }
    let set = json!({"keys": [
        {"kty": "EC", "crv": "secp256k1", "x": "AQ", "y": "AQ"},
        {"kty": "RSA", "use": "enc"},
        {"kty": "oct", "k": "AQ", "alg": "A128KW"},
    ]});
    assert_eq!(new(&set.to_string()).unwrap().warnings().len(), 2);
}

#[test]
fn opaque_keys_stand_for_roles() {
    let auth = Authenticator::new(AuthSettings {
        publishable_key: Some("sb_publishable_abc".into()),
        secret_key: Some("sb_secret_def".into()),
        ..settings()
    })
    .unwrap();
    assert_eq!(auth.translate_api_key("sb_secret_def"), Ok(ApiKey::Service));
    assert_eq!(auth.translate_api_key("sb_publishable_abc"), Ok(ApiKey::Anon));
    assert_eq!(auth.translate_api_key("a.b.c"), Ok(ApiKey::Token("a.b.c")));
    for wrong in ["sb_secret_", "sb_secret_de", "sb_secret_deg", "sb_secret_deff", "sb_"] {
        assert_eq!(auth.translate_api_key(wrong), Err(Error::UnknownApiKey), "{wrong}");
    }
    let without = self::auth();
    assert_eq!(without.translate_api_key("sb_secret_def"), Err(Error::UnknownApiKey));
}

#[test]
fn nothing_secret_is_shown() {
    let settings = AuthSettings {
        jwt_secret: Some("hush-hush".into()),
        secret_key: Some("sb_secret_hush".into()),
        ..AuthSettings::default()
    };
    let shown = format!("{settings:?} {:?}", Authenticator::new(settings.clone()).unwrap());
    assert!(!shown.contains("hush"), "{shown}");
}

proptest! {
    #[test]
    fn what_is_minted_is_read(sub in ".*", extra in ".*") {
        prop_assume!(!sub.contains('\0') && !sub.is_empty());
        let claims = object(json!({"sub": sub, "extra": extra}));
        for algorithm in [HmacAlgorithm::Hs256, HmacAlgorithm::Hs384, HmacAlgorithm::Hs512] {
            let caller = auth().verify(&mint_with(algorithm, SECRET, &claims)).unwrap();
            prop_assert_eq!(caller.subject.as_deref(), Some(&*sub));
            let read: Value = serde_json::from_str(&caller.claims).unwrap();
            prop_assert_eq!(read, Value::Object(claims.clone()));
        }
    }

    #[test]
    fn no_text_is_a_token_by_chance(text in "[a-zA-Z0-9_.=-]{0,80}|.{0,40}") {
        prop_assert!(auth().verify(&text).is_err());
    }
}
