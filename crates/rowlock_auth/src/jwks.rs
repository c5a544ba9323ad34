//! JSON Web Key Sets (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use crate::SettingsError;
use crate::key::{Algorithm, Curve, Material};
use crate::signed_url::UrlKey;

/// A key of the set that may verify tokens.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: Option<String>,
    /// The one algorithm the key says it is for, if it does.
    algorithm: Option<Algorithm>,
    pub(crate) material: Material,
}

impl Key {
    /// Whether the key may be tried for a token with this algorithm.
    pub(crate) fn serves(&self, algorithm: Algorithm) -> bool {
        self.material.serves(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
    /// What signed URLs are signed with (an extension of the reference's).
    #[serde(rename = "urlSigningKey")]
    url_signing_key: Option<Value>,
}

/// A key set, read.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// Keys that may verify tokens.
    pub(crate) keys: Vec<Key>,
    /// The secret that signed URLs are signed with, where it is not the JWT secret.
    pub(crate) url_key: Option<UrlKey>,
    /// Sentences about what is left out.
    pub(crate) warnings: Vec<String>,
}

#[derive(Deserialize)]
struct JsonKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Reads the set. There is a sentence for each key that is left out because its type, curve or
/// algorithm is not supported; keys for encryption are left out silently.
///
/// # Errors
/// A text that is no key set, and a key of a supported type that can't be right: a server that
/// started without it would refuse its users one by one.
pub(crate) fn parse(text: &str) -> Result<Parsed, SettingsError> {
    let set: KeySet = serde_json::from_str(text).map_err(|_| SettingsError::InvalidKeySet)?;
    let mut keys = Vec::new();
    let mut warnings = Vec::new();
    for (index, value) in (1..).zip(set.keys) {
        let refuse = |reason| SettingsError::InvalidKey { index, reason };
        let key: JsonKey = serde_json::from_value(value)
            .map_err(|_| refuse("it lacks `kty`, or a member is no text"))?;
        if key.usage.as_deref().is_some_and(|usage| usage != "sig") {
            continue;
        }
        let algorithm = match &key.alg {
            None => None,
            Some(name) => match Algorithm::parse(name) {
                Some(algorithm) => Some(algorithm),
                None => {
                    warnings.push(format!(
                        "key {index} of the JSON Web Key Set is left out: its algorithm is not supported"
                    ));
                    continue;
                }
            },
        };
        let Some(material) = material(&key).map_err(refuse)? else {
            warnings.push(format!(
                "key {index} of the JSON Web Key Set is left out: its type or curve is not supported"
            ));
            continue;
        };
        if algorithm.is_some_and(|algorithm| !material.serves(algorithm)) {
            return Err(refuse("its algorithm does not belong to its type"));
        }
        keys.push(Key { id: key.kid, algorithm, material });
    }
    let url_key = match set.url_signing_key {
        None | Some(Value::Null) => None,
        Some(value) => {
            let key: JsonKey = serde_json::from_value(value)
                .map_err(|_| SettingsError::InvalidUrlSigningKey("a member is no text"))?;
            let made = material(&key).map_err(SettingsError::InvalidUrlSigningKey)?;
            Some(UrlKey::new(key.kid, key.alg.as_deref(), made)?)
        }
    };
    Ok(Parsed { keys, url_key, warnings })
}

fn material(key: &JsonKey) -> Result<Option<Material>, &'static str> {
    Ok(Some(match key.kty.as_str() {
        "oct" => {
            let secret = bytes(&key.k, "`k` is missing or no base64url")?;
            if secret.is_empty() {
                return Err("`k` is empty");
            }
            Material::Secret(secret)
        }
        "RSA" => {
            let modulus = bytes(&key.n, "`n` is missing or no base64url")?;
            let exponent = bytes(&key.e, "`e` is missing or no base64url")?;
            if modulus.len() < 256 {
                return Err("an RSA key has at least 2048 bits");
            }
            Material::Rsa { modulus, exponent }
        }
        "EC" => {
            let (curve, size) = match key.crv.as_deref() {
                Some("P-256") => (Curve::P256, 32),
                Some("P-384") => (Curve::P384, 48),
                Some("P-521") => (Curve::P521, 66),
                _ => return Ok(None),
            };
            let x = bytes(&key.x, "`x` is missing or no base64url")?;
            let y = bytes(&key.y, "`y` is missing or no base64url")?;
            if x.len() != size || y.len() != size {
                return Err("`x` and `y` do not have the length of the curve");
            }
            Material::Ec(curve, [&[4], x.as_slice(), y.as_slice()].concat())
        }
        "OKP" if key.crv.as_deref() == Some("Ed25519") => {
            let point = bytes(&key.x, "`x` is missing or no base64url")?;
            if point.len() != 32 {
                return Err("`x` is not 32 bytes long");
            }
            Material::Ed25519(point)
        }
        _ => return Ok(None),
    }))
}

fn bytes(member: &Option<String>, complaint: &'static str) -> Result<Vec<u8>, &'static str> {
    let text = member.as_deref().ok_or(complaint)?;
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| complaint)
}
