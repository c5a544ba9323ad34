//! User metadata of an upload: a JSON object.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use crate::rest::error::RestError;

/// The largest user metadata in bytes.
const MOST: usize = 1024 * 1024;

/// Clients pad their base64 or don't.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `x-metadata`: base64 of a JSON object. What is none counts as absent, as the reference has it.
///
/// # Errors
/// EntityTooLarge.
pub(super) fn of_header(value: Option<&str>) -> Result<Option<Value>, RestError> {
    let Some(value) = value else { return Ok(None) };
    match BASE64.decode(value.trim()) {
        Ok(bytes) => of_text(&text_of(bytes)),
        Err(_) => Ok(None),
    }
}

/// The text of bytes that a client encoded: UTF-8, or what is none as Latin-1, since in a browser
/// the JavaScript SDK encodes with `btoa`, which takes one byte for each character.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}

/// The form field `metadata`: a JSON object. What is none counts as absent.
///
/// # Errors
/// EntityTooLarge.
pub(crate) fn of_text(text: &str) -> Result<Option<Value>, RestError> {
    if text.len() > MOST {
        return Err(RestError::new(
            413,
            "EntityTooLarge",
            "The object's metadata exceeded the maximum allowed size",
        )
        .named("Payload too large"));
    }
    Ok(serde_json::from_str(text).ok().filter(Value::is_object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn headers_and_fields() {
        let wanted = Some(json!({"colour": "red", "n": 1}));
        assert_eq!(of_header(Some("eyJjb2xvdXIiOiJyZWQiLCJuIjoxfQ==")).unwrap(), wanted);
        assert_eq!(of_header(Some("eyJjb2xvdXIiOiJyZWQiLCJuIjoxfQ")).unwrap(), wanted);
        assert_eq!(of_text(r#"{"colour":"red","n":1}"#).unwrap(), wanted);
        for bad in ["%%%", "", "bm90IGpzb24=", "W10="] {
            assert_eq!(of_header(Some(bad)).unwrap(), None, "{bad}");
        }
        let green = Some(json!({"colour": "grün"}));
        assert_eq!(of_header(Some("eyJjb2xvdXIiOiJncsO8biJ9")).unwrap(), green, "UTF-8");
        assert_eq!(of_header(Some("eyJjb2xvdXIiOiJncvxuIn0=")).unwrap(), green, "of btoa");
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MOST));
        assert_eq!(of_text(&large).unwrap_err().code(), "EntityTooLarge");
    }
}
