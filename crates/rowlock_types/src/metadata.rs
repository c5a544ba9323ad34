use crate::{StoredChecksum, StoredParts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// User metadata: names without the `x-amz-meta-` prefix, in lower case, and their values
/// (`objects.user_metadata`).
pub type UserMetadata = BTreeMap<String, String>;

/// What can stand in `objects.user_metadata`: S3's names and texts, or whatever JSON a REST client
/// sent.
pub trait UserMetadataJson: std::fmt::Debug + Send + Sync {
    /// The column's value.
    fn to_json(&self) -> serde_json::Value;
}

impl UserMetadataJson for UserMetadata {
    fn to_json(&self) -> serde_json::Value {
        let text = |(name, value): (&String, &String)| (name.clone(), value.clone().into());
        serde_json::Value::Object(self.iter().map(text).collect())
    }
}

impl UserMetadataJson for serde_json::Value {
    fn to_json(&self) -> serde_json::Value {
        self.clone()
    }
}

/// System metadata of an object: the JSON of `objects.metadata`, in the names that SDKs,
/// dashboards and the reference read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMetadata {
    /// The entity tag, with quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e_tag: Option<String>,
    /// The object's length in bytes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient_u64")]
    pub size: Option<u64>,
    /// The content type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mimetype: Option<String>,
    /// The `Cache-Control` header to answer with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// When the bytes were written (RFC 3339 with milliseconds, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// The same as `size`; kept because the reference writes both.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient_u64")]
    pub content_length: Option<u64>,
    /// Always 200 in stored rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status_code: Option<u16>,
    /// An `X-Robots-Tag` of the object's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_robots_tag: Option<String>,
    /// What has no column or name in the reference's schema.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient_rowlock")]
    pub rowlock: Option<RowlockMetadata>,
}

/// The object metadata that the reference has no place for (`objects.metadata.rowlock`); REST
/// answers leave it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct RowlockMetadata {
    /// `Content-Disposition` as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Content-Encoding` without `aws-chunked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Content-Language` as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `Expires` as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location` as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website_redirect_location: Option<String>,
    /// The S3 checksum of the bytes, where the writer sent or asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<StoredChecksum>,
    /// The parts that a multipart upload was joined from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<StoredParts>,
    /// Object tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl RowlockMetadata {
    /// Whether nothing is set, so that the row needs no `rowlock` entry.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Rows made by hand hold sizes as numbers, texts or not at all; a wrong one counts as absent
/// rather than making the object unreadable.
fn lenient_u64<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    Ok(match serde_json::Value::deserialize(input)? {
        serde_json::Value::Number(n) => n.as_u64(),
        serde_json::Value::String(s) => s.parse().ok(),
        _ => None,
    })
}

/// A `rowlock` entry that is not ours counts as absent, for the same reason.
fn lenient_rowlock<'de, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<Option<RowlockMetadata>, D::Error> {
    let value = serde_json::Value::deserialize(input)?;
    Ok(serde_json::from_value(value).ok())
}

#[cfg(test)]
mod tests {
    use super::ObjectMetadata;

    #[test]
    fn reads_the_references_rows_and_hand_made_ones() {
        let row = r#"{"eTag":"\"5d\"","size":5,"mimetype":"text/plain","cacheControl":"max-age=60","lastModified":"2026-11-24T02:04:02.635Z","contentLength":5,"httpStatusCode":200}"#;
        let read: ObjectMetadata = serde_json::from_str(row).unwrap();
        assert_eq!(read.size, Some(5));
        assert_eq!(serde_json::to_string(&read).unwrap(), row);
        let odd: ObjectMetadata = serde_json::from_str(r#"{"size":"7","other":1}"#).unwrap();
        assert_eq!(odd.size, Some(7));
        let odd: ObjectMetadata =
            serde_json::from_str(r#"{"size":7,"rowlock":{"tags":["a"]}}"#).unwrap();
        assert_eq!((odd.size, odd.rowlock), (Some(7), None));
    }
}
