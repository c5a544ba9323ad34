//! `GET` and `HEAD` of an object: `/object/{bucket}/{key}`, and below `/object/authenticated` and
//! `/object/public`.

use std::ops::Range;

use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};
use rowlock_storage::{Access, BlobBody, Object, OpenedObject};

use super::{cache, headers};
use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::range;
use crate::rest::response::{empty, set};

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    let opened = open(rest, request).await?;
    answer(rest, request, &opened.object).await
}

/// Finds the object that the path names: as the caller, or as anyone where nobody says who asks.
///
/// # Errors
/// NoSuchBucket, NoSuchKey.
pub(crate) async fn open(
    rest: &RestService,
    request: &RestRequest,
) -> Result<OpenedObject, RestError> {
    let access = if request.has_token { Access::Caller } else { Access::Anyone };
    let (bucket, key) = (request.bucket()?, request.key()?);
    Ok(rest.storage().open(&request.context(), &bucket, &key, access).await?)
}

/// Answers a read of an object that the caller may read.
///
/// # Errors
/// InvalidRange, or what the store says.
pub(crate) async fn answer(
    rest: &RestService,
    request: &RestRequest,
    object: &Object,
) -> Result<Response<Body>, RestError> {
    let (mut response, range) = decide(rest, request, object)?;
    if let Some(range) = range.filter(|_| request.method != Method::HEAD) {
        // An error in the middle of the stream breaks the connection off, so that a cut body
        // never looks like a whole one.
        *response.body_mut() = match rest.storage().read_blob(object, range).await? {
            BlobBody::Bytes(bytes) => Body::from(bytes),
            BlobBody::Stream(stream) => Body::from_stream(stream),
        };
    }
    Ok(response)
}

/// Condition, range and headers, from the object's row alone: the answer without its bytes, and
/// which bytes it lacks (none for a 304).
fn decide(
    rest: &RestService,
    request: &RestRequest,
    object: &Object,
) -> Result<(Response<Body>, Option<Range<u64>>), RestError> {
    if cache::is_current(&request.headers, &object.etag, object.last_modified) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        headers::put(object, request, rest.settings(), response.headers_mut());
        return Ok((response, None));
    }
    let asked = range::resolve(request.header("range"), object.size)?;
    let status = if asked.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let range = asked.clone().unwrap_or(0..object.size);
    let mut response = empty(status);
    let out = response.headers_mut();
    headers::put(object, request, rest.settings(), out);
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if let Some(part) = asked {
        let value = format!("bytes {}-{}/{}", part.start, part.end - 1, object.size);
        set(out, header::CONTENT_RANGE, &value);
    }
    Ok((response, Some(range)))
}
