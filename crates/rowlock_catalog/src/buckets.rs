//! Queries on `storage.buckets`.

use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::objects::owner_uuid;
use crate::scope::Scope;
use crate::session::Param;
use crate::transaction::Transaction;
use rowlock_types::Role;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// A row of `storage.buckets`.
#[derive(Debug, Clone)]
pub struct BucketRow {
    /// The id, which is what objects refer to.
    pub id: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Whether its objects are public.
    pub public: bool,
}

impl BucketRow {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            created_at: crate::time::of(row, "created_at"),
            public: row.try_get::<_, Option<bool>>("public")?.unwrap_or(false),
        })
    }
}

/// What became of a new bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateBucketOutcome {
    /// It is there.
    Created,
    /// There was one already; `visible` tells whether the caller may see it.
    Exists {
        /// The caller may see it.
        visible: bool,
    },
}

/// What became of a bucket to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteBucketOutcome {
    /// It is gone.
    Deleted,
    /// There is none.
    Absent,
    /// It still holds objects.
    NotEmpty,
    /// It is there, but the caller may not delete it.
    Denied,
}

const ONE: &str = "\
    SELECT id, created_at, public FROM storage.buckets WHERE id = $1 AND current_user = $2";

impl Catalog {
    /// The buckets that the scope's role may see, by the bytes of their ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_buckets(&self, scope: &Scope<'_>) -> Result<Vec<BucketRow>, Error> {
        const SQL: &str = "\
            SELECT id, created_at, public FROM storage.buckets
            WHERE current_user = $1 ORDER BY id COLLATE \"C\"";
        let role = scope.caller.role.as_str();
        let rows = self.read_one(scope, SQL, &[(&role, Type::TEXT)]).await?;
        rows.iter().map(BucketRow::from_row).collect()
    }

    /// One bucket, if the scope's role may see it.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_bucket(
        &self,
        scope: &Scope<'_>,
        id: &str,
    ) -> Result<Option<BucketRow>, Error> {
        let role = scope.caller.role.as_str();
        let rows = self.read_one(scope, ONE, &[(&id, Type::TEXT), (&role, Type::TEXT)]).await?;
        rows.first().map(BucketRow::from_row).transpose()
    }

    /// Whether the bucket exists at all, seen by the service role.
    ///
    /// # Errors
    /// The database's.
    pub async fn bucket_exists(&self, scope: &Scope<'_>, id: &str) -> Result<bool, Error> {
        Ok(self.find_bucket(&self.as_service(scope), id).await?.is_some())
    }

    /// Makes a private bucket as the scope's role.
    ///
    /// # Errors
    /// The database's, row-level security included.
    pub async fn create_bucket(
        &self,
        scope: &Scope<'_>,
        id: &str,
    ) -> Result<CreateBucketOutcome, Error> {
        const SQL: &str = "\
            INSERT INTO storage.buckets (id, name, owner, owner_id, public)
            SELECT $1, $1, $2, $3, false WHERE current_user = $4";
        let owner = owner_uuid(scope);
        let owner_id = scope.caller.subject.as_deref();
        let role = scope.caller.role.as_str();
        let params: [Param<'_>; 4] =
            [(&id, Type::TEXT), (&owner, Type::UUID), (&owner_id, Type::TEXT), (&role, Type::TEXT)];
        match self.read_one(scope, SQL, &params).await {
            Ok(_) => Ok(CreateBucketOutcome::Created),
            Err(error) if error.is(&SqlState::UNIQUE_VIOLATION) => {
                let visible = self.find_bucket(scope, id).await?.is_some();
                Ok(CreateBucketOutcome::Exists { visible })
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes an empty bucket as the scope's role, and with it its pending multipart uploads,
    /// whose parts the outbox removes.
    ///
    /// # Errors
    /// The database's; nothing is changed then.
    pub async fn delete_bucket(
        &self,
        scope: &Scope<'_>,
        id: &str,
    ) -> Result<DeleteBucketOutcome, Error> {
        self.check_role(scope)?;
        self.retrying(|| self.delete_bucket_once(scope, id)).await
    }

    async fn delete_bucket_once(
        &self,
        scope: &Scope<'_>,
        id: &str,
    ) -> Result<DeleteBucketOutcome, Error> {
        const LOCK: &str = "SELECT 1 FROM storage.buckets WHERE id = $1 FOR UPDATE";
        const ANY_OBJECT: &str = "SELECT 1 FROM storage.objects WHERE bucket_id = $1 LIMIT 1";
        const UPLOADS: &str = "DELETE FROM storage.s3_multipart_uploads WHERE bucket_id = $1";
        const DELETE: &str = "\
            DELETE FROM storage.buckets WHERE id = $1 AND current_user = $2 RETURNING id";
        let outbox = own_sql!(
            self.own_schema(),
            "INSERT INTO ",
            "outbox (kind, bucket_id, name, version, payload) \
             SELECT 'remove_multipart', bucket_id, key, version, jsonb_build_object('upload_id', id) \
             FROM storage.s3_multipart_uploads WHERE bucket_id = $1 FOR UPDATE",
        );
        let owner = Role::new("");
        let address: [Param<'_>; 1] = [(&id, Type::TEXT)];
        let role = scope.caller.role.as_str();

        let tx = Transaction::begin(self).await?;
        if tx.query(&owner, LOCK, &address).await?.is_empty() {
            tx.rollback().await?;
            return Ok(DeleteBucketOutcome::Absent);
        }
        if !tx.query(&owner, ANY_OBJECT, &address).await?.is_empty() {
            tx.rollback().await?;
            return Ok(DeleteBucketOutcome::NotEmpty);
        }
        tx.query(&owner, outbox, &address).await?;
        tx.query(&owner, UPLOADS, &address).await?;
        tx.scope(scope).await?;
        let gone =
            tx.query(&scope.caller.role, DELETE, &[(&id, Type::TEXT), (&role, Type::TEXT)]).await?;
        if gone.is_empty() {
            tx.rollback().await?;
            return Ok(DeleteBucketOutcome::Denied);
        }
        tx.commit().await?;
        Ok(DeleteBucketOutcome::Deleted)
    }
}
