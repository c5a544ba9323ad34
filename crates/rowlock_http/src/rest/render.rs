//! `/render/image`: images are not transformed by this server.

use axum::body::Body;
use http::Response;

use super::error::RestError;

pub(crate) fn handle() -> Result<Response<Body>, RestError> {
    Err(RestError::new(400, "FeatureNotEnabled", "image transformation is not enabled"))
}
