//! How an image is to be changed, as a request for a signed URL says it.

use crate::rest::error::RestError;
use crate::rest::json::{Fields, wrong};

/// The largest width and height in pixels.
const MOST: i64 = 2000;

const RESIZES: [(&str, &str); 3] = [("cover", "cover"), ("contain", "contain"), ("fill", "fill")];
const FORMATS: [(&str, &str); 3] = [("origin", "origin"), ("avif", "avif"), ("webp", "webp")];

/// What the token of the signed URL will say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Transform {
    /// A comma list; nothing where the image stays as it is.
    pub(super) list: Option<String>,
    /// The image format.
    pub(super) format: Option<String>,
}

impl Transform {
    /// Reads `transform`: each member has its own meaning, and no other gets into a token.
    ///
    /// # Errors
    /// InvalidRequest.
    pub(super) fn read(fields: &Fields) -> Result<Self, RestError> {
        let Some(fields) = fields.object("transform")? else { return Ok(Self::default()) };
        let size = |name| Ok::<_, RestError>(fields.at_least(name, 0)?.filter(|size| *size > 0));
        let (height, width) = (size("height")?, size("width")?);
        let resize = fields.one_of("resize", &RESIZES)?;
        let quality = fields.at_least("quality", 20)?;
        if quality.is_some_and(|quality| quality > 100) {
            return Err(wrong("transform/quality", "<= 100"));
        }
        let mut list = Vec::new();
        list.extend(height.map(|size| format!("height:{}", size.min(MOST))));
        list.extend(width.map(|size| format!("width:{}", size.min(MOST))));
        if !list.is_empty() {
            list.push(format!("resize:{}", resize.unwrap_or("cover")));
        }
        list.extend(quality.map(|quality| format!("quality:{quality}")));
        let format = fields.one_of("format", &FORMATS)?.map(str::to_owned);
        Ok(Self { list: (!list.is_empty()).then(|| list.join(",")), format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(transform: Value) -> Result<Transform, RestError> {
        Transform::read(&Fields::of(json!({ "transform": transform })))
    }

    #[test]
    fn lists() {
        let list = |value| read(value).unwrap().list;
        assert_eq!(list(json!({})), None);
        assert_eq!(list(Value::Null), None);
        let both = json!({"width": 100, "height": 9000, "resize": "contain", "quality": 50});
        assert_eq!(list(both).as_deref(), Some("height:2000,width:100,resize:contain,quality:50"));
        assert_eq!(list(json!({"width": 1})).as_deref(), Some("width:1,resize:cover"));
        assert_eq!(read(json!({"format": "origin"})).unwrap().format.as_deref(), Some("origin"));
    }

    #[test]
    fn nothing_else_gets_into_a_token() {
        let odd = json!({"width": 1, "role": "service_role", "upsert": true, "owner": "x"});
        assert_eq!(read(odd).unwrap(), read(json!({"width": 1})).unwrap());
        for bad in [
            json!({"resize": "cover,role:x"}),
            json!({"format": "exe"}),
            json!({"width": -1}),
            json!({"width": "1,role:x"}),
            json!({"quality": 101}),
            json!({"quality": 5}),
            json!([1]),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
