//! `GET /bucket`.

use axum::body::Body;
use http::Response;
use rowlock_storage::{BucketDetails, BucketFilter, BucketOrder};
use serde::Serialize;

use super::old_clients::crashes_on_type;
use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::response;
use crate::rest::time::iso;

const COLUMNS: [(&str, BucketOrder); 4] = [
    ("id", BucketOrder::Id),
    ("name", BucketOrder::Name),
    ("created_at", BucketOrder::CreatedAt),
    ("updated_at", BucketOrder::UpdatedAt),
];

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
) -> Result<Response<Body>, RestError> {
    let query = &request.query;
    let column = query.one_of("sortColumn", &COLUMNS)?;
    let downwards = query.one_of("sortOrder", &[("asc", false), ("desc", true)])?;
    let filter = BucketFilter {
        search: query.get("search").filter(|text| !text.is_empty()).map(str::to_owned),
        order: column.map(|column| (column, downwards.unwrap_or(false))),
        limit: query.integer("limit", 1)?,
        offset: query.integer("offset", 0)?.unwrap_or(0),
    };
    let buckets = rest.storage().list_bucket_details(&request.context(), &filter).await?;
    let kind = (!crashes_on_type(&request.headers)).then_some("STANDARD");
    let shown: Vec<_> = buckets.iter().map(|bucket| Shown::new(bucket, kind)).collect();
    response::json(&shown)
}

/// A bucket as answers show it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    owner: &'a str,
    public: bool,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    file_size_limit: Option<i64>,
    allowed_mime_types: Option<&'a [String]>,
    created_at: String,
    updated_at: String,
}

impl<'a> Shown<'a> {
    pub(super) fn new(bucket: &'a BucketDetails, kind: Option<&'static str>) -> Self {
        Self {
            id: &bucket.id,
            name: &bucket.name,
            owner: bucket.owner.as_deref().unwrap_or(""),
            public: bucket.public,
            kind,
            file_size_limit: bucket.file_size_limit,
            allowed_mime_types: bucket.allowed_mime_types.as_deref(),
            created_at: iso(bucket.created_at),
            updated_at: iso(bucket.updated_at),
        }
    }
}
