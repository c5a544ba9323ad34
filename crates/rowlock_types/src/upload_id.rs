use std::fmt;
use std::sync::Arc;

/// The id of a multipart upload (`s3_multipart_uploads.id`): a UUID on the file backend, the
/// service's own id on S3, which is whatever the service likes (hundreds of base64 characters,
/// `/`, `+` and `=` among them, at Cloudflare R2). It is never a path: a store that wants one
/// checks for its own form first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(Arc<str>);

/// The text cannot be an upload id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid upload id")]
pub struct InvalidUploadId;

impl UploadId {
    /// Checks an id from a client, a row or a service: 1 to 1024 printable ASCII characters other
    /// than the space.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidUploadId> {
        let fits = (1..=1024).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
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

#[cfg(test)]
mod tests {
    use super::UploadId;

    #[test]
    fn services_name_uploads_as_they_like() {
        let of_r2 = format!("{}/+ab==", "AGuzHzA9/lz+".repeat(28));
        for id in ["u", "2f0c-1", "VXBsb2FkIElE.-_~", "..", "a\\b", &of_r2, &"i".repeat(1024)] {
            assert_eq!(UploadId::parse(id).map(|id| id.as_str().to_owned()).as_deref(), Ok(id));
        }
        for bad in ["", "a b", "a\n", "\u{7f}", "\u{fc}", &"i".repeat(1025)] {
            assert!(UploadId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
