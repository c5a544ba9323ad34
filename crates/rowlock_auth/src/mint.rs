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
    let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, algorithm.as_str());
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims_text(claims), &mut token);
    let signature = hmac_sign(algorithm, secret.as_bytes(), token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// The claims as JSON without white space.
pub(crate) fn claims_text(claims: &Map<String, Value>) -> String {
    // Display of a Value can't fail, unlike a serializer's Result.
    Value::Object(claims.clone()).to_string()
}
