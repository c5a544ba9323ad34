//! `POST /bucket`.

use axum::body::Body;
use http::Response;
use rowlock_storage::NewBucket;
use rowlock_types::BucketName;
use serde_json::json;

use super::settings;
use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::{json, response};

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, RestError> {
    let fields = json::object(&request.headers, body).await?;
    let name = fields.required_text("name")?;
    let id = fields.text("id")?.filter(|id| !id.is_empty()).unwrap_or_else(|| name.clone());
    let new = NewBucket {
        public: fields.flag("public")?.unwrap_or(false),
        file_size_limit: settings::file_size_limit(&fields)?.flatten(),
        allowed_mime_types: settings::allowed_mime_types(&fields)?.flatten(),
        id: new_name(&id)?,
        name: new_name(&name)?,
    };
    rest.storage().create_bucket_with(&request.context(), &new).await?;
    response::json(&json!({ "name": new.name.as_str() }))
}

/// The name of a new bucket: 1 to 100 characters of the reference's set.
fn new_name(name: &str) -> Result<BucketName, RestError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_!.*'() &$=@;:+,?-".contains(c);
    let fine = (1..=100).contains(&name.len())
        && name.chars().all(allowed)
        && !name.starts_with(' ')
        && !name.ends_with(' ');
    match BucketName::existing(name) {
        Ok(name) if fine => Ok(name),
        _ => {
            Err(RestError::new(400, "InvalidBucketName", "Bucket name invalid")
                .named("Invalid Input"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::new_name;

    #[test]
    fn names() {
        for good in ["a", "UPPER", "a b", "a.b", "_!.*'() &$=@;:+,?-", &"x".repeat(100)] {
            assert!(new_name(good).is_ok(), "{good}");
        }
        for bad in ["", " lead", "trail ", "a/b", "ünï", "a~b", ".", "..", &"x".repeat(101)] {
            assert_eq!(new_name(bad).unwrap_err().code(), "InvalidBucketName", "{bad}");
        }
    }
}
