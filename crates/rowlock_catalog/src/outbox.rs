//! The outbox: what is to be done to blobs once a transaction has committed.
//!
//! A row is written in the transaction that drops an object's or upload's row. The worker claims
//! rows by a lease, proves that no row refers to the blob any more, deletes the blob, and only
//! then removes the outbox row: a crash at any point repeats work, and loses none.

use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::lists::successor;
use crate::objects::EmptyJob;
use crate::session::Param;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};

/// What an outbox row asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxKind {
    /// Delete the blob of (bucket, name, version).
    DeleteBlob,
    /// Remove the parts of a multipart upload.
    RemoveMultipart {
        /// The upload's id.
        upload_id: String,
    },
    /// Go on with emptying the bucket.
    EmptyBucket(EmptyJob),
}

/// A claimed outbox row.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Its id.
    pub id: i64,
    /// What it asks for.
    pub kind: OutboxKind,
    /// The bucket's id.
    pub bucket: String,
    /// The key.
    pub name: String,
    /// The version; `None` for rows that had none.
    pub version: Option<String>,
    /// How often it was tried, this time included.
    pub attempts: i32,
}

/// A row that is alive and may name the same blob.
#[derive(Debug, Clone)]
pub struct LiveRow {
    /// Its key.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
}

impl Catalog {
    /// Claims up to `limit` rows that are due; nobody else gets them during the lease. Also tells
    /// how long it is until the next row is due, when none is now.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_outbox(&self, limit: i64, lease: Duration) -> Result<Vec<OutboxRow>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "outbox o SET due_at = now() + make_interval(secs => $2), attempts = attempts + 1 \
             WHERE id IN (SELECT id FROM ",
            "outbox WHERE due_at <= now() ORDER BY due_at, id LIMIT $1 FOR UPDATE SKIP LOCKED) \
             RETURNING o.id, o.kind, o.bucket_id, o.name, o.version, o.payload, o.attempts",
        );
        let lease = lease.as_secs_f64();
        let rows = self.as_owner(sql, &[(&limit, Type::INT8), (&lease, Type::FLOAT8)]).await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            match outbox_row(row) {
                // A later release's: left to it, and no obstacle to the others.
                Err(Error::Row(why)) => tracing::warn!("left alone: {why}"),
                other => claimed.push(other?),
            }
        }
        Ok(claimed)
    }

    /// How long until the next row is due; `None` when there is no row.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_outbox_due(&self) -> Result<Option<Duration>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT extract(epoch FROM min(due_at) - now())::float8 FROM ",
            "outbox",
        );
        let rows = self.as_owner(sql, &[]).await?;
        let seconds: Option<f64> = match rows.first() {
            Some(row) => row.try_get(0)?,
            None => None,
        };
        // Not `greatest` in SQL: of a number and NULL that is the number.
        Ok(seconds.map(|s| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(Duration::MAX)))
    }

    /// Removes rows whose work is done (or turned out to be none).
    ///
    /// # Errors
    /// The database's; the work is then repeated.
    pub async fn finish_outbox(&self, ids: &[i64]) -> Result<(), Error> {
        let sql = own_sql!(self.own_schema(), "DELETE FROM ", "outbox WHERE id = ANY($1)");
        self.as_owner(sql, &[(&ids, Type::INT8_ARRAY)]).await.map(drop)
    }

    /// Puts a row off after a failure.
    ///
    /// # Errors
    /// The database's; the lease's end brings the row back then.
    pub async fn postpone_outbox(&self, id: i64, delay: Duration, why: &str) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "outbox SET due_at = now() + make_interval(secs => $2), last_error = $3 WHERE id = $1",
        );
        let delay = delay.as_secs_f64();
        let params: [Param<'_>; 3] =
            [(&id, Type::INT8), (&delay, Type::FLOAT8), (&why, Type::TEXT)];
        self.as_owner(sql, &params).await.map(drop)
    }

    /// Looks for rows that may name one of these blobs: of the given versions (and, with
    /// `or_none`, without one),
    /// under any name whose path begins with the same folder. `None` when the answer cannot be
    /// trusted: it did not come from the tables' owner, or policies narrowed it.
    ///
    /// Names that differ only in repeated slashes share a path on files, and whoever may INSERT
    /// can write any version, so the exact name alone proves nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn live_rows(
        &self,
        bucket: &str,
        first_segment: &str,
        versions: &[&str],
        or_none: bool,
    ) -> Result<Option<Vec<LiveRow>>, Error> {
        // Always one row, whatever lives: an empty answer would prove nothing.
        const SQL: &str = "\
            SELECT current_user = session_user, row_security_active('storage.objects'),
              ARRAY(SELECT name || chr(1) || coalesce(version, '') FROM storage.objects
                    WHERE bucket_id = $1 AND (version = ANY($2) OR $5 AND coalesce(version, '') = '')
                      AND (name COLLATE \"C\" >= $3 AND name COLLATE \"C\" < $4
                        OR name COLLATE \"C\" >= '/' AND name COLLATE \"C\" < '0'))";
        let until = successor(&format!("{first_segment}/"));
        let until = until.as_deref().unwrap_or("\u{10FFFF}");
        let params: [Param<'_>; 5] = [
            (&bucket, Type::TEXT),
            (&versions, Type::TEXT_ARRAY),
            (&first_segment, Type::TEXT),
            (&until, Type::TEXT),
            (&or_none, Type::BOOL),
        ];
        let rows = self.as_owner(SQL, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (expected_user, narrowed): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        if !expected_user || narrowed {
            return Ok(None);
        }
        let live: Vec<String> = row.try_get(2)?;
        let split = |text: String| {
            let (name, version) = text.rsplit_once('\u{1}')?;
            let version = Some(version.to_owned()).filter(|v| !v.is_empty());
            Some(LiveRow { name: name.to_owned(), version })
        };
        Ok(Some(live.into_iter().filter_map(split).collect()))
    }

    /// Whether a multipart upload is proved to be gone; `false` when it lives or nothing is
    /// proved.
    ///
    /// # Errors
    /// The database's.
    pub async fn upload_is_gone(&self, upload_id: &str) -> Result<bool, Error> {
        const SQL: &str = "\
            SELECT current_user = session_user, row_security_active('storage.s3_multipart_uploads'),
              EXISTS (SELECT 1 FROM storage.s3_multipart_uploads WHERE id = $1)";
        let rows = self.as_owner(SQL, &[(&upload_id, Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let answer: (bool, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(answer == (true, false, false))
    }
}

fn outbox_row(row: &Row) -> Result<OutboxRow, Error> {
    let kind: String = row.try_get("kind")?;
    let payload: Option<Json<serde_json::Value>> = row.try_get("payload")?;
    let job = |payload: Option<Json<serde_json::Value>>| {
        payload.and_then(|json| serde_json::from_value(json.0).ok())
    };
    let upload_id = |payload: Option<Json<serde_json::Value>>| {
        Some(payload?.0.get("upload_id")?.as_str()?.to_owned())
    };
    let known = match kind.as_str() {
        "delete_blob" => Some(OutboxKind::DeleteBlob),
        "remove_multipart" => {
            upload_id(payload).map(|upload_id| OutboxKind::RemoveMultipart { upload_id })
        }
        "empty_bucket" => job(payload).map(OutboxKind::EmptyBucket),
        _ => None,
    };
    let Some(kind) = known else {
        return Err(Error::Row(format!("outbox row of kind {kind:?}")));
    };
    Ok(OutboxRow {
        id: row.try_get("id")?,
        kind,
        bucket: row.try_get("bucket_id")?,
        name: row.try_get("name")?,
        // An empty version is none, as the reference has it.
        version: row.try_get::<_, Option<String>>("version")?.filter(|v| !v.is_empty()),
        attempts: row.try_get("attempts")?,
    })
}
