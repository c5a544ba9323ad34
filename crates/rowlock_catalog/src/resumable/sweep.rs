//! Uploads that nobody goes on with.

use super::ResumableRow;
use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::session::Param;
use time::OffsetDateTime;
use tokio_postgres::types::Type;
use uuid::Uuid;

impl Catalog {
    /// Uploads past their expiry that became no object, the oldest first, from behind the one with
    /// this expiry and version on.
    ///
    /// # Errors
    /// The database's.
    pub async fn expired_resumables(
        &self,
        after: Option<(OffsetDateTime, Uuid)>,
        limit: i64,
    ) -> Result<Vec<ResumableRow>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT r.*, true AS expired FROM ",
            "resumable r WHERE r.expires_at < now() AND r.completed_at IS NULL \
               AND ($2::timestamptz IS NULL OR (r.expires_at, r.version) > ($2, $3)) \
             ORDER BY r.expires_at, r.version LIMIT $1",
        );
        let (expiry, version) = after.unzip();
        let params: [Param<'_>; 3] =
            [(&limit, Type::INT8), (&expiry, Type::TIMESTAMPTZ), (&version, Type::UUID)];
        let rows = self.as_owner(sql, &params).await?;
        rows.iter().map(ResumableRow::from_row).collect()
    }

    /// Forgets uploads that became objects, once they would have expired. Returns those that a
    /// holder was taken for dead of: what it may have left is to be removed before.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_completed_resumables(
        &self,
        limit: i64,
    ) -> Result<Vec<ResumableRow>, Error> {
        let forget = own_sql!(
            self.own_schema(),
            "DELETE FROM ",
            "resumable WHERE completed_at IS NOT NULL AND expires_at < now() AND NOT inherited",
        );
        let inherited = own_sql!(
            self.own_schema(),
            "SELECT r.*, true AS expired FROM ",
            "resumable r WHERE r.completed_at IS NOT NULL AND r.expires_at < now() LIMIT $1",
        );
        self.as_owner(forget, &[]).await?;
        let rows = self.as_owner(inherited, &[(&limit, Type::INT8)]).await?;
        rows.iter().map(ResumableRow::from_row).collect()
    }

    /// Forgets an upload that became an object.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_completed_resumable(&self, version: Uuid) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "DELETE FROM ",
            "resumable WHERE version = $1 AND completed_at IS NOT NULL",
        );
        self.as_owner(sql, &[(&version, Type::UUID)]).await.map(drop)
    }

    /// Which of these versions are those of resumable uploads, as long as these are remembered.
    ///
    /// # Errors
    /// The database's.
    pub async fn resumables_of(&self, versions: &[Uuid]) -> Result<Vec<Uuid>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT version FROM ",
            "resumable WHERE version = ANY($1)",
        );
        let params: [Param<'_>; 1] = [(&versions, Type::UUID_ARRAY)];
        let rows = self.as_owner(sql, &params).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
