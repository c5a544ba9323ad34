use std::fmt;
use std::sync::Arc;

/// The id of a multipart upload (`s3_multipart_uploads.id`): a UUID on the file backend, the
/// store's own id on S3.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(Arc<str>);

/// The text cannot be an upload id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid upload id")]
pub struct InvalidUploadId;

impl UploadId {
    /// Checks an id from a client or a row: 1 to 1024 printable ASCII characters other than `/`
    /// and `\`, not a dot segment, so that it can be one segment of a path.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidUploadId> {
        let fits = (1..=1024).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'\\')
            && text != "."
            && text != "..";
        if fits { Ok(Self(Arc::from(text))) } else { Err(InvalidUploadId) }
    }

    /// A new random id that grows with time (UUID v7), for stores that have no ids of their own:
    /// uploads of one key are listed in the order in which they were begun.
    pub fn random() -> Self {
        Self(Arc::from(uuid::Uuid::now_v7().to_string()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
