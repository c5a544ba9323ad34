//! `DELETE /object/{bucket}`: the names in the body, as far as the caller may delete them.

use axum::body::Body;
use http::Response;

use super::row::ShownRow;
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
    let names = json::object(&request.headers, body).await?.some_texts("prefixes")?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bucket = request.bucket()?;
    let rows = rest.storage().remove_objects(&request.context(), &bucket, &names).await?;
    response::json(&rows.iter().map(ShownRow::from).collect::<Vec<_>>())
}
