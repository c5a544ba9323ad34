//! `POST /object/copy`.

use axum::body::Body;
use http::Response;
use rowlock_storage::{CopyMetadata, CopyRequest, CopySource, OwnMetadata, WriteCondition};
use rowlock_types::UserMetadata;
use serde::Serialize;
use serde_json::json;

use super::metadata;
use super::places::Places;
use super::row::ShownRow;
use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::json::{self, Fields};
use crate::rest::{path, response};

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, RestError> {
    let fields = json::object(&request.headers, body).await?;
    let places = Places::read(&fields)?;
    let context = request.context();
    let bucket = path::bucket(&places.bucket).map_err(|_| RestError::no_such_key())?;
    let source = rest.storage().find_source(&context, &bucket, &places.name).await?;
    let (metadata, own) = if fields.flag("copyMetadata")?.unwrap_or(true) {
        kept(&source)
    } else {
        replaced(&source, &fields, request)?
    };
    let copy = CopyRequest {
        bucket: places.to_bucket,
        key: places.to_key,
        metadata,
        condition: if request.upsert() { WriteCondition::None } else { WriteCondition::Create },
        tags: None,
        checksum: None,
    };
    let written = rest.storage().copy_to_row(&context, &source.object, copy, own).await;
    let row = written.map_err(super::places::refusal)?;
    response::json(&Copied {
        key: format!("{}/{}", row.bucket, row.name),
        id: row.id.to_string(),
        row: ShownRow::from(&row),
    })
}

/// The row, and what older clients read of it.
#[derive(Serialize)]
struct Copied<'a> {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Id")]
    id: String,
    #[serde(flatten)]
    row: ShownRow<'a>,
}

fn kept(source: &CopySource) -> (CopyMetadata, OwnMetadata) {
    let own = OwnMetadata {
        user_metadata: Some(source.user_metadata.clone().unwrap_or_else(|| json!({}))),
        robots: source.object.metadata.x_robots_tag.clone(),
    };
    (CopyMetadata::Source, own)
}

/// What the request names takes the place of the source's; user metadata is the request's.
fn replaced(
    source: &CopySource,
    fields: &Fields,
    request: &RestRequest,
) -> Result<(CopyMetadata, OwnMetadata), RestError> {
    let given = fields.object("metadata")?;
    let given = |name| given.as_ref().map_or(Ok(None), |given| given.text(name));
    let stored = &source.object.metadata;
    let metadata = CopyMetadata::Replace {
        content_type: given("mimetype")?.or_else(|| stored.mimetype.clone()),
        cache_control: given("cacheControl")?.or_else(|| stored.cache_control.clone()),
        user_metadata: UserMetadata::new(),
        extra: stored.rowlock.clone().unwrap_or_default(),
    };
    let own = OwnMetadata {
        user_metadata: metadata::of_header(request.header("x-metadata"))?,
        robots: stored.x_robots_tag.clone(),
    };
    Ok((metadata, own))
}
