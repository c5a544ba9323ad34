//! `POST /object/list-v2/{bucket}`: pages of a bucket by cursor.

use axum::body::Body;
use http::Response;
use rowlock_storage::{PageOrder, PageRequest, SearchEntry};
use serde::Serialize;
use serde_json::Value;

use super::cursor::Cursor;
use super::list::ORDERS;
use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::time::iso;
use crate::rest::{json, response};

const COLUMNS: [(&str, PageOrder); 3] = [
    ("name", PageOrder::Name),
    ("updated_at", PageOrder::UpdatedAt),
    ("created_at", PageOrder::CreatedAt),
];

/// The most entries of one page.
const MOST: i64 = 1000;

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, RestError> {
    let fields = json::object(&request.headers, body).await?;
    let prefix = fields.text("prefix")?.unwrap_or_default();
    let folded = fields.flag("with_delimiter")?.unwrap_or(false);
    let limit = fields.at_least("limit", 1)?.unwrap_or(MOST).min(MOST);
    let (column, order) = match fields.object("sortBy")? {
        Some(sort) => (sort.one_of("column", &COLUMNS)?, sort.one_of("order", &ORDERS)?),
        None => (None, None),
    };
    let cursor = match fields.text("cursor")?.filter(|text| !text.is_empty()) {
        // A cursor goes on as its list began; what it does not say is by name, upwards.
        Some(text) => {
            let cursor = Cursor::parse(&text)?;
            Cursor { downwards: Some(cursor.downwards.unwrap_or(false)), ..cursor }
        }
        None => Cursor { order: column, downwards: order, ..Cursor::default() },
    };
    let asked = PageRequest {
        bucket: &request.bucket,
        prefix: &prefix,
        folded,
        order: cursor.order.unwrap_or(PageOrder::Name),
        downwards: cursor.downwards.unwrap_or(false),
        after: &cursor.name,
        after_moment: cursor.moment.as_deref(),
        limit: limit + 1,
    };
    let mut entries = rest.storage().list_page(&request.context(), &asked).await?;
    let has_next = usize::try_from(limit).is_ok_and(|limit| entries.len() > limit);
    entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = entries.last().filter(|_| has_next);
    let next = last.map(|last| Cursor {
        name: last.name.clone(),
        moment: last.moment.clone(),
        ..cursor.clone()
    });
    // Of a folded page, which of a name's segments its entries are called by.
    let level = folded.then(|| prefix.matches('/').count());
    let (folders, objects): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.is_folder());
    response::json(&Page {
        has_next,
        next_cursor: next.as_ref().map(Cursor::render),
        next_cursor_key: next.as_ref().map(|next| next.name.as_str()),
        folders: folders.iter().map(|entry| Shown::new(entry, level)).collect(),
        objects: objects.iter().map(|entry| Shown::new(entry, level)).collect(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    has_next: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor_key: Option<&'a str>,
    folders: Vec<Shown<'a>>,
    objects: Vec<Shown<'a>>,
}

/// An entry as answers show it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    name: &'a str,
    id: Option<String>,
    updated_at: Option<String>,
    created_at: Option<String>,
    last_accessed_at: Option<String>,
    metadata: Option<&'a Value>,
}

impl<'a> Shown<'a> {
    fn new(entry: &'a SearchEntry, level: Option<usize>) -> Self {
        Self {
            key: level.map(|level| entry.name.split('/').nth(level).unwrap_or("")),
            name: &entry.name,
            id: entry.id.map(|id| id.to_string()),
            updated_at: entry.updated_at.map(iso),
            created_at: entry.created_at.map(iso),
            last_accessed_at: entry.last_accessed_at.map(iso),
            metadata: entry.metadata.as_ref(),
        }
    }
}
