use std::fmt;
use std::sync::Arc;

/// The name of a bucket, which is also its id.
///
/// Always: not empty, at most 255 bytes, no `/`, no control characters, not `.` or `..`,
/// so that it can be one segment of a blob's path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(Arc<str>);

/// Why a text is no bucket name; the message quotes the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid bucket name {name:?}: {reason}")]
pub struct InvalidBucketName {
    /// What was given.
    pub name: String,
    /// The rule that it breaks.
    pub reason: &'static str,
}

impl BucketName {
    /// Accepts every name that a bucket may already have: those that REST clients or SQL made.
    ///
    /// # Errors
    /// When the name could not be one segment of a path.
    pub fn existing(name: &str) -> Result<Self, InvalidBucketName> {
        let refuse = |reason| Err(InvalidBucketName { name: name.to_owned(), reason });
        if name.is_empty() {
            return refuse("it is empty");
        }
        if name.len() > 255 {
            return refuse("it is longer than 255 bytes");
        }
        if name == "." || name == ".." {
            return refuse("it is a dot segment");
        }
        if name.contains('/') {
            return refuse("it contains a slash");
        }
        if name.chars().any(char::is_control) {
            return refuse("it contains a control character");
        }
        Ok(Self(Arc::from(name)))
    }

    /// Accepts a name for a new bucket made over the S3 protocol, by the rules of
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
    /// (general purpose buckets).
    ///
    /// # Errors
    /// When the name breaks one of these rules.
    pub fn new_s3(name: &str) -> Result<Self, InvalidBucketName> {
        let refuse = |reason| Err(InvalidBucketName { name: name.to_owned(), reason });
        if !(3..=63).contains(&name.len()) {
            return refuse("it must be 3 to 63 characters long");
        }
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        if !name.chars().all(allowed) {
            return refuse("only lower-case letters, digits, dots and hyphens are allowed");
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        if !edge(name.chars().next()) || !edge(name.chars().last()) {
            return refuse("it must begin and end with a letter or digit");
        }
        if name.contains("..") {
            return refuse("it contains two adjacent dots");
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() {
            return refuse("it is formatted as an IP address");
        }
        if ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|p| name.starts_with(p))
            || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
                .iter()
                .any(|s| name.ends_with(s))
        {
            return refuse("it has a reserved prefix or suffix");
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::BucketName;

    #[test]
    fn s3_rules() {
        for good in ["abc", "my-bucket", "a.b.c", "0numbers9", &"a".repeat(63)] {
            assert!(BucketName::new_s3(good).is_ok(), "{good}");
        }
        for bad in [
            "ab",
            "Upper",
            "under_score",
            "-lead",
            "trail-",
            "a..b",
            "192.168.5.4",
            "xn--abc",
            "x-s3alias",
            &"a".repeat(64),
            "sp ace",
            "ünï",
        ] {
            assert!(BucketName::new_s3(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn existing_names_load_unless_they_could_escape() {
        for good in ["a", "UPPER", "a b", "Rec_S3!", "ünïcode"] {
            assert!(BucketName::existing(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\0b", "a\nb"] {
            assert!(BucketName::existing(bad).is_err(), "{bad:?}");
        }
    }
}
