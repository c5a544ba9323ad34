//! The query string of a request, decoded.

use super::error::{S3Error, code};

/// Name and value pairs in the order they came. A name without `=` has an empty value.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a raw query, exactly as its signature read it.
    ///
    /// # Errors
    /// InvalidURI for what is no UTF-8, or holds a NUL, which no name in the database can.
    pub(crate) fn parse(raw: &str) -> Result<Self, S3Error> {
        let invalid = || S3Error::new(code::INVALID_URI, "Couldn't parse the specified URI.");
        let pairs = rowlock_sigv4::query_pairs(raw).map_err(|_| invalid())?;
        if pairs.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(invalid());
        }
        Ok(Self(pairs))
    }

    /// The first value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value of that name, unless it is empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A count such as `max-keys`: absent or empty counts as `default`; more than `most` counts
    /// as `most`.
    ///
    /// # Errors
    /// InvalidArgument for what is no number from 0 to 2147483647.
    pub(crate) fn count(
        &self,
        name: &'static str,
        default: usize,
        most: usize,
    ) -> Result<usize, S3Error> {
        let Some(text) = self.filled(name) else { return Ok(default) };
        match text.parse::<i32>() {
            Ok(number) if number >= 0 => Ok((number as usize).min(most)),
            _ => Err(S3Error::invalid_argument(
                name,
                text,
                format!("Argument {name} must be an integer between 0 and 2147483647"),
            )),
        }
    }

    /// Whether `encoding-type=url` is asked for.
    ///
    /// # Errors
    /// InvalidArgument for another encoding.
    pub(crate) fn url_encoding(&self) -> Result<bool, S3Error> {
        match self.filled("encoding-type") {
            None => Ok(false),
            Some(kind) if kind.eq_ignore_ascii_case("url") => Ok(true),
            Some(other) => Err(S3Error::invalid_argument(
                "encoding-type",
                other,
                "Invalid Encoding Method specified in Request",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once() {
        let query = Query::parse("prefix=a%2Bb+c%2525&acl&empty=&x=1&x=2").unwrap();
        assert_eq!(query.get("prefix"), Some("a+b c%25"));
        assert_eq!(query.get("acl"), Some(""));
        assert_eq!(query.filled("empty"), None);
        assert_eq!(query.get("x"), Some("1"));
        assert_eq!(query.get("X"), None);
        for bad in ["prefix=%ff", "prefix=a%00", "%00"] {
            assert_eq!(Query::parse(bad).unwrap_err().code(), "InvalidURI", "{bad}");
        }
    }

    #[test]
    fn counts() {
        let count = |raw: &str| Query::parse(raw).unwrap().count("max-keys", 1000, 1000);
        assert_eq!(count("").unwrap(), 1000);
        assert_eq!(count("max-keys=").unwrap(), 1000);
        assert_eq!(count("max-keys=0").unwrap(), 0);
        assert_eq!(count("max-keys=7").unwrap(), 7);
        assert_eq!(count("max-keys=5000").unwrap(), 1000);
        for bad in ["max-keys=-1", "max-keys=x", "max-keys=2147483648", "max-keys=1.5"] {
            assert_eq!(count(bad).unwrap_err().code(), "InvalidArgument", "{bad}");
        }
    }
}
