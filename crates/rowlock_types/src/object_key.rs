use std::fmt;
use std::sync::Arc;

/// The longest key in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
pub const MAX_KEY_BYTES: usize = 1024;

/// The key of an object inside its bucket (`objects.name`).
///
/// Invariants: 1 to 1024 bytes of UTF-8, no control characters, no segment that is `.` or `..`.
/// Such a key can be joined to a folder without leaving it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

/// Which keys a deployment accepts (`STRICT_KEYS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyRules {
    /// All UTF-8 but control characters and dot segments.
    #[default]
    Utf8,
    /// The reference's set: ASCII letters, digits and ``_/!.*'()&$=@;:+,?-`` and space.
    Strict,
}

/// Why a text is no object key; the message quotes the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid key: {reason}")]
pub struct InvalidObjectKey {
    /// What was given.
    pub key: String,
    /// The rule that it breaks.
    pub reason: &'static str,
    /// True when the only fault is its length (S3: `KeyTooLongError`).
    pub too_long: bool,
}

impl ObjectKey {
    /// Checks a key that a client sent.
    ///
    /// # Errors
    /// When the key is empty, too long, or contains what no key may contain.
    pub fn new(key: &str, rules: KeyRules) -> Result<Self, InvalidObjectKey> {
        let refuse =
            |reason, too_long| Err(InvalidObjectKey { key: key.to_owned(), reason, too_long });
        if key.is_empty() {
            return refuse("it is empty", false);
        }
        if key.len() > MAX_KEY_BYTES {
            return refuse("it is longer than 1024 bytes", true);
        }
        if key.chars().any(char::is_control) {
            return refuse("it contains a control character", false);
        }
        if key.split('/').any(|segment| segment == "." || segment == "..") {
            return refuse("it contains a dot path segment", false);
        }
        let strict = |c: char| c.is_ascii_alphanumeric() || "_/!.*'()&$=@;:+,?- ".contains(c);
        if rules == KeyRules::Strict && !key.chars().all(strict) {
            return refuse("it contains a character outside the allowed set", false);
        }
        Ok(Self(Arc::from(key)))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the key names a folder (it ends in `/`).
    pub fn is_folder(&self) -> bool {
        self.0.ends_with('/')
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyRules, ObjectKey};

    #[test]
    fn accepts_all_scripts_and_refuses_what_could_escape() {
        for good in ["a", "ünï/日本.txt", "odd [x]^|.txt", "a//b", "/lead", "trail/", "...", "😀"]
        {
            assert!(ObjectKey::new(good, KeyRules::Utf8).is_ok(), "{good}");
        }
        let long = "é".repeat(513);
        for bad in ["", ".", "a/../b", "./x", "x/.", "a\0", "a\nb", "\u{7f}", long.as_str()] {
            assert!(ObjectKey::new(bad, KeyRules::Utf8).is_err(), "{bad:?}");
        }
        assert!(ObjectKey::new(&"é".repeat(512), KeyRules::Utf8).is_ok());
    }

    #[test]
    fn strict_rules_are_the_references() {
        assert!(ObjectKey::new("a b/c-_!.*'()&$=@;:+,?", KeyRules::Strict).is_ok());
        for bad in ["é", "a~", "a#", "a%", "a[", "a^", "a|", "a\\b"] {
            assert!(ObjectKey::new(bad, KeyRules::Strict).is_err(), "{bad}");
        }
    }
}
