//! The ledger of writes begun on a store that has no rename: what a process that dies leaves there
//! is named here, and nowhere else.
//!
//! A row is written before the store hears of the write, and goes in the transaction that commits
//! the object. A process shows that it lives by an advisory lock ([`crate::Presence`]). Whoever
//! finds a process dead makes its rows its own first: a commit of that process, should it live
//! after all, then finds its row gone and fails.

use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::presence::{has_lock, lock_key};
use crate::session::Param;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A write that a commit ends.
#[derive(Debug, Clone, Copy)]
pub struct PendingWrite<'a> {
    /// The blob's name in the ledger.
    pub blob: &'a str,
    /// The process that began it.
    pub process: Uuid,
}

impl Catalog {
    /// Notes a write that is about to begin. Not flushed to disk: a crash of the database that
    /// loses the row makes the write fail at its commit, and costs no wait otherwise.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_pending(&self, write: &PendingWrite<'_>) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "INSERT INTO ",
            "pending (blob_key, process) SELECT $1, $2 \
             WHERE set_config('synchronous_commit', 'off', true) = 'off'",
        );
        self.as_owner(sql, &[(&write.blob, Type::TEXT), (&write.process, Type::UUID)])
            .await
            .map(drop)
    }

    /// Strikes a write out. False when another process has taken it over.
    ///
    /// # Errors
    /// The database's; the row stays then.
    pub async fn end_pending(&self, write: &PendingWrite<'_>) -> Result<bool, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "DELETE FROM ",
            "pending WHERE blob_key = $1 AND process = $2 RETURNING 1",
        );
        let params: [Param<'_>; 2] = [(&write.blob, Type::TEXT), (&write.process, Type::UUID)];
        Ok(!self.as_owner(sql, &params).await?.is_empty())
    }

    /// Takes over the writes of processes that are dead, and returns their blobs' names. A process
    /// that holds no lock is dead when its writes are a day old.
    ///
    /// # Errors
    /// The database's.
    pub async fn adopt_pending(&self, process: Uuid) -> Result<Vec<String>, Error> {
        let others = own_sql!(
            self.own_schema(),
            "SELECT DISTINCT process FROM ",
            "pending WHERE process <> $1",
        );
        let locked = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "pending SET process = $1, created_at = now() \
             WHERE process = $2 AND (SELECT pg_try_advisory_xact_lock($3)) RETURNING blob_key",
        );
        let aged = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "pending SET process = $1, created_at = now() \
             WHERE process = $2 AND created_at < now() - interval '1 day' RETURNING blob_key",
        );
        let mut adopted = Vec::new();
        for row in self.as_owner(others, &[(&process, Type::UUID)]).await? {
            let other: Uuid = row.try_get(0)?;
            let key = lock_key(other);
            let mut params: Vec<Param<'_>> = vec![(&process, Type::UUID), (&other, Type::UUID)];
            let rows = if has_lock(other) {
                params.push((&key, Type::INT8));
                self.as_owner(locked, &params).await?
            } else {
                self.as_owner(aged, &params).await?
            };
            for row in rows {
                adopted.push(row.try_get(0)?);
            }
        }
        Ok(adopted)
    }

    /// Whether no multipart upload becomes this blob, proved; `false` when one does or nothing is
    /// proved.
    ///
    /// # Errors
    /// The database's.
    pub async fn no_upload_becomes(
        &self,
        bucket: &str,
        key: &str,
        version: &str,
    ) -> Result<bool, Error> {
        const SQL: &str = "\
            SELECT current_user = session_user, row_security_active('storage.s3_multipart_uploads'),
              EXISTS (SELECT 1 FROM storage.s3_multipart_uploads
                      WHERE bucket_id = $1 AND key = $2 AND version = $3)";
        let params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&key, Type::TEXT), (&version, Type::TEXT)];
        let rows = self.as_owner(SQL, &params).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let answer: (bool, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(answer == (true, false, false))
    }
}
