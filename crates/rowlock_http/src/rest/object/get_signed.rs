//! `GET` and `HEAD /object/sign/{bucket}/{key}?token=…`: the token says which object, and until
//! when.

use axum::body::Body;
use http::{Response, header};
use rowlock_storage::{Access, Error as StorageError};
use time::OffsetDateTime;

use super::read;
use super::signed_path::{named, token};
use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::path;
use crate::rest::response::set;
use crate::rest::time::http_date;

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    let verified = rest.tokens().verify_download(token(request)?);
    let (token, ends) = verified.map_err(|why| RestError::invalid_token(&why))?;
    let (bucket, key) = named(&token.url, request)?;
    let (bucket, key) = (path::bucket(bucket)?, path::key(key)?);
    let context = request.context_for(rest.tokens().service_caller(), None);
    let opened = rest.storage().open(&context, &bucket, &key, Access::Caller).await;
    let opened = opened.map_err(|error| match error {
        StorageError::NoSuchBucket => RestError::no_such_key(),
        other => other.into(),
    })?;
    let mut response = read::answer(rest, request, &opened.object).await?;
    // Nobody shall keep it for longer than the URL is good.
    if let Some(ends) = ends.and_then(|ends| OffsetDateTime::from_unix_timestamp(ends).ok()) {
        let headers = response.headers_mut();
        headers.remove(header::CACHE_CONTROL);
        set(headers, header::EXPIRES, &http_date(ends));
    }
    Ok(response)
}
