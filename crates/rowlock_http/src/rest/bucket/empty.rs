//! `POST /bucket/{id}/empty`.

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
    rest.storage().empty_bucket(&request.context(), &request.bucket()?).await?;
    response::message("Empty bucket has been queued. Completion may take up to an hour.")
}
