//! A whole row, as the answers to copies and deletes show it.

use rowlock_storage::FullRow;
use serde::Serialize;
use serde_json::Value;

use crate::rest::time::iso;

/// A row of an object.
#[derive(Serialize)]
pub(super) struct ShownRow<'a> {
    name: &'a str,
    bucket_id: &'a str,
    owner: &'a str,
    owner_id: &'a str,
    version: Option<&'a str>,
    id: String,
    updated_at: Option<String>,
    created_at: Option<String>,
    last_accessed_at: Option<String>,
    metadata: Option<&'a Value>,
    user_metadata: Option<&'a Value>,
}

impl<'a> From<&'a FullRow> for ShownRow<'a> {
    fn from(row: &'a FullRow) -> Self {
        Self {
            name: &row.name,
            bucket_id: &row.bucket,
            owner: row.owner.as_deref().unwrap_or(""),
            owner_id: row.owner_id.as_deref().unwrap_or(""),
            version: row.version.as_deref(),
            id: row.id.to_string(),
            updated_at: row.updated_at.map(iso),
            created_at: row.created_at.map(iso),
            last_accessed_at: row.last_accessed_at.map(iso),
            metadata: row.metadata.as_ref(),
            user_metadata: row.user_metadata.as_ref(),
        }
    }
}
