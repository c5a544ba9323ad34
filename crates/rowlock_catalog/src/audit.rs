//! Rows as whoever compares them with a blob store wants to see them: all of them, whoever owns
//! them, without their meaning.

use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::session::Param;
use tokio_postgres::types::Type;

/// The size that a row's metadata says.
macro_rules! size {
    ($table:literal) => {
        concat!(
            "coalesce(",
            $table,
            "metadata ->> 'size', ",
            $table,
            "metadata ->> 'contentLength')"
        )
    };
}

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

    /// Whether the database user sees every object and upload: an absence that it sees is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn sees_all_rows(&self) -> Result<bool, Error> {
        const SQL: &str = "\
            SELECT current_user = session_user AND NOT row_security_active('storage.objects') \
              AND NOT row_security_active('storage.s3_multipart_uploads')";
        let rows = self.as_owner(SQL, &[]).await?;
        Ok(match rows.first() {
            Some(row) => row.try_get(0)?,
            None => false,
        })
    }

    /// The rows of these buckets and names (as many of either), where there are such.
    ///
    /// # Errors
    /// The database's.
    pub async fn rows_named(
        &self,
        buckets: &[&str],
        names: &[&str],
    ) -> Result<Vec<AuditRow>, Error> {
        const SQL: &str = concat!(
            "SELECT o.bucket_id, o.name, o.version, ",
            size!("o."),
            " FROM unnest($1::text[], $2::text[]) AS w (b, n) \
             JOIN storage.objects o ON o.bucket_id = w.b AND o.name = w.n",
        );
        let params: [Param<'_>; 2] = [(&buckets, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)];
        self.as_owner(SQL, &params).await?.iter().map(audit_row).collect()
    }

    /// The next rows behind a bucket and name, in an order that ends.
    ///
    /// # Errors
    /// The database's.
    pub async fn rows_after(
        &self,
        bucket: &str,
        name: &str,
        limit: i64,
    ) -> Result<Vec<AuditRow>, Error> {
        const SQL: &str = concat!(
            "SELECT bucket_id, name, version, ",
            size!(""),
            " FROM storage.objects \
             WHERE (bucket_id, name COLLATE \"C\") > ($1::text, $2::text COLLATE \"C\") \
             ORDER BY bucket_id, name COLLATE \"C\" LIMIT $3",
        );
        let params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&name, Type::TEXT), (&limit, Type::INT8)];
        self.as_owner(SQL, &params).await?.iter().map(audit_row).collect()
    }

    /// All rows of these versions, whatever their names; `None` when the answer cannot be trusted
    /// (see [`Catalog::live_rows`]). There is no index for this.
    ///
    /// # Errors
    /// The database's.
    pub async fn rows_of_versions(
        &self,
        versions: &[&str],
    ) -> Result<Option<Vec<AuditRow>>, Error> {
        // Always one row, whatever lives: an empty answer would prove nothing.
        const SQL: &str = "\
            SELECT current_user = session_user, row_security_active('storage.objects'), \
              ARRAY(SELECT jsonb_build_array(bucket_id, name, version)::text \
                    FROM storage.objects WHERE version = ANY($1))";
        let rows = self.as_owner(SQL, &[(&versions, Type::TEXT_ARRAY)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (expected_user, narrowed): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        if !expected_user || narrowed {
            return Ok(None);
        }
        let texts: Vec<String> = row.try_get(2)?;
        let parsed = texts.iter().map(|text| {
            let (bucket, name, version) = serde_json::from_str(text)
                .map_err(|_| Error::Row("a row of that version".to_owned()))?;
            Ok(AuditRow { bucket, name, version, size: None })
        });
        parsed.collect::<Result<_, _>>().map(Some)
    }

    /// What the outbox says of blobs of these versions, and of version-less ones of these names:
    /// the rows that dropped them.
    ///
    /// # Errors
    /// The database's.
    pub async fn outbox_rows_of(
        &self,
        versions: &[&str],
        names: &[&str],
    ) -> Result<Vec<AuditRow>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT bucket_id, name, version, NULL::text FROM ",
            "outbox WHERE kind IN ('delete_blob', 'remove_multipart') AND (version = ANY($1) \
             OR coalesce(version, '') = '' AND name = ANY($2))",
        );
        let params: [Param<'_>; 2] = [(&versions, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)];
        self.as_owner(sql, &params).await?.iter().map(audit_row).collect()
    }

    /// Whether the outbox has the parts of an upload to remove.
    ///
    /// # Errors
    /// The database's.
    pub async fn outbox_has_upload(&self, upload_id: &str) -> Result<bool, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT 1 FROM ",
            "outbox WHERE kind = 'remove_multipart' AND payload ->> 'upload_id' = $1 LIMIT 1",
        );
        Ok(!self.as_owner(sql, &[(&upload_id, Type::TEXT)]).await?.is_empty())
    }

    /// Which of these versions a write or a multipart upload is still to commit.
    ///
    /// # Errors
    /// The database's.
    pub async fn versions_under_way(&self, versions: &[&str]) -> Result<Vec<String>, Error> {
        // The ledger's names end in the version.
        let sql = own_sql!(
            self.own_schema(),
            "SELECT version FROM storage.s3_multipart_uploads WHERE version = ANY($1) \
             UNION SELECT substring(blob_key FROM '[^/]*$') FROM ",
            "pending WHERE substring(blob_key FROM '[^/]*$') = ANY($1)",
        );
        let rows = self.as_owner(sql, &[(&versions, Type::TEXT_ARRAY)]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Which of these blobs, by their names in the ledger, are being written.
    ///
    /// # Errors
    /// The database's.
    pub async fn pending_of(&self, blobs: &[&str]) -> Result<Vec<String>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT blob_key FROM ",
            "pending WHERE blob_key = ANY($1)",
        );
        let rows = self.as_owner(sql, &[(&blobs, Type::TEXT_ARRAY)]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
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
