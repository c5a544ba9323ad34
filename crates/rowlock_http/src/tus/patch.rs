//! `PATCH /upload/resumable/{id}`: the bytes from an offset on.

use axum::body::Body;
use http::{Response, StatusCode};
use rowlock_storage::{Append, ResumableId};
use rowlock_types::Operation;

use super::error::TusError;
use super::headers::{self, UPLOAD_LENGTH, UPLOAD_OFFSET};
use super::{TusRequest, TusService, response};
use crate::rest::body::RequestBody;

pub(super) async fn handle(
    tus: &TusService,
    request: &TusRequest,
    id: &ResumableId,
    body: &mut RequestBody,
) -> Result<Response<Body>, TusError> {
    request.asking.may_go_on(id)?;
    let Some(offset) = headers::length(&request.headers, &UPLOAD_OFFSET)? else {
        return Err(TusError::new(403, "Upload-Offset header required\n"));
    };
    let append = Append {
        offset,
        length: headers::length(&request.headers, &UPLOAD_LENGTH)?,
        upsert: request.asking.upsert,
        announced: body.length(),
    };
    let _room = tus.room(&request.asking)?;
    let context = request.asking.context(Operation::TusPart);
    let upload = tus.storage().append_resumable(&context, id, append, body.open()).await?;
    let mut response = response::empty(StatusCode::NO_CONTENT);
    response::put_offset(&upload, response.headers_mut());
    response::put_expiry(&upload, response.headers_mut());
    Ok(response)
}
