//! JSON bodies, read as the reference's validator reads them: scalars of another type are
//! converted, members that nobody knows are left out.

use serde_json::{Map, Value};

use super::body::RequestBody;
use super::error::RestError;
use http::{HeaderMap, header};

/// The largest JSON body in bytes.
const MOST: usize = 4 * 1024 * 1024;

/// The members of a JSON object.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

/// Reads a body that must be a JSON object.
///
/// # Errors
/// InvalidRequest.
pub(crate) async fn object(
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<Fields, RestError> {
    let bytes = body.whole(MOST).await?;
    if bytes.is_empty() {
        return Err(RestError::invalid("body must be object"));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if kind != "application/json" && !kind.ends_with("+json") {
        return Err(RestError::new(
            415,
            "InvalidRequest",
            format!(
                "Unsupported Media Type: {}",
                if kind.is_empty() { "undefined" } else { &kind }
            ),
        )
        .named("FastifyError"));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => Ok(Fields(fields)),
        Ok(_) => Err(RestError::invalid("body must be object")),
        Err(_) => Err(RestError::invalid(
            "Body is not valid JSON but content-type is set to 'application/json'",
        )
        .named("FastifyError")),
    }
}

impl Fields {
    /// The members of an object, for tests of what reads them.
    #[cfg(test)]
    pub(crate) fn of(value: Value) -> Self {
        match value {
            Value::Object(map) => Self(map),
            _ => unreachable!("an object"),
        }
    }

    /// An object inside the object; null is none.
    ///
    /// # Errors
    /// InvalidRequest for anything else.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, RestError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self(fields.clone()))),
            Some(_) => Err(wrong(name, "object")),
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
        let Some(text) = self.text(name)? else { return Ok(None) };
        match allowed.iter().find(|(value, _)| *value == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(wrong(name, "equal to one of the allowed values")),
        }
    }

    /// A whole number of at least `least`.
    ///
    /// # Errors
    /// InvalidRequest for anything else.
    pub(crate) fn at_least(&self, name: &str, least: i64) -> Result<Option<i64>, RestError> {
        match self.integer(name)? {
            Some(number) if number < least => Err(wrong(name, &format!(">= {least}"))),
            other => Ok(other),
        }
    }

    /// A list of texts, of which there must be 1 to 1,000.
    ///
    /// # Errors
    /// InvalidRequest.
    pub(crate) fn some_texts(&self, name: &str) -> Result<Vec<String>, RestError> {
        let texts = self.texts(name)?.ok_or_else(|| missing(name))?;
        match texts.len() {
            0 => Err(RestError::invalid(format!("body/{name} must NOT have fewer than 1 items"))),
            1..=1000 => Ok(texts),
            _ => Err(RestError::invalid(format!("body/{name} must NOT have more than 1000 items"))),
        }
    }

    /// A member as it came.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A text; numbers and booleans are converted, null is the empty text.
    ///
    /// # Errors
    /// InvalidRequest for lists and objects.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, RestError> {
        Ok(match self.0.get(name) {
            None => None,
            Some(Value::String(text)) if text.contains('\0') => {
                return Err(wrong(name, "text without NUL"));
            }
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Bool(flag)) => Some(flag.to_string()),
            Some(Value::Null) => Some(String::new()),
            Some(_) => return Err(wrong(name, "string")),
        })
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// InvalidRequest.
    pub(crate) fn required_text(&self, name: &str) -> Result<String, RestError> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// A flag; `"true"`, `"false"`, 1, 0 and null are converted.
    ///
    /// # Errors
    /// InvalidRequest.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, RestError> {
        Ok(match self.0.get(name) {
            None => None,
            Some(Value::Bool(flag)) => Some(*flag),
            Some(Value::Null) => Some(false),
            Some(Value::String(text)) if text == "true" => Some(true),
            Some(Value::String(text)) if text == "false" => Some(false),
            Some(Value::Number(number)) if number.as_u64() == Some(1) => Some(true),
            Some(Value::Number(number)) if number.as_u64() == Some(0) => Some(false),
            Some(_) => return Err(wrong(name, "boolean")),
        })
    }

    /// A whole number; texts of digits are converted, null is 0.
    ///
    /// # Errors
    /// InvalidRequest.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, RestError> {
        let whole =
            |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(0)),
            Some(Value::Bool(flag)) => Ok(Some(i64::from(*flag))),
            Some(Value::Number(number)) => number
                .as_i64()
                .or_else(|| number.as_f64().and_then(whole))
                .map(Some)
                .ok_or_else(|| wrong(name, "integer")),
            Some(Value::String(text)) => text
                .trim()
                .parse::<f64>()
                .ok()
                .and_then(whole)
                .map(Some)
                .ok_or_else(|| wrong(name, "integer")),
            Some(_) => Err(wrong(name, "integer")),
        }
    }

    /// A number; texts of one are converted, null is 0.
    ///
    /// # Errors
    /// InvalidRequest.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f32>, RestError> {
        let number = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::Null) => Some(0.0),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
            Some(_) => None,
        };
        let number = number.map(|number| number as f32).filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| wrong(name, "number"))
    }

    /// A list of texts.
    ///
    /// # Errors
    /// InvalidRequest.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, RestError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let Value::Array(items) = value else { return Err(wrong(name, "array")) };
        let text = |item: &Value| match item {
            Value::String(text) if !text.contains('\0') => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(wrong(name, "array of strings")),
        };
        items.iter().map(text).collect::<Result<_, _>>().map(Some)
    }
}

/// A member that must be there is not.
pub(crate) fn missing(name: &str) -> RestError {
    RestError::invalid(format!("body must have required property '{name}'"))
}

/// A member has a wrong type.
pub(crate) fn wrong(name: &str, wanted: &str) -> RestError {
    RestError::invalid(format!("body/{name} must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::HeaderValue;
    use serde_json::json;

    async fn read(kind: Option<&'static str>, text: &'static str) -> Result<Fields, RestError> {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert("content-type", HeaderValue::from_static(kind));
        }
        let mut body = RequestBody::new(Body::from(text), &headers);
        object(&headers, &mut body).await
    }

    #[tokio::test]
    async fn bodies_must_be_objects() {
        let json = Some("application/json; charset=utf-8");
        assert!(read(json, "{\"a\":1}").await.is_ok());
        for (kind, text) in
            [(None, ""), (json, "[]"), (json, "{\"a\":"), (None, "{}"), (Some("text/plain"), "{}")]
        {
            assert_eq!(read(kind, text).await.unwrap_err().code(), "InvalidRequest", "{text}");
        }
    }

    #[test]
    fn scalars_are_converted() {
        let f = Fields::of(
            json!({"n": 5, "t": "x", "z": null, "b": true, "l": [1], "d": "7", "e": 1.5, "y": "true"}),
        );
        assert_eq!(f.text("n").unwrap().as_deref(), Some("5"));
        assert_eq!(f.text("z").unwrap().as_deref(), Some(""));
        assert_eq!(f.text("none").unwrap(), None);
        assert!(f.text("l").is_err());
        assert_eq!(f.flag("y").unwrap(), Some(true));
        assert_eq!(f.flag("z").unwrap(), Some(false));
        assert!(f.flag("t").is_err());
        assert_eq!(f.integer("d").unwrap(), Some(7));
        assert!(f.integer("e").is_err());
        assert_eq!(f.texts("l").unwrap(), Some(vec!["1".to_owned()]));
        assert!(f.texts("t").is_err());
        assert!(f.required_text("none").is_err());
    }
}
