//! `GET` and `HEAD /object/sign/{bucket}/{key}?token=…`: the token says which object, and until
//! when.

use axum::body::Body;
use http::{Response, header};
use rowlock_auth::DownloadToken;
use rowlock_storage::{Access, Error as StorageError, OpenedObject};
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
    let Signed { token, ends } = verify(rest, request)?;
    // Who signed a small image has not signed the whole one.
    if token.transformations.is_some() {
        return Err(RestError::invalid_signature());
    }
    let opened = open(rest, request, &token).await?;
    let mut response = read::answer(rest, request, &opened.object).await?;
    expire(&mut response, ends);
    Ok(response)
}

/// What a good token says, and when it ends.
pub(in crate::rest) struct Signed {
    pub(in crate::rest) token: DownloadToken,
    pub(in crate::rest) ends: Option<i64>,
}

/// Verifies the request's token.
///
/// # Errors
/// InvalidRequest where there is none, InvalidJWT or InvalidSignature for a bad one.
pub(in crate::rest) fn verify(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Signed, RestError> {
    let verified = rest.tokens().verify_download(token(request)?);
    let (token, ends) = verified.map_err(|why| RestError::invalid_token(&why))?;
    Ok(Signed { token, ends })
}

/// Finds the object that the token is for, where the path means the same.
///
/// # Errors
/// InvalidSignature for another path, NoSuchKey.
pub(in crate::rest) async fn open(
    rest: &RestService,
    request: &RestRequest,
    token: &DownloadToken,
) -> Result<OpenedObject, RestError> {
    let (bucket, key) = named(&token.url, request)?;
    let (bucket, key) = (path::bucket(bucket)?, path::key(key)?);
    let context = request.context_for(rest.tokens().service_caller(), None);
    let opened = rest.storage().open(&context, &bucket, &key, Access::Caller).await;
    opened.map_err(|error| match error {
        StorageError::NoSuchBucket => RestError::no_such_key(),
        other => other.into(),
    })
}

/// Nobody shall keep the answer for longer than the URL is good.
pub(in crate::rest) fn expire(response: &mut Response<Body>, ends: Option<i64>) {
    if let Some(ends) = ends.and_then(|ends| OffsetDateTime::from_unix_timestamp(ends).ok()) {
        let headers = response.headers_mut();
        headers.remove(header::CACHE_CONTROL);
        set(headers, header::EXPIRES, &http_date(ends));
    }
}
