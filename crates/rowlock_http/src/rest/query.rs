//! The query string of a request, decoded.

use percent_encoding::percent_decode_str;

use super::error::RestError;

/// Name and value pairs in the order they came. A name without `=` has an empty value. Names
/// that an operation does not know are tolerated.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a raw query as HTML forms encode it: `+` is a space.
    ///
    /// # Errors
    /// InvalidRequest for what is no UTF-8, or holds a NUL, which no text in the database can.
    pub(crate) fn parse(raw: &str) -> Result<Self, RestError> {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            let text = percent_decode_str(&spaced).decode_utf8().map(|text| text.into_owned());
            text.ok().filter(|text| !text.contains('\0'))
        };
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        };
        let pairs: Option<Vec<_>> =
            raw.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
        pairs.map(Self).ok_or_else(|| RestError::invalid("querystring is not encoded UTF-8"))
    }

    /// The first value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The last value of a name that ends so.
    pub(crate) fn last_ending(&self, end: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n.ends_with(end)).map(|(_, value)| value.as_str())
    }

    /// A whole number of at least `least`.
    ///
    /// # Errors
    /// InvalidRequest for anything else.
    pub(crate) fn integer(&self, name: &str, least: i64) -> Result<Option<i64>, RestError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(number) if number >= least => Ok(Some(number)),
            Ok(_) => Err(RestError::invalid(format!("querystring/{name} must be >= {least}"))),
            Err(_) => Err(RestError::invalid(format!("querystring/{name} must be integer"))),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// InvalidRequest for anything else.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f32>, RestError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<f32>().ok().filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(RestError::invalid(format!("querystring/{name} must be number"))),
        }
    }

    /// One of the values allowed.
    ///
    /// # Errors
    /// InvalidRequest for another.
    pub(crate) fn one_of<T: Copy>(
        &self,
        name: &str,
        allowed: &[(&str, T)],
    ) -> Result<Option<T>, RestError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match allowed.iter().find(|(value, _)| *value == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(RestError::invalid(format!(
                "querystring/{name} must be equal to one of the allowed values"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let query = Query::parse("a=b+c%2B%C3%BC&flag&empty=&a=second&cacheNonce=1").unwrap();
        assert_eq!(query.get("a"), Some("b c+ü"));
        assert_eq!(
            (query.get("flag"), query.get("empty"), query.get("x")),
            (Some(""), Some(""), None)
        );
        assert!(Query::parse("a=%FF").is_err());
        assert!(Query::parse("a=%00").is_err());
    }

    #[test]
    fn values_are_checked() {
        let query = Query::parse("n=-1&w=x&k=asc").unwrap();
        assert!(query.integer("n", 0).is_err());
        assert!(query.integer("w", 0).is_err());
        assert_eq!(query.integer("n", -5).unwrap(), Some(-1));
        assert_eq!(query.integer("none", 0).unwrap(), None);
        assert_eq!(query.one_of("k", &[("asc", 1), ("desc", 2)]).unwrap(), Some(1));
        assert!(query.one_of("w", &[("asc", 1)]).is_err());
    }
}
