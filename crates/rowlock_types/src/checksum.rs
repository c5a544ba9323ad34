use serde::{Deserialize, Serialize};

/// What the value of an object's checksum was computed over
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChecksumType {
    /// The object's bytes.
    #[serde(rename = "FULL_OBJECT")]
    FullObject,
    /// The binary checksums of its parts.
    #[serde(rename = "COMPOSITE")]
    Composite,
}

impl ChecksumType {
    /// The name in `x-amz-checksum-type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    /// Reads that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An object's S3 checksum, as its row keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChecksum {
    /// The algorithm's S3 name: `CRC32`, `SHA256` and so on.
    pub algorithm: String,
    /// The value as headers carry it: base64, with `-<number of parts>` where it is composite.
    pub value: String,
    /// What it was computed over.
    #[serde(rename = "type")]
    pub kind: ChecksumType,
}
