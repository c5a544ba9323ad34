//! `GET /object/info/…`: what is known of an object, without its bytes.

use axum::body::Body;
use http::Response;
use serde::Serialize;
use serde_json::Value;

use super::{headers, read};
use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::response;
use crate::rest::time::iso;

#[derive(Serialize)]
struct Info<'a> {
    id: String,
    name: &'a str,
    version: Option<&'a str>,
    bucket_id: &'a str,
    size: u64,
    content_type: &'a str,
    cache_control: &'a str,
    etag: &'a str,
    metadata: Option<&'a Value>,
    last_modified: String,
    created_at: String,
}

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    let opened = read::open(rest, request).await?;
    let object = &opened.object;
    let mut response = response::json(&Info {
        id: opened.id.to_string(),
        name: object.key.as_str(),
        version: opened.version.as_deref(),
        bucket_id: object.bucket.as_str(),
        size: object.size,
        content_type: headers::content_type(object),
        cache_control: headers::cache_control(object),
        etag: object.etag.as_str(),
        metadata: opened.user_metadata.as_ref(),
        last_modified: iso(object.last_modified),
        created_at: iso(opened.created_at),
    })?;
    let (settings, out) = (rest.settings(), response.headers_mut());
    headers::put_validators(object, &object.etag, request, settings, out);
    Ok(response)
}
