//! `DELETE /bucket/{id}`.

use axum::body::Body;
use http::Response;
use rowlock_storage::Error;

use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::response;

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    match rest.storage().delete_bucket(&request.context(), &request.bucket()?).await {
        Ok(()) => response::message("Successfully deleted"),
        // A bucket that the caller may not delete looks like none, as the reference has it.
        Err(Error::AccessDenied(_)) => Err(RestError::no_such_bucket()),
        Err(error) => Err(error.into()),
    }
}
