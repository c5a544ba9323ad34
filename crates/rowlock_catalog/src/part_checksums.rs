//! The S3 checksums of a pending upload's parts, in a table of ours beside the public one.

use crate::catalog::{Catalog, OwnSchema, own_sql};
use crate::error::Error;
use crate::session::Param;
use crate::transaction::Transaction;
use rowlock_types::Role;
use tokio_postgres::types::Type;

/// Inside the transaction that records a part, as the tables' owner: keeps its checksum, for the
/// part of this number, entity tag and size (in bytes).
pub(crate) async fn remember(
    tx: &Transaction<'_>,
    schema: OwnSchema,
    upload_id: &str,
    (number, etag, size, checksum): (i32, &str, i64, &str),
) -> Result<(), Error> {
    let sql = own_sql!(
        schema,
        "INSERT INTO ",
        "parts (upload_id, part_number, size, etag, checksum) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (upload_id, part_number) DO UPDATE SET size = EXCLUDED.size, \
         etag = EXCLUDED.etag, checksum = EXCLUDED.checksum, created_at = now()",
    );
    let params: [Param<'_>; 5] = [
        (&upload_id, Type::TEXT),
        (&number, Type::INT4),
        (&size, Type::INT8),
        (&etag, Type::TEXT),
        (&checksum, Type::TEXT),
    ];
    tx.query(&Role::new(""), sql, &params).await.map(drop)
}

impl Catalog {
    /// The checksums of the upload's parts with a number above `after`, at most `limit`: part
    /// number, entity tag without quotes, and algorithm and base64 value separated by a colon. A
    /// part that was stored again has another entity tag than its checksum.
    ///
    /// # Errors
    /// The database's.
    pub async fn part_checksums(
        &self,
        upload_id: &str,
        after: i32,
        limit: i64,
    ) -> Result<Vec<(i32, String, String)>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT part_number, etag, checksum FROM ",
            "parts WHERE upload_id = $1 AND part_number > $2 AND checksum IS NOT NULL \
             ORDER BY part_number LIMIT $3",
        );
        let params: [Param<'_>; 3] =
            [(&upload_id, Type::TEXT), (&after, Type::INT4), (&limit, Type::INT8)];
        let rows = self.as_owner(sql, &params).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
    }

    /// Forgets those of uploads that ended, where the database could not be told to let them go
    /// with their upload.
    pub(crate) async fn forget_part_checksums(&self) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "DELETE FROM ",
            "parts WHERE created_at < now() - interval '1 day' AND NOT EXISTS ( \
             SELECT FROM storage.s3_multipart_uploads u WHERE u.id = upload_id)",
        );
        self.as_owner(sql, &[]).await.map(drop)
    }
}
