//! `POST /object/sign/{bucket}`: URLs that let their bearers read objects; null for what the
//! caller may not read.

use axum::body::Body;
use http::Response;
use rowlock_auth::DownloadToken;
use serde::Serialize;

use super::sign::{seconds, sign};
use super::signed_path::signed_path;
use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::{json, response};

const UNREADABLE: &str = "Either the object does not exist or you do not have access to it";

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, RestError> {
    let fields = json::object(&request.headers, body).await?;
    let seconds = seconds(&fields)?;
    let paths = fields.some_texts("paths")?;
    let names: Vec<&str> = paths.iter().map(String::as_str).collect();
    let bucket = request.bucket()?;
    let readable = rest.storage().readable(&request.context(), &bucket, &names).await?;
    let answer = |path: &'_ String| -> Result<Signed, RestError> {
        if !readable.contains(path) {
            return Ok(Signed { error: Some(UNREADABLE), path: path.clone(), signed_url: None });
        }
        let token = DownloadToken { url: format!("{bucket}/{path}"), ..DownloadToken::default() };
        let token = sign(rest, &token, seconds)?;
        let url = signed_path("object/sign", bucket.as_str(), path, &token);
        Ok(Signed { error: None, path: path.clone(), signed_url: Some(url) })
    };
    response::json(&paths.iter().map(answer).collect::<Result<Vec<_>, _>>()?)
}

#[derive(Serialize)]
struct Signed {
    error: Option<&'static str>,
    path: String,
    #[serde(rename = "signedURL")]
    signed_url: Option<String>,
}
