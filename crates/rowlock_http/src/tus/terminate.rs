//! `DELETE /upload/resumable/{id}`: gives an upload up.

use axum::body::Body;
use http::{Response, StatusCode};
use rowlock_storage::ResumableId;
use rowlock_types::Operation;

use super::error::TusError;
use super::{TusRequest, TusService, response};

pub(super) async fn handle(
    tus: &TusService,
    request: &TusRequest,
    id: &ResumableId,
) -> Result<Response<Body>, TusError> {
    request.asking.may_go_on(id)?;
    let context = request.asking.context(Operation::TusDelete);
    tus.storage().terminate_resumable(&context, id).await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}
