use super::find::ObjectRow;
use crate::catalog::Catalog;
use crate::error::Error;
use crate::scope::Scope;
use crate::search::{shown_metadata, time_of};
use crate::session::Param;
use std::collections::HashSet;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// A row of `storage.objects` as answers that tell all of it show it.
#[derive(Debug, Clone)]
pub struct FullRow {
    /// `objects.id`.
    pub id: Uuid,
    /// The bucket's id.
    pub bucket: String,
    /// The full key.
    pub name: String,
    /// The deprecated owner column.
    pub owner: Option<String>,
    /// `owner_id`.
    pub owner_id: Option<String>,
    /// The version's text, unchecked.
    pub version: Option<String>,
    /// When the row was written last.
    pub updated_at: Option<OffsetDateTime>,
    /// When the row was made.
    pub created_at: Option<OffsetDateTime>,
    /// When the row was made, or what was written into it since.
    pub last_accessed_at: Option<OffsetDateTime>,
    /// The metadata, as stored but for what is our own.
    pub metadata: Option<serde_json::Value>,
    /// User metadata as it is stored.
    pub user_metadata: Option<serde_json::Value>,
}

/// The columns of a [`FullRow`].
macro_rules! full_columns {
    () => {
        "id, bucket_id, name, owner::text AS owner, owner_id, version, updated_at, created_at, \
         last_accessed_at, metadata, user_metadata"
    };
}
pub(super) use full_columns;

impl FullRow {
    pub(super) fn from_row(row: &Row) -> Result<Self, Error> {
        let user = row.try_get::<_, Option<Json<serde_json::Value>>>("user_metadata");
        Ok(Self {
            id: row.try_get("id")?,
            bucket: row.try_get("bucket_id")?,
            name: row.try_get("name")?,
            owner: row.try_get("owner")?,
            owner_id: row.try_get("owner_id")?,
            version: row.try_get("version")?,
            updated_at: time_of(row, "updated_at"),
            created_at: time_of(row, "created_at"),
            last_accessed_at: time_of(row, "last_accessed_at"),
            metadata: shown_metadata(row),
            user_metadata: user.ok().flatten().map(|json| json.0),
        })
    }
}

impl Catalog {
    /// Finds an object as the scope's role, with all of its row.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_full(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        name: &str,
    ) -> Result<Option<(FullRow, ObjectRow)>, Error> {
        const SQL: &str = concat!(
            "SELECT ",
            full_columns!(),
            " FROM storage.objects WHERE bucket_id = $1 AND name = $2 AND current_user = $3",
        );
        let role = scope.caller.role.as_str();
        let params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&name, Type::TEXT), (&role, Type::TEXT)];
        let rows = self.read_one(scope, SQL, &params).await?;
        let both = |row: &Row| Ok((FullRow::from_row(row)?, ObjectRow::from_row(row)?));
        rows.first().map(both).transpose()
    }

    /// Finds an object as the service role sees it: what a caller's own write made.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_written(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        name: &str,
    ) -> Result<Option<FullRow>, Error> {
        let found = self.find_full(&self.as_service(scope), bucket, name).await?;
        Ok(found.map(|(row, _)| row))
    }

    /// Which of these names the scope's role sees a row of.
    ///
    /// # Errors
    /// The database's.
    pub async fn visible_names(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        names: &[&str],
    ) -> Result<HashSet<String>, Error> {
        const SQL: &str = "\
            SELECT name FROM storage.objects
            WHERE bucket_id = $1 AND name = ANY($2) AND current_user = $3";
        let role = scope.caller.role.as_str();
        let params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&names, Type::TEXT_ARRAY), (&role, Type::TEXT)];
        let rows = self.read_one(scope, SQL, &params).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }
}
