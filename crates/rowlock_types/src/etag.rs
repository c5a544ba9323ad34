use std::fmt;
use std::sync::Arc;

/// An entity tag with its double quotes, as `objects.metadata.eTag` holds it and HTTP sends it
/// (RFC 9110 section 8.8.3; always a strong tag here).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ETag(Arc<str>);

impl ETag {
    /// Takes a tag with or without quotes.
    pub fn new(tag: &str) -> Self {
        let bare = tag.trim().trim_start_matches("W/").trim_matches('"');
        Self(Arc::from(format!("\"{bare}\"")))
    }

    /// The tag of an object whose bytes have this MD5 digest.
    pub fn from_md5(digest: &[u8; 16]) -> Self {
        Self::new(&hex(digest))
    }

    /// The tag of a multipart object: MD5 of the parts' binary MD5 digests, then `-` and the
    /// number of parts, as AWS makes it.
    pub fn multipart(digest_of_digests: &[u8; 16], parts: usize) -> Self {
        Self::new(&format!("{}-{parts}", hex(digest_of_digests)))
    }

    /// The tag with its quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag without its quotes.
    pub fn bare(&self) -> &str {
        self.0.trim_matches('"')
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::ETag;

    #[test]
    fn quotes_are_kept_once() {
        assert_eq!(ETag::new("abc").as_str(), "\"abc\"");
        assert_eq!(ETag::new("\"abc\""), ETag::new("abc"));
        assert_eq!(ETag::new("abc").bare(), "abc");
        assert_eq!(ETag::multipart(&[0; 16], 3).bare(), "00000000000000000000000000000000-3");
    }
}
