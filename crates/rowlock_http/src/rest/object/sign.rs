//! `POST /object/sign/{bucket}/{key}`: a URL that lets its bearer read one object.

use axum::body::Body;
use http::Response;
use rowlock_auth::DownloadToken;
use serde_json::json;

use super::signed_path::signed_path;
use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::json::{self, Fields, missing};
use crate::rest::render::Wish;
use crate::rest::response;

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, RestError> {
    let fields = json::object(&request.headers, body).await?;
    let seconds = seconds(&fields)?;
    let wish = Wish::of_fields(&fields, rest.settings().sides())?;
    let (bucket, key) = (request.bucket()?, request.name()?);
    let readable = rest.storage().readable(&request.context(), &bucket, &[key]).await?;
    if !readable.contains(key) {
        return Err(RestError::no_such_key());
    }
    // Without transformations a URL is of the object as it is.
    let list = wish.of_a_token().filter(|_| rest.settings().images.is_some());
    let area = if list.is_some() { "render/image/sign" } else { "object/sign" };
    let token = DownloadToken {
        url: format!("{bucket}/{key}"),
        format: wish.format().map(str::to_owned).filter(|_| list.is_some()),
        transformations: list,
    };
    let token = sign(rest, &token, seconds)?;
    let url = signed_path(area, bucket.as_str(), key, &token);
    response::json(&json!({ "signedURL": url }))
}

/// `expiresIn`: for how many seconds.
pub(super) fn seconds(fields: &Fields) -> Result<i64, RestError> {
    fields.at_least("expiresIn", 1)?.ok_or_else(|| missing("expiresIn"))
}

pub(super) fn sign(
    rest: &RestService,
    token: &DownloadToken,
    seconds: i64,
) -> Result<String, RestError> {
    rest.tokens().sign_download(token, seconds).map_err(|why| RestError::invalid_token(&why))
}
