//! `POST /object/upload/sign/{bucket}/{key}`: a URL that lets its bearer write one object, in the
//! caller's name.

use axum::body::Body;
use http::Response;
use rowlock_auth::UploadToken;
use serde_json::json;

use super::places;
use super::signed_path::signed_path;
use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::{path, response};

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    let upsert = request.upsert();
    let key = request.key()?;
    let bucket = path::bucket(&request.bucket).map_err(|_| RestError::no_such_relation())?;
    let allowed = rest.storage().may_upload(&request.context(), &bucket, &key, upsert).await;
    allowed.map_err(places::refusal)?;
    let token = UploadToken {
        url: format!("{bucket}/{key}"),
        owner: request.subject().map(str::to_owned),
        upsert,
    };
    let token = rest
        .tokens()
        .sign_upload(&token, rest.settings().upload_url_seconds)
        .map_err(|why| RestError::invalid_token(&why))?;
    let url = signed_path("object/upload/sign", bucket.as_str(), key.as_str(), &token);
    response::json(&json!({ "url": url, "token": token }))
}
