//! `HEAD /upload/resumable/{id}`: up to where an upload is durable, for those who may write to it.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use rowlock_storage::ResumableId;
use rowlock_types::Operation;

use super::error::{TEXT_TYPE, TusError};
use super::headers::{UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA};
use super::{TusRequest, TusService, response};

pub(super) async fn handle(
    tus: &TusService,
    request: &TusRequest,
    id: &ResumableId,
) -> Result<Response<Body>, TusError> {
    request.asking.may_go_on(id)?;
    // By the name of what comes next: policies that name operations name those that write.
    let context = request.asking.context(Operation::TusPart);
    let upload = tus.storage().find_resumable_as(&context, id).await?;
    let mut response = response::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, TEXT_TYPE);
    response::put_offset(&upload, headers);
    response::put_expiry(&upload, headers);
    match upload.length {
        Some(length) => headers.insert(UPLOAD_LENGTH, length.into()),
        None => headers.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    if !upload.upload_metadata.is_empty() {
        response::set(headers, UPLOAD_METADATA, &upload.upload_metadata);
    }
    Ok(response)
}
