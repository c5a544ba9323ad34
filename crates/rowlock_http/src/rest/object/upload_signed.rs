//! `PUT /object/upload/sign/{bucket}/{key}?token=…`: the token says where to, for whom, and whether
//! an object may be there.

use axum::body::Body;
use http::Response;
use rowlock_storage::WriteCondition;
use serde_json::json;

use super::signed_path::{named, token};
use super::upload::{Target, receive};
use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::{path, response};

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, RestError> {
    let verified = rest.tokens().verify_upload(token(request)?);
    let token = verified.map_err(|why| RestError::invalid_token(&why))?;
    let (bucket, key) = named(&token.url, request)?;
    let target = Target {
        context: request.context_for(rest.tokens().service_caller(), token.owner.as_deref()),
        bucket: path::bucket(bucket)?,
        key: path::key(key)?,
        condition: if token.upsert { WriteCondition::None } else { WriteCondition::Create },
    };
    receive(rest, request, body, target).await?;
    response::json(&json!({ "Key": token.url }))
}
