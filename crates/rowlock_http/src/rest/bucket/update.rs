//! `PUT /bucket/{id}`.

use axum::body::Body;
use http::Response;
use rowlock_storage::BucketChanges;

use super::settings;
use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::{json, response};

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, RestError> {
    let fields = json::object(&request.headers, body).await?;
    let changes = BucketChanges {
        public: fields.flag("public")?,
        file_size_limit: settings::file_size_limit(&fields)?,
        allowed_mime_types: settings::allowed_mime_types(&fields)?,
    };
    rest.storage().change_bucket(&request.context(), &request.bucket()?, &changes).await?;
    response::message("Successfully updated")
}
