use std::fmt;
use uuid::Uuid;

/// The version of an object's blob: a UUID, fresh for every write (`objects.version`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Uuid);

/// The text is no lower-case hyphenated UUID, so it names no blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the row's version is not a UUID")]
pub struct InvalidVersion;

impl Version {
    /// A new random version (UUID v4).
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The UUID itself.
    pub fn uuid(&self) -> Uuid {
        self.0
    }

    /// Reads a row's version. Rows are not trusted: whoever may INSERT can write any text there,
    /// and this text becomes a path.
    ///
    /// # Errors
    /// When the text is not a UUID in the form that servers write (lower case, hyphenated).
    pub fn parse(text: &str) -> Result<Self, InvalidVersion> {
        let uuid = Uuid::try_parse(text).map_err(|_| InvalidVersion)?;
        let version = Self(uuid);
        if version.to_string() == text { Ok(version) } else { Err(InvalidVersion) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn only_the_written_form_is_a_version() {
        let version = Version::random();
        assert_eq!(Version::parse(&version.to_string()), Ok(version));
        for bad in [
            "",
            "1",
            "../x",
            "67E55044-10B1-426F-9247-BB680E5FE0C8",
            "67e5504410b1426f9247bb680e5fe0c8",
        ] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }
}
