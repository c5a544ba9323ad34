//! The settings of a bucket, as requests write them.

use serde_json::Value;

use crate::rest::error::RestError;
use crate::rest::json::{Fields, wrong};

/// `file_size_limit`: bytes, a text with a unit (`5MB` is 5,000,000), or null for none.
pub(super) fn file_size_limit(fields: &Fields) -> Result<Option<Option<i64>>, RestError> {
    let bad = || wrong("file_size_limit", "an integer, or a size such as 5MB");
    match fields.raw("file_size_limit") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) if text.is_empty() => Ok(Some(None)),
        Some(Value::String(text)) => {
            let bytes = text.parse().ok().or_else(|| parse_size(text));
            bytes.filter(|bytes| *bytes >= 0).map(|bytes| Some(Some(bytes))).ok_or_else(bad)
        }
        Some(_) => match fields.integer("file_size_limit")? {
            Some(bytes) if bytes >= 0 => Ok(Some(Some(bytes))),
            _ => Err(bad()),
        },
    }
}

/// A number with a decimal unit.
fn parse_size(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let units = [("gb", 1e9), ("mb", 1e6), ("kb", 1e3), ("b", 1.0)];
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, factor)))?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let well_formed = match number.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(number),
    };
    let bytes = (number.parse::<f64>().ok()? * factor).floor();
    (well_formed && bytes < 9e15).then_some(bytes as i64)
}

/// `allowed_mime_types`: a list of types and patterns such as `image/*`, or null for any.
pub(super) fn allowed_mime_types(
    fields: &Fields,
) -> Result<Option<Option<Vec<String>>>, RestError> {
    if let Some(Value::Null) = fields.raw("allowed_mime_types") {
        return Ok(Some(None));
    }
    let Some(types) = fields.texts("allowed_mime_types")? else { return Ok(None) };
    match types.iter().find(|mime| !is_mime_pattern(mime)) {
        Some(bad) => Err(RestError::invalid_mime_type(bad)),
        None => Ok(Some(Some(types))),
    }
}

fn is_mime_pattern(text: &str) -> bool {
    let token = |part: &str| {
        part == "*"
            || !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let bare = text.split(';').next().unwrap_or("").trim_end();
    bare.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1KB", Some(1000)),
            ("5mb", Some(5_000_000)),
            ("1.5GB", Some(1_500_000_000)),
            ("7b", Some(7)),
            ("lots", None),
            ("KB", None),
            ("1.KB", None),
            ("-1KB", None),
            ("1e3KB", None),
            ("1TB", None),
            ("99999999999GB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn mime_patterns() {
        for good in ["text/plain", "image/*", "*/*", "image/svg+xml", "text/html; charset=utf-8"] {
            assert!(is_mime_pattern(good), "{good}");
        }
        for bad in ["nonsense", "", "/", "a/", "/b", "a b/c"] {
            assert!(!is_mime_pattern(bad), "{bad}");
        }
    }
}
