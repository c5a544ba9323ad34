use crate::read::{entity_tag, last_modified, stated_size};
use crate::{Context, Error, Storage};
use rowlock_catalog::{ListRequest, Listed};
use rowlock_types::{BucketName, ETag, StoredChecksum};
use time::OffsetDateTime;

/// The most entries of one page (S3 API reference, ListObjectsV2, `max-keys`).
const MAX_PAGE: usize = 1000;

/// A page of a bucket to list, in the byte order of names (S3 lists).
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Which bucket.
    pub bucket: BucketName,
    /// Only names that begin so.
    pub prefix: String,
    /// Names are folded up to and including its first occurrence after the prefix; empty: never.
    pub delimiter: String,
    /// Only entries (names or folded prefixes) after this text; empty: from the start.
    pub after: String,
    /// At most so many entries (names and folded prefixes together), 0 to 1,000.
    pub max_keys: usize,
}

/// One entry of a page.
#[derive(Debug, Clone)]
pub enum ListEntry {
    /// An object.
    Object {
        /// Its key as stored.
        key: String,
        /// Length in bytes.
        size: u64,
        /// Entity tag, quoted.
        etag: ETag,
        /// When its bytes were written.
        last_modified: OffsetDateTime,
        /// `owner_id` of the row.
        owner: Option<String>,
        /// Its S3 checksum, where it has one.
        checksum: Option<StoredChecksum>,
    },
    /// A folded prefix, with its delimiter.
    Prefix(String),
}

impl ListEntry {
    /// The text that entries are ordered by, and that continues a list after this entry.
    pub fn name(&self) -> &str {
        match self {
            Self::Object { key, .. } => key,
            Self::Prefix(prefix) => prefix,
        }
    }

    fn from_row(listed: Listed) -> Self {
        match listed {
            Listed::Prefix(prefix) => Self::Prefix(prefix),
            Listed::Object(row) => Self::Object {
                size: stated_size(&row).unwrap_or(0),
                etag: entity_tag(&row),
                last_modified: last_modified(&row),
                owner: row.owner,
                checksum: row.metadata.rowlock.and_then(|extra| extra.checksum),
                key: row.name,
            },
        }
    }
}

/// A page of a list, in order.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// The entries.
    pub entries: Vec<ListEntry>,
    /// Whether there is more after the last entry.
    pub truncated: bool,
}

impl Storage {
    /// Lists what the caller may see of a bucket.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], or the database's.
    pub async fn list_objects(&self, ctx: &Context, query: &ListQuery) -> Result<ListPage, Error> {
        let max = query.max_keys.min(MAX_PAGE);
        // One more than asked for tells whether there is more; a page of none needs none.
        let limit = if max == 0 { 0 } else { max as i64 + 1 };
        let request = ListRequest {
            bucket: query.bucket.as_str(),
            prefix: &query.prefix,
            delimiter: &query.delimiter,
            after: &query.after,
            limit,
        };
        let mut rows =
            self.catalog.list_objects(&ctx.scope(), &request).await?.ok_or(Error::NoSuchBucket)?;
        let truncated = rows.len() > max;
        rows.truncate(max);
        Ok(ListPage { entries: rows.into_iter().map(ListEntry::from_row).collect(), truncated })
    }
}
