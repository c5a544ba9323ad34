//! Tags: of objects in their own row (`metadata.rowlock.tags`), written by the caller under its
//! policies; of buckets in a table of ours, for who may change the bucket.

use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::scope::Scope;
use crate::session::Param;
use crate::transaction::Transaction;
use rowlock_types::Role;
use std::collections::BTreeMap;
use tokio_postgres::types::{Json, Type};

/// The tags of something, by name.
pub type Tags = BTreeMap<String, String>;

/// What became of a write to a bucket's tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketTagsOutcome {
    /// It is done.
    Written,
    /// There is no such bucket.
    NoBucket,
    /// The caller may not change this bucket (or not even see it).
    Denied,
}

impl Catalog {
    /// Replaces an object's tags as the scope's role; `None` or empty: takes them away. False when
    /// there is no such row that the role may change.
    ///
    /// # Errors
    /// The database's (a policy's WITH CHECK among them).
    pub async fn set_object_tags(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        name: &str,
        tags: &Tags,
    ) -> Result<bool, Error> {
        // Metadata made by hand may be no object: it gives way to one.
        const SET: &str = "\
            UPDATE storage.objects SET metadata =
              CASE jsonb_typeof(metadata) WHEN 'object' THEN metadata ELSE '{}'::jsonb END
              || jsonb_build_object('rowlock',
                CASE jsonb_typeof(metadata->'rowlock')
                  WHEN 'object' THEN metadata->'rowlock' ELSE '{}'::jsonb END
                || jsonb_build_object('tags', $3))
            WHERE bucket_id = $1 AND name = $2 AND current_user = $4 RETURNING 1";
        const DROP: &str = "\
            UPDATE storage.objects SET metadata = metadata #- '{rowlock,tags}'
            WHERE bucket_id = $1 AND name = $2 AND $3 = '{}'::jsonb AND current_user = $4
            RETURNING 1";
        let role = scope.caller.role.as_str();
        let sql = if tags.is_empty() { DROP } else { SET };
        let tags = Json(tags);
        let params: [Param<'_>; 4] =
            [(&bucket, Type::TEXT), (&name, Type::TEXT), (&tags, Type::JSONB), (&role, Type::TEXT)];
        Ok(!self.read_one(scope, sql, &params).await?.is_empty())
    }

    /// A bucket's tags, whoever asks: the caller's right to see the bucket is asked before.
    ///
    /// # Errors
    /// The database's.
    pub async fn bucket_tags(&self, bucket: &str) -> Result<Option<Tags>, Error> {
        let sql =
            own_sql!(self.own_schema(), "SELECT tags FROM ", "bucket_tags WHERE bucket_id = $1",);
        let rows = self.as_owner(sql, &[(&bucket, Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(row.try_get::<_, Json<Tags>>(0)?.0))
    }

    /// Replaces a bucket's tags, or takes them away, where the scope's role may change the bucket.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_bucket_tags(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        tags: Option<&Tags>,
    ) -> Result<BucketTagsOutcome, Error> {
        const FIND: &str = "SELECT 1 FROM storage.buckets WHERE id = $1 FOR UPDATE";
        const CHANGE: &str = "\
            UPDATE storage.buckets SET updated_at = now()
            WHERE id = $1 AND current_user = $2 RETURNING 1";
        let (owner, role) = (Role::new(""), &scope.caller.role);
        let address: [Param<'_>; 1] = [(&bucket, Type::TEXT)];
        let tx = Transaction::begin(self).await?;
        if tx.query(&owner, FIND, &address).await?.is_empty() {
            tx.rollback().await?;
            return Ok(BucketTagsOutcome::NoBucket);
        }
        match tags {
            Some(tags) => {
                let put = own_sql!(
                    self.own_schema(),
                    "INSERT INTO ",
                    "bucket_tags (bucket_id, tags) VALUES ($1, $2) \
                     ON CONFLICT (bucket_id) DO UPDATE SET tags = EXCLUDED.tags",
                );
                let tags = Json(tags);
                tx.query(&owner, put, &[(&bucket, Type::TEXT), (&tags, Type::JSONB)]).await?;
            }
            None => {
                let drop = own_sql!(
                    self.own_schema(),
                    "DELETE FROM ",
                    "bucket_tags WHERE bucket_id = $1",
                );
                tx.query(&owner, drop, &address).await?;
            }
        }
        tx.scope(scope).await?;
        let name = role.as_str();
        let changed = tx.query(role, CHANGE, &[(&bucket, Type::TEXT), (&name, Type::TEXT)]).await?;
        if changed.is_empty() {
            tx.rollback().await?;
            return Ok(BucketTagsOutcome::Denied);
        }
        tx.commit().await?;
        Ok(BucketTagsOutcome::Written)
    }
}
