//! Rows as whoever compares them with a blob store wants to see them: all of them, whoever owns
//! them, without their meaning.

use crate::catalog::Catalog;
use crate::error::Error;
use tokio_postgres::types::Type;

/// A row, as far as it says where its blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The bucket's id.
    pub bucket: String,
    /// The key.
    pub name: String,
    /// The version; `None` for rows that have none.
    pub version: Option<String>,
    /// The size that its metadata says, in bytes.
    pub size: Option<u64>,
}

impl Catalog {
    /// A few rows, picked by their random ids; none where the database user sees none.
    ///
    /// # Errors
    /// The database's.
    pub async fn some_rows(&self, limit: i64) -> Result<Vec<AuditRow>, Error> {
        const SQL: &str = "\
            SELECT bucket_id, name, version, NULL::text FROM storage.objects \
            WHERE bucket_id IS NOT NULL AND name IS NOT NULL ORDER BY id LIMIT $1";
        let rows = self.as_owner(SQL, &[(&limit, Type::INT8)]).await?;
        rows.iter().map(audit_row).collect()
    }
}

fn audit_row(row: &tokio_postgres::Row) -> Result<AuditRow, Error> {
    let size: Option<String> = row.try_get(3)?;
    Ok(AuditRow {
        bucket: row.try_get(0)?,
        name: row.try_get(1)?,
        // An empty version is none, as the reference has it.
        version: row.try_get::<_, Option<String>>(2)?.filter(|version| !version.is_empty()),
        size: size.and_then(|size| size.parse().ok()),
    })
}
