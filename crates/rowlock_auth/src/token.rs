//! The compact form of a token and its claims, before and after the signature is known good.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;
use crate::key::Algorithm;

/// A token taken apart; nothing of it is proved yet.
pub(crate) struct Compact<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    /// What the signature is over: header, dot, payload.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    payload: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: Option<Value>,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart.
    pub(crate) fn parse(token: &'a str) -> Result<Self, Error> {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::Malformed);
        };
        let signed = token.as_bytes().get(..header.len() + 1 + payload.len());
        let signed = signed.ok_or(Error::Malformed)?;
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Error::InvalidHeader)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| Error::InvalidHeader)?;
        let Some(Value::String(algorithm)) = header.alg else {
            return Err(Error::MissingAlgorithm);
        };
        if header.crit.is_some() {
            return Err(Error::CriticalExtension);
        }
        Ok(Self {
            algorithm: Algorithm::parse(&algorithm).ok_or(Error::AlgorithmNotAllowed)?,
            key_id: header.kid,
            signed,
            // A signature that can't be read fits no key; clients need not tell the two apart.
            signature: URL_SAFE_NO_PAD.decode(signature).map_err(|_| Error::SignatureMismatch)?,
            payload,
        })
    }

    /// The claims. They mean something only once the signature is verified.
    pub(crate) fn claims(&self) -> Result<Claims, Error> {
        claims(self.payload)
    }
}

/// The claims of a token whose signature is not looked at: for keys that the operator configured.
pub(crate) fn unverified_claims(token: &str) -> Result<Claims, Error> {
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(payload), Some(_), None) => claims(payload),
        _ => Err(Error::Malformed),
    }
}

fn claims(payload: &str) -> Result<Claims, Error> {
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Error::InvalidClaims)?;
    // Of a name that occurs twice the last value counts, and the text for policies is made from
    // what was read here: both sides always see the same claims.
    serde_json::from_slice(&payload).map(Claims).map_err(|_| Error::InvalidClaims)
}

/// The payload of a token.
#[derive(Debug)]
pub(crate) struct Claims(pub(crate) Map<String, Value>);

impl Claims {
    /// Checks `nbf` and `exp` without leeway (RFC 7519, sections 4.1.4 and 4.1.5): a token is
    /// valid from the second `nbf` on and before the second `exp`. Returns `exp` in Unix seconds.
    pub(crate) fn check_times(&self, now: i64) -> Result<Option<i64>, Error> {
        if self.time("nbf")?.is_some_and(|nbf| nbf > now as f64) {
            return Err(Error::NotYetValid);
        }
        match self.time("exp")? {
            Some(exp) if exp <= now as f64 => Err(Error::Expired),
            // `as` saturates, which is what a year beyond all years should do.
            exp => Ok(exp.map(|exp| exp.floor() as i64)),
        }
    }

    fn time(&self, name: &'static str) -> Result<Option<f64>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(_) => Err(Error::NotANumber(name)),
        }
    }

    /// The `role` claim; nothing when it is absent or null.
    pub(crate) fn role(&self) -> Result<Option<&str>, Error> {
        match self.0.get("role") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(role)) => Ok(Some(role)),
            Some(_) => Err(Error::InvalidClaim("role")),
        }
    }

    /// The `sub` claim as text; nothing when it is absent, null or empty.
    pub(crate) fn subject(&self) -> Result<Option<String>, Error> {
        let subject = match self.0.get("sub") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(Error::InvalidClaim("sub")),
        };
        // PostgreSQL's text can't hold a NUL.
        if subject.contains('\0') {
            return Err(Error::InvalidClaim("sub"));
        }
        Ok(Some(subject).filter(|subject| !subject.is_empty()))
    }
}
