//! Multipart uploads that nobody goes on with.

use crate::catalog::Catalog;
use crate::error::Error;
use crate::multipart::{UploadRow, take_upload};
use crate::session::Param;
use crate::transaction::Transaction;
use rowlock_types::Role;
use std::time::Duration;
use tokio_postgres::types::Type;

impl Catalog {
    /// Uploads that were begun longer ago than `expiry`, without a part since then; none while
    /// the reference is connected to this database, which knows no expiry.
    ///
    /// # Errors
    /// The database's.
    pub async fn abandoned_uploads(
        &self,
        expiry: Duration,
        limit: i64,
    ) -> Result<Vec<UploadRow>, Error> {
        const SQL: &str = "\
            SELECT u.id, u.bucket_id, u.key, u.version, u.owner_id, u.created_at, u.metadata,
                   u.user_metadata, NULL::bigint AS file_size_limit
            FROM storage.s3_multipart_uploads u
            WHERE u.created_at < now() - make_interval(secs => $1)
              AND NOT EXISTS (
                SELECT 1 FROM storage.s3_multipart_uploads_parts p
                WHERE p.upload_id = u.id AND p.created_at >= now() - make_interval(secs => $1))
              AND NOT EXISTS (
                SELECT 1 FROM pg_catalog.pg_stat_activity
                WHERE datname = current_database()
                  AND application_name LIKE 'Supabase Storage API%')
            ORDER BY u.created_at LIMIT $2";
        let seconds = expiry.as_secs_f64();
        let params: [Param<'_>; 2] = [(&seconds, Type::FLOAT8), (&limit, Type::INT8)];
        let rows = self.as_owner(SQL, &params).await?;
        rows.iter().map(UploadRow::from_row).collect()
    }

    /// Ends such an upload, unless a part came in meanwhile. True when it was ended.
    ///
    /// # Errors
    /// The database's; the upload stays then.
    pub async fn end_abandoned(&self, upload: &UploadRow, expiry: Duration) -> Result<bool, Error> {
        const HOLD: &str = "SELECT 1 FROM storage.s3_multipart_uploads WHERE id = $1 FOR UPDATE";
        const FRESH: &str = "\
            SELECT 1 FROM storage.s3_multipart_uploads_parts
            WHERE upload_id = $1 AND created_at >= now() - make_interval(secs => $2) LIMIT 1";
        let owner = Role::new("");
        let seconds = expiry.as_secs_f64();
        let params: [Param<'_>; 2] = [(&upload.id, Type::TEXT), (&seconds, Type::FLOAT8)];
        let tx = Transaction::begin(self).await?;
        // Whoever records a part holds the upload: from here on there is none.
        tx.query(&owner, HOLD, &params[..1]).await?;
        if !tx.query(&owner, FRESH, &params).await?.is_empty() {
            tx.rollback().await?;
            return Ok(false);
        }
        let ended = take_upload(&tx, self.own_schema(), &owner, &upload.id).await?;
        tx.commit().await?;
        Ok(ended)
    }
}
