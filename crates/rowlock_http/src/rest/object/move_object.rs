//! `POST /object/move`.

use axum::body::Body;
use http::Response;
use rowlock_storage::{Error as StorageError, MoveRequest};

use super::places::{self, Places};
use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::{json, path, response};

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, RestError> {
    let places = Places::read(&json::object(&request.headers, body).await?)?;
    let bucket = path::bucket(&places.bucket).map_err(|_| RestError::no_such_key())?;
    let asked = MoveRequest {
        bucket,
        name: places.name,
        to_bucket: places.to_bucket,
        to_key: places.to_key,
    };
    let moved = rest.storage().move_object(&request.context(), asked).await;
    moved.map_err(|error| match error {
        // The caller sees the object, so this tells nothing but what to do.
        StorageError::AccessDenied(right) => {
            RestError::access_denied(format!("a move changes the object's row: {right}"))
        }
        other => places::refusal(other),
    })?;
    response::message("Successfully moved")
}
