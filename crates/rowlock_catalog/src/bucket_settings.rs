//! Queries on the settings of buckets: who may read them, how large their objects may be, which
//! content types they take.

use crate::buckets::CreateBucketOutcome;
use crate::catalog::Catalog;
use crate::error::Error;
use crate::objects::owner_uuid;
use crate::scope::Scope;
use crate::session::Param;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// A row of `storage.buckets` with its settings.
#[derive(Debug, Clone)]
pub struct BucketDetails {
    /// The id, which is what objects refer to.
    pub id: String,
    /// The name, which is the id in all but odd databases.
    pub name: String,
    /// The deprecated owner column.
    pub owner: Option<String>,
    /// Whether its objects are public.
    pub public: bool,
    /// The largest object in bytes.
    pub file_size_limit: Option<i64>,
    /// The content types allowed; `None`: any.
    pub allowed_mime_types: Option<Vec<String>>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it was changed.
    pub updated_at: OffsetDateTime,
}

/// A bucket to be made.
#[derive(Debug, Clone)]
pub struct NewBucketRow<'a> {
    /// The id.
    pub id: &'a str,
    /// The name.
    pub name: &'a str,
    /// Whether its objects are public.
    pub public: bool,
    /// The largest object in bytes.
    pub file_size_limit: Option<i64>,
    /// The content types allowed; `None`: any.
    pub allowed_mime_types: Option<&'a [String]>,
}

/// What is to be changed of a bucket: `None` leaves a setting as it is, `Some(None)` clears it.
#[derive(Debug, Clone, Default)]
pub struct BucketChanges {
    /// Whether its objects are public.
    pub public: Option<bool>,
    /// The largest object in bytes.
    pub file_size_limit: Option<Option<i64>>,
    /// The content types allowed.
    pub allowed_mime_types: Option<Option<Vec<String>>>,
}

/// By what buckets are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketOrder {
    /// Their ids.
    Id,
    /// Their names.
    Name,
    /// When they were made.
    CreatedAt,
    /// When they were changed.
    UpdatedAt,
}

/// Which buckets are asked for.
#[derive(Debug, Clone, Default)]
pub struct BucketFilter {
    /// A part of the name, in any case.
    pub search: Option<String>,
    /// By what they are sorted, and whether downwards; any order where it is `None`.
    pub order: Option<(BucketOrder, bool)>,
    /// At most so many.
    pub limit: Option<i64>,
    /// After so many.
    pub offset: i64,
}

macro_rules! select {
    ($($rest:literal),+) => {
        concat!(
            "SELECT id, name, owner::text AS owner, public, file_size_limit, allowed_mime_types, \
             created_at, updated_at FROM storage.buckets WHERE current_user = $1 AND ",
            $($rest),+
        )
    };
}

macro_rules! list {
    ($order:literal) => {
        select!("($2::text IS NULL OR name ILIKE $2) ", $order, " LIMIT $3 OFFSET $4")
    };
}

const ONE: &str = select!("id = $2");

/// The statement of a list in an order.
fn list_sql(order: Option<(BucketOrder, bool)>) -> &'static str {
    match order {
        None => list!(""),
        Some((BucketOrder::Id, false)) => list!("ORDER BY id"),
        Some((BucketOrder::Id, true)) => list!("ORDER BY id DESC"),
        Some((BucketOrder::Name, false)) => list!("ORDER BY name, id"),
        Some((BucketOrder::Name, true)) => list!("ORDER BY name DESC, id DESC"),
        Some((BucketOrder::CreatedAt, false)) => list!("ORDER BY created_at, id"),
        Some((BucketOrder::CreatedAt, true)) => list!("ORDER BY created_at DESC, id DESC"),
        Some((BucketOrder::UpdatedAt, false)) => list!("ORDER BY updated_at, id"),
        Some((BucketOrder::UpdatedAt, true)) => list!("ORDER BY updated_at DESC, id DESC"),
    }
}

impl BucketDetails {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            owner: row.try_get("owner")?,
            public: row.try_get::<_, Option<bool>>("public")?.unwrap_or(false),
            file_size_limit: row.try_get("file_size_limit")?,
            allowed_mime_types: row.try_get("allowed_mime_types")?,
            created_at: crate::time::of(row, "created_at"),
            updated_at: crate::time::of(row, "updated_at"),
        })
    }
}

