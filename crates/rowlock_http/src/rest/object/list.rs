//! `POST /object/list/{bucket}`: one folder's entries by offset.

use axum::body::Body;
use http::Response;
use rowlock_storage::{FolderOrder, FolderRequest, SearchEntry};
use serde::Serialize;
use serde_json::Value;

use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::time::iso;
use crate::rest::{json, response};

const COLUMNS: [(&str, FolderOrder); 4] = [
    ("name", FolderOrder::Name),
    ("updated_at", FolderOrder::UpdatedAt),
    ("created_at", FolderOrder::CreatedAt),
    ("last_accessed_at", FolderOrder::LastAccessedAt),
];

/// Names of orders, and whether they go downwards.
pub(super) const ORDERS: [(&str, bool); 2] = [("asc", false), ("desc", true)];

/// The most entries of one answer.
const MOST: i64 = 1500;

/// How many entries an answer has that does not say.
const USUAL: i64 = 100;

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, RestError> {
    let fields = json::object(&request.headers, body).await?;
    let mut prefix = fields.required_text("prefix")?;
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    let search = fields.text("search")?.unwrap_or_default();
    let (order, downwards) = match fields.object("sortBy")? {
        Some(sort) => (sort.one_of("column", &COLUMNS)?, sort.one_of("order", &ORDERS)?),
        None => (None, None),
    };
    let asked = FolderRequest {
        bucket: &request.bucket,
        prefix: &prefix,
        search: &search,
        order: order.unwrap_or(FolderOrder::Name),
        downwards: downwards.unwrap_or(false),
        limit: fields.at_least("limit", 1)?.unwrap_or(USUAL).min(MOST),
        offset: fields.at_least("offset", 0)?.unwrap_or(0),
    };
    let entries = rest.storage().list_folder(&request.context(), &asked).await?;
    response::json(&entries.iter().map(Shown::from).collect::<Vec<_>>())
}

/// An entry as answers show it; a folder has a name and nothing else.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    id: Option<String>,
    updated_at: Option<String>,
    created_at: Option<String>,
    last_accessed_at: Option<String>,
    metadata: Option<&'a Value>,
}

impl<'a> From<&'a SearchEntry> for Shown<'a> {
    fn from(entry: &'a SearchEntry) -> Self {
        Self {
            name: &entry.name,
            id: entry.id.map(|id| id.to_string()),
            updated_at: entry.updated_at.map(iso),
            created_at: entry.created_at.map(iso),
            last_accessed_at: entry.last_accessed_at.map(iso),
            metadata: entry.metadata.as_ref(),
        }
    }
}
