//! `GET` and `HEAD /render/image/public/{bucket}/{key}`: images of public buckets, whoever asks.

use axum::body::Body;
use http::Response;

use super::answer::answer;
use super::wish::Wish;
use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::object::read;

pub(in crate::rest) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    let wish = Wish::of_query(&request.query, rest.settings().sides())?;
    let opened = read::open(rest, request).await?;
    answer(rest, request, &opened, &wish).await
}