impl Catalog {
    /// A bucket and its settings, if the scope's role may see it.
    ///
    /// # Errors
    /// The database's.
    pub async fn bucket_details(
        &self,
        scope: &Scope<'_>,
        id: &str,
    ) -> Result<Option<BucketDetails>, Error> {
        let role = scope.caller.role.as_str();
        let rows = self.read_one(scope, ONE, &[(&role, Type::TEXT), (&id, Type::TEXT)]).await?;
        rows.first().map(BucketDetails::from_row).transpose()
    }

    /// Buckets and their settings that the scope's role may see.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_bucket_details(
        &self,
        scope: &Scope<'_>,
        filter: &BucketFilter,
    ) -> Result<Vec<BucketDetails>, Error> {
        let pattern = filter.search.as_deref().map(contains_pattern);
        let role = scope.caller.role.as_str();
        let params: [Param<'_>; 4] = [
            (&role, Type::TEXT),
            (&pattern, Type::TEXT),
            (&filter.limit, Type::INT8),
            (&filter.offset, Type::INT8),
        ];
        let rows = self.read_one(scope, list_sql(filter.order), &params).await?;
        rows.iter().map(BucketDetails::from_row).collect()
    }

    /// Makes a bucket as the scope's role, which needs no right to read it.
    ///
    /// # Errors
    /// The database's, row-level security included.
    pub async fn create_bucket_with(
        &self,
        scope: &Scope<'_>,
        new: &NewBucketRow<'_>,
    ) -> Result<CreateBucketOutcome, Error> {
        const SQL: &str = "\
            INSERT INTO storage.buckets
              (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
            SELECT $1, $2, $3, $4, $5, $6, $7 WHERE current_user = $8";
        let owner = owner_uuid(scope);
        let owner_id = scope.caller.subject.as_deref();
        let role = scope.caller.role.as_str();
        let params: [Param<'_>; 8] = [
            (&new.id, Type::TEXT),
            (&new.name, Type::TEXT),
            (&owner, Type::UUID),
            (&owner_id, Type::TEXT),
            (&new.public, Type::BOOL),
            (&new.file_size_limit, Type::INT8),
            (&new.allowed_mime_types, Type::TEXT_ARRAY),
            (&role, Type::TEXT),
        ];
        match self.read_one(scope, SQL, &params).await {
            Ok(_) => Ok(CreateBucketOutcome::Created),
            Err(error) if error.is(&SqlState::UNIQUE_VIOLATION) => {
                let visible = self.find_bucket(scope, new.id).await?.is_some();
                Ok(CreateBucketOutcome::Exists { visible })
            }
            Err(error) => Err(error),
        }
    }

    /// Changes a bucket's settings as the scope's role. False where there is none that it may
    /// change.
    ///
    /// # Errors
    /// The database's.
    pub async fn change_bucket(
        &self,
        scope: &Scope<'_>,
        id: &str,
        changes: &BucketChanges,
    ) -> Result<bool, Error> {
        const SQL: &str = "\
            UPDATE storage.buckets SET
              public = coalesce($3, public),
              file_size_limit = CASE WHEN $4 THEN $5 ELSE file_size_limit END,
              allowed_mime_types = CASE WHEN $6 THEN $7 ELSE allowed_mime_types END
            WHERE id = $1 AND current_user = $2 RETURNING id";
        let role = scope.caller.role.as_str();
        let limit = changes.file_size_limit.flatten();
        let types = changes.allowed_mime_types.as_ref().and_then(Option::as_deref);
        let params: [Param<'_>; 7] = [
            (&id, Type::TEXT),
            (&role, Type::TEXT),
            (&changes.public, Type::BOOL),
            (&changes.file_size_limit.is_some(), Type::BOOL),
            (&limit, Type::INT8),
            (&changes.allowed_mime_types.is_some(), Type::BOOL),
            (&types, Type::TEXT_ARRAY),
        ];
        Ok(!self.read_one(scope, SQL, &params).await?.is_empty())
    }
}

/// A LIKE pattern for texts that contain this one.
fn contains_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::contains_pattern;

    #[test]
    fn patterns_are_literal() {
        assert_eq!(contains_pattern("a%_\\b"), "%a\\%\\_\\\\b%");
    }
}
