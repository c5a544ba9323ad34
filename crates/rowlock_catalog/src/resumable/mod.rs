//! Resumable uploads: blobs that grow over several requests, to any of the processes that share
//! the database, until one of these makes the object's row.
//!
//! Whoever writes to an upload holds it: its process stands in the row, with a number that grows by
//! one at each turn, and every statement of that turn names both. So a writer that was taken for
//! dead, should it live after all, records nothing any more and commits nothing.

mod hold;
mod sweep;

pub use hold::{Asked, HeldResumable, Wish, resumable_tag};
pub(crate) use hold::{CHANNEL, completing};

use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::session::Param;
use std::time::Duration;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// A resumable upload that begins.
#[derive(Debug, Clone)]
pub struct NewResumableRow<'a> {
    /// The version that its blob will have.
    pub version: Uuid,
    /// The bucket's id.
    pub bucket: &'a str,
    /// The key that it will become.
    pub name: &'a str,
    /// Its length in bytes, where that is known.
    pub length: Option<i64>,
    /// What the client said of it.
    pub upload_metadata: &'a str,
    /// The object's content type.
    pub content_type: Option<&'a str>,
    /// The object's `Cache-Control`.
    pub cache_control: Option<&'a str>,
    /// The object's user metadata.
    pub user_metadata: &'a serde_json::Value,
    /// The object's `X-Robots-Tag`.
    pub robots: Option<&'a str>,
    /// How long it stays without progress.
    pub expiry: Duration,
}

/// A resumable upload.
#[derive(Debug, Clone)]
pub struct ResumableRow {
    /// The version that its blob will have.
    pub version: Uuid,
    /// The bucket's id.
    pub bucket: String,
    /// The key that it will become.
    pub name: String,
    /// Its length in bytes, where that is known.
    pub length: Option<i64>,
    /// How many bytes are durable.
    pub received: i64,
    /// The blob store's notes of them.
    pub growth: Option<serde_json::Value>,
    /// What the client said of it.
    pub upload_metadata: String,
    /// The object's content type.
    pub content_type: Option<String>,
    /// The object's `Cache-Control`.
    pub cache_control: Option<String>,
    /// The object's user metadata.
    pub user_metadata: serde_json::Value,
    /// The object's `X-Robots-Tag`.
    pub robots: Option<String>,
    /// When it is given up.
    pub expires_at: OffsetDateTime,
    /// Whether that was before now, by the database's clock.
    pub expired: bool,
    /// The process that writes to it.
    pub holder: Option<Uuid>,
    /// The number of its holder's turn.
    pub epoch: i64,
    /// When its holder has last recorded something.
    pub held_at: Option<OffsetDateTime>,
    /// Whether somebody waits for its holder to let go.
    pub wanted: bool,
    /// Whether its object's row was made.
    pub completed: bool,
}

impl ResumableRow {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            version: row.try_get("version")?,
            bucket: row.try_get("bucket_id")?,
            name: row.try_get("name")?,
            length: row.try_get("length")?,
            received: row.try_get("received")?,
            growth: row.try_get::<_, Option<Json<serde_json::Value>>>("growth")?.map(|json| json.0),
            upload_metadata: row.try_get("upload_metadata")?,
            content_type: row.try_get("content_type")?,
            cache_control: row.try_get("cache_control")?,
            user_metadata: row.try_get::<_, Json<serde_json::Value>>("user_metadata")?.0,
            robots: row.try_get("robots")?,
            expires_at: row.try_get("expires_at")?,
            expired: row.try_get("expired")?,
            holder: row.try_get("holder")?,
            epoch: row.try_get("epoch")?,
            held_at: row.try_get("held_at")?,
            wanted: row.try_get("wanted")?,
            completed: row.try_get::<_, Option<OffsetDateTime>>("completed_at")?.is_some(),
        })
    }
}

/// The first row, read.
fn one(rows: &[Row]) -> Result<Option<ResumableRow>, Error> {
    rows.first().map(ResumableRow::from_row).transpose()
}

impl Catalog {
    /// Notes an upload that begins. `None` when there is no such bucket.
    ///
    /// # Errors
    /// The database's.
    pub async fn insert_resumable(
        &self,
        new: &NewResumableRow<'_>,
    ) -> Result<Option<ResumableRow>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "INSERT INTO ",
            "resumable AS r (version, bucket_id, name, bucket_created_at, length, upload_metadata, \
               content_type, cache_control, user_metadata, robots, expires_at) \
             SELECT $1, $2, $3, b.created_at, $4, $5, $6, $7, $8, $9, \
               now() + make_interval(secs => $10) \
             FROM storage.buckets b WHERE b.id = $2 RETURNING r.*, false AS expired",
        );
        let user_metadata = Json(new.user_metadata);
        let expiry = new.expiry.as_secs_f64();
        let params: [Param<'_>; 10] = [
            (&new.version, Type::UUID),
            (&new.bucket, Type::TEXT),
            (&new.name, Type::TEXT),
            (&new.length, Type::INT8),
            (&new.upload_metadata, Type::TEXT),
            (&new.content_type, Type::TEXT),
            (&new.cache_control, Type::TEXT),
            (&user_metadata, Type::JSONB),
            (&new.robots, Type::TEXT),
            (&expiry, Type::FLOAT8),
        ];
        one(&self.as_owner(sql, &params).await?)
    }

    /// Finds an upload by all of its address. One whose bucket is gone is none, also where there is
    /// another bucket of its name.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_resumable(
        &self,
        bucket: &str,
        name: &str,
        version: Uuid,
    ) -> Result<Option<ResumableRow>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT r.*, r.expires_at < now() AS expired FROM ",
            "resumable r JOIN storage.buckets b \
               ON b.id = r.bucket_id AND b.created_at IS NOT DISTINCT FROM r.bucket_created_at \
             WHERE r.version = $1 AND r.bucket_id = $2 AND r.name = $3",
        );
        let params: [Param<'_>; 3] =
            [(&version, Type::UUID), (&bucket, Type::TEXT), (&name, Type::TEXT)];
        one(&self.as_owner(sql, &params).await?)
    }
}
