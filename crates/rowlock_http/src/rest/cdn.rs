//! `/cdn`: there is no cache in front of this server that it could purge.

use axum::body::Body;
use http::Response;

use super::context::RestRequest;
use super::error::RestError;

pub(crate) fn handle(request: &RestRequest) -> Result<Response<Body>, RestError> {
    if !request.is_service() {
        return Err(RestError::access_denied("Access denied").real_status());
    }
    Err(RestError::new(
        400,
        "MissingParameter",
        "Missing Required Parameter CDN_PURGE_ENDPOINT_URL is not set",
    ))
}
