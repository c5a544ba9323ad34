//! `GET` and `HEAD /render/image/sign/{bucket}/{key}?token=…`: the token says which image, how it
//! is to be changed, and until when. The query has no say.

use axum::body::Body;
use http::Response;

use super::answer::answer;
use super::wish::Wish;
use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::object::get_signed::{self, Signed};

pub(in crate::rest) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    let Signed { token, ends } = get_signed::verify(rest, request)?;
    let list = token.transformations.as_deref().unwrap_or_default();
    let wish = Wish::of_token(list, token.format.as_deref(), rest.settings().sides());
    let opened = get_signed::open(rest, request, &token).await?;
    let mut response = answer(rest, request, &opened, &wish).await?;
    get_signed::expire(&mut response, ends);
    Ok(response)
}
