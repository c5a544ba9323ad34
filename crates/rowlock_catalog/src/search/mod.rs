//! Lists for the REST API: folders and objects of one level ([`FolderRequest`]), and pages with
//! cursors ([`PageRequest`]).
//!
//! The schema's own functions (`storage.search`, `storage.search_v2`) stay for those who call them
//! by SQL; in an adopted database they are the reference's, which lose and repeat entries. These
//! statements don't, and under row-level security they still reach their rows by an index: only
//! leakproof conditions get there, which `lower(name)` and LIKE are not and bounds of
//! `name COLLATE "C"` are.

mod folder;
pub(crate) mod folding;
mod level;
mod page;
mod ranges;

pub use folder::{FolderOrder, FolderRequest};
pub use page::{PageOrder, PageRequest};

use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::error::Error;

/// What an entry shows of a row `o`.
const SHOWN: &str = "o.metadata, o.updated_at, o.created_at, o.last_accessed_at";

/// The same and the id, as a walk takes them along, with their types.
const SHOWN_COLUMNS: [(&str, &str); 5] = [
    ("id", "uuid"),
    ("metadata", "jsonb"),
    ("updated_at", "timestamptz"),
    ("created_at", "timestamptz"),
    ("last_accessed_at", "timestamptz"),
];

/// Greater than every name that follows: names are at most 1,024 bytes of valid UTF-8.
const BEHIND_ALL: &str = "\u{10FFFF}\u{10FFFF}\u{10FFFF}\u{10FFFF}";

/// Which way a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl Direction {
    pub(crate) fn order(self) -> &'static str {
        match self {
            Self::Up => "ASC",
            Self::Down => "DESC",
        }
    }

    /// The comparison with what came before.
    fn next(self) -> &'static str {
        match self {
            Self::Up => ">",
            Self::Down => "<",
        }
    }
}

/// One entry of a list.
#[derive(Debug, Clone)]
pub struct SearchEntry {
    /// The name as the list shows it.
    pub name: String,
    /// `objects.id`; `None` for a folder.
    pub id: Option<Uuid>,
    /// When the row was written last; a folder by time has its oldest member's.
    pub updated_at: Option<OffsetDateTime>,
    /// When the row was made; a folder by time has its oldest member's.
    pub created_at: Option<OffsetDateTime>,
    /// When the row was made, or what was written into it since.
    pub last_accessed_at: Option<OffsetDateTime>,
    /// The row's metadata, as stored but for what is our own.
    pub metadata: Option<serde_json::Value>,
    /// The time that the list is sorted by, as a cursor carries it.
    pub moment: Option<String>,
}

impl SearchEntry {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            name: row.try_get("name")?,
            id: row.try_get("id")?,
            updated_at: time_of(row, "updated_at"),
            created_at: time_of(row, "created_at"),
            last_accessed_at: time_of(row, "last_accessed_at"),
            metadata: shown_metadata(row),
            moment: row.try_get("moment")?,
        })
    }

    /// Whether this is a folder.
    pub fn is_folder(&self) -> bool {
        self.id.is_none()
    }
}

/// A row's time; none for one that no calendar here holds (`infinity`).
pub(crate) fn time_of(row: &Row, column: &str) -> Option<OffsetDateTime> {
    row.try_get(column).ok().flatten()
}

/// The metadata that answers show. What can't be read counts as absent.
pub(crate) fn shown_metadata(row: &Row) -> Option<serde_json::Value> {
    let found = row.try_get::<_, Option<Json<serde_json::Value>>>("metadata");
    let mut value = found.ok().flatten()?.0;
    if let serde_json::Value::Object(members) = &mut value {
        members.shift_remove("rowlock");
    }
    Some(value)
}
