//! `GET /bucket/{id}`.

use axum::body::Body;
use http::Response;

use super::list::Shown;
use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::response;

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    let bucket = rest.storage().bucket_details(&request.context(), &request.bucket()?).await?;
    response::json(&Shown::new(&bucket, None))
}
