use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::HmacAlgorithm;
use crate::key::hmac_sign;

/// Makes a compact token (RFC 7515, section 3.1) with these claims, signed with HS256.
pub fn mint(secret: &str, claims: &Map<String, Value>) -> String {
    mint_with(HmacAlgorithm::Hs256, secret, claims)
}

/// Makes a compact token with these claims, signed with this algorithm.
pub fn mint_with(algorithm: HmacAlgorithm, secret: &str, claims: &Map<String, Value>) -> String {
    mint_keyed(algorithm, None, secret.as_bytes(), claims)
}

/// The same with a secret of any bytes, named by its key id where it has one.
pub(crate) fn mint_keyed(
    algorithm: HmacAlgorithm,
    key_id: Option<&str>,
    secret: &[u8],
    claims: &Map<String, Value>,
) -> String {
    let mut header = Map::new();
    header.insert("alg".to_owned(), algorithm.as_str().into());
    if let Some(id) = key_id {
        header.insert("kid".to_owned(), id.into());
    }
    header.insert("typ".to_owned(), "JWT".into());
    let mut token = URL_SAFE_NO_PAD.encode(claims_text(&header));
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims_text(claims), &mut token);
    let signature = hmac_sign(algorithm, secret, token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// The claims as JSON without white space.
pub(crate) fn claims_text(claims: &Map<String, Value>) -> String {
    // Display of a Value can't fail, unlike a serializer's Result.
    Value::Object(claims.clone()).to_string()
}
