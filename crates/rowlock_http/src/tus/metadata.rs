//! `Upload-Metadata`: names and their base64 values, and which of them this server knows.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::error::TusError;
use super::headers::UPLOAD_METADATA;
use crate::rest::metadata as user_metadata;

/// Clients pad their base64 or don't; they are told it padded.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a creation says of its object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UploadMetadata(Vec<(String, Option<String>)>);

impl UploadMetadata {
    /// Reads the header of a request.
    ///
    /// # Errors
    /// 400 where it is missing or malformed.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, TusError> {
        let mut values = headers.get_all(UPLOAD_METADATA).iter();
        let first = values.next();
        let Some(first) = first.filter(|value| !value.is_empty()) else {
            return Err(TusError::new(400, "Metadata header is required"));
        };
        match first.to_str().ok().filter(|_| values.next().is_none()).and_then(Self::parse) {
            Some(metadata) => Ok(metadata),
            None => Err(TusError::invalid(&UPLOAD_METADATA)),
        }
    }

    /// Pairs by commas; name and value by a space. Names are ASCII and come once; a value may be
    /// left out, and is base64 of UTF-8.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut pairs: Vec<(String, Option<String>)> = Vec::new();
        for pair in text.split(',') {
            let (name, value) = match pair.trim().split_once(' ') {
                Some((name, value)) => (name, Some(value.trim_start())),
                None => (pair.trim(), None),
            };
            let known = pairs.iter().any(|(known, _)| known == name);
            if known || name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
                return None;
            }
            let decode = |value: &str| String::from_utf8(BASE64.decode(value).ok()?).ok();
            let value = match value {
                Some(value) => Some(decode(value)?),
                None => None,
            };
            pairs.push((name.to_owned(), value));
        }
        Some(Self(pairs))
    }

    /// The header as later answers tell it, with what is kept in place of what was said.
    pub(crate) fn render(&self) -> String {
        let pair = |(name, value): &(String, Option<String>)| {
            let kept = match (name.as_str(), value) {
                (CACHE_CONTROL, Some(said)) => Some(cache_control(said)),
                (_, value) => value.clone(),
            };
            match kept {
                Some(value) => format!("{name} {}", BASE64.encode(value)),
                None => name.clone(),
            }
        };
        self.0.iter().map(pair).collect::<Vec<_>>().join(",")
    }

    fn get(&self, wanted: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == wanted);
        found.and_then(|(_, value)| value.as_deref()).filter(|value| !value.is_empty())
    }

    /// `bucketName`; empty where it is missing.
    pub(super) fn bucket(&self) -> &str {
        self.get("bucketName").unwrap_or_default()
    }

    /// `objectName`; empty where it is missing.
    pub(super) fn key(&self) -> &str {
        self.get("objectName").unwrap_or_default()
    }

    /// `contentType`.
    ///
    /// # Errors
    /// 400 for what no header can carry.
    pub(super) fn content_type(&self) -> Result<Option<String>, TusError> {
        self.get("contentType").map(|kind| for_header(kind.to_owned())).transpose()
    }

    /// `cacheControl` as it is kept.
    ///
    /// # Errors
    /// 400 for what no header can carry.
    pub(super) fn cache_control(&self) -> Result<Option<String>, TusError> {
        self.get(CACHE_CONTROL).map(|said| for_header(cache_control(said))).transpose()
    }

    /// `metadata`: a JSON object as text; what is none counts as absent.
    ///
    /// # Errors
    /// 413 for one that is too large.
    pub(super) fn user_metadata(&self) -> Result<Option<Value>, TusError> {
        match self.get("metadata") {
            Some(text) => Ok(user_metadata::of_text(text)?),
            None => Ok(None),
        }
    }
}

const CACHE_CONTROL: &str = "cacheControl";

/// A text that later becomes a header, of an answer or of a request to an S3 service.
fn for_header(text: String) -> Result<String, TusError> {
    match HeaderValue::from_str(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(TusError::invalid(&UPLOAD_METADATA)),
    }
}

/// Clients mean seconds; whoever writes a whole header's value keeps it.
fn cache_control(said: &str) -> String {
    let seconds = said.strip_prefix('-').unwrap_or(said);
    if !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit()) {
        return format!("max-age={said}");
    }
    said.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pairs: &[(&str, &str)]) -> String {
        let pair = |(name, value): &(&str, &str)| format!("{name} {}", BASE64.encode(value));
        pairs.iter().map(pair).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn what_clients_say_is_understood() {
        let text = header(&[
            ("bucketName", "b"),
            ("objectName", "a/grün.txt"),
            ("contentType", "text/plain"),
            ("cacheControl", "77"),
            ("metadata", r#"{"t":"1"}"#),
        ]);
        let metadata = UploadMetadata::parse(&text).unwrap();
        assert_eq!((metadata.bucket(), metadata.key()), ("b", "a/grün.txt"));
        assert_eq!(metadata.content_type().unwrap().as_deref(), Some("text/plain"));
        assert_eq!(metadata.cache_control().unwrap().as_deref(), Some("max-age=77"));
        assert_eq!(metadata.user_metadata().unwrap(), Some(serde_json::json!({"t": "1"})));
    }

    #[test]
    fn later_answers_tell_what_is_kept() {
        let text = format!("flag,x {},cacheControl Nzc=", BASE64.encode("ü"));
        let metadata = UploadMetadata::parse(&text).unwrap();
        let wanted = format!("flag,x {},cacheControl bWF4LWFnZT03Nw==", BASE64.encode("ü"));
        assert_eq!(metadata.render(), wanted);
        let whole = header(&[("cacheControl", "public, max-age=9")]);
        assert_eq!(UploadMetadata::parse(&whole).unwrap().render(), whole);
        assert_eq!(UploadMetadata::parse("a YQ").unwrap().render(), "a YQ==", "padding");
    }

    #[test]
    fn malformed_headers_are_refused() {
        for bad in ["", ",", "a YQ==,", "a YQ==,a YQ==", "a !!", "a /w==", "a YQ== YQ==", "ü YQ=="]
        {
            assert_eq!(UploadMetadata::parse(bad), None, "{bad}");
        }
        for good in ["a", "a ", "a YQ==, b YQ==", "a  YQ=="] {
            assert!(UploadMetadata::parse(good).is_some(), "{good}");
        }
        let mut twice = HeaderMap::new();
        assert_eq!(UploadMetadata::of(&twice).unwrap_err().told().1, "Metadata header is required");
        twice.append(UPLOAD_METADATA, http::HeaderValue::from_static("a"));
        assert!(UploadMetadata::of(&twice).is_ok());
        twice.append(UPLOAD_METADATA, http::HeaderValue::from_static("b"));
        let refused = UploadMetadata::of(&twice).unwrap_err().told();
        assert_eq!(refused, (400, "Invalid upload-metadata\n".to_owned()));
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        for bad in ["text/plain\r\nx: y", "a\0b"] {
            let text = header(&[("contentType", bad), ("cacheControl", bad)]);
            let metadata = UploadMetadata::parse(&text).unwrap();
            let wanted = (400, "Invalid upload-metadata\n".to_owned());
            assert_eq!(metadata.content_type().unwrap_err().told(), wanted, "{bad}");
            assert_eq!(metadata.cache_control().unwrap_err().told(), wanted, "{bad}");
        }
    }

    #[test]
    fn user_metadata_is_an_object_or_nothing() {
        for text in ["not json", "[1]", "1", ""] {
            let metadata = UploadMetadata::parse(&header(&[("metadata", text)])).unwrap();
            assert_eq!(metadata.user_metadata().unwrap(), None, "{text}");
        }
    }
}
