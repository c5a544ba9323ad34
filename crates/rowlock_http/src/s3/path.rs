//! What a path names.

use super::encode::percent_decode;

/// Bucket and key of a path behind `/s3`, decoded once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Named {
    /// Empty at the service.
    pub(crate) bucket: String,
    /// Empty at a bucket.
    pub(crate) key: String,
}

impl Named {
    /// Reads what follows `/s3`: empty, `/`, `/bucket`, `/bucket/`, `/bucket/key`. A slash that
    /// was sent as `%2F` is a slash.
    pub(crate) fn parse(rest: &str) -> Option<Self> {
        let decoded = percent_decode(rest)?;
        let inner = decoded.strip_prefix('/').unwrap_or(&decoded);
        let (bucket, key) = inner.split_once('/').unwrap_or((inner, ""));
        if bucket.is_empty() && !key.is_empty() {
            return None;
        }
        Some(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_behind_the_mount() {
        let named = |bucket: &str, key: &str| {
            Some(Named { bucket: bucket.to_owned(), key: key.to_owned() })
        };
        assert_eq!(Named::parse(""), named("", ""));
        assert_eq!(Named::parse("/"), named("", ""));
        assert_eq!(Named::parse("/b"), named("b", ""));
        assert_eq!(Named::parse("/b/"), named("b", ""));
        assert_eq!(Named::parse("/b/k/%C3%BC%20%252F"), named("b", "k/ü %2F"));
        assert_eq!(Named::parse("/b%2Fk"), named("b", "k"));
        assert_eq!(Named::parse("/b//k/"), named("b", "/k/"));
        assert_eq!(Named::parse("//k"), None);
        assert_eq!(Named::parse("/b/%ff"), None);
        assert_eq!(Named::parse("/b/%zz"), None);
    }
}
