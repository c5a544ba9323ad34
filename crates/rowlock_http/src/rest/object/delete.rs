//! `DELETE /object/{bucket}/{key}`.

use axum::body::Body;
use http::Response;

use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::response;

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    let bucket = request.bucket()?;
    rest.storage().remove_object(&request.context(), &bucket, request.name()?).await?;
    response::message("Successfully deleted")
}
