use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::scope::Scope;
use crate::session::Param;
use rowlock_types::Role;
use std::collections::HashSet;
use std::time::Duration;
use tokio_postgres::types::Type;

/// What a delete found and did.
#[derive(Debug, Clone, Default)]
pub struct DeletedRows {
    /// Names whose row is still there, and visible to the caller.
    pub refused: HashSet<String>,
    /// Names whose row the caller deleted.
    pub deleted: HashSet<String>,
    /// Whether the bucket exists.
    pub bucket_exists: bool,
}

/// Only rows that the outbox statement has locked (`xmax` is their locker then): one that came up
/// in between belongs to the time after this delete, and its blob is written down nowhere.
pub(super) const DELETE: &str = "\
    DELETE FROM storage.objects
    WHERE bucket_id = $1 AND name = ANY($2) AND current_user = $3
      AND xmax = pg_current_xact_id()::xid
    RETURNING name";

/// What is left of the names, as the caller sees it: an invisible row is no row to it.
const LEFT: &str = "\
    SELECT name FROM storage.objects
    WHERE bucket_id = $1 AND name = ANY($2) AND current_user = $3";

const BUCKET: &str = "SELECT 1 FROM storage.buckets WHERE id = $1";

impl Catalog {
    /// Deletes rows as the scope's role, with outbox rows for their blobs, in one trip. The
    /// outbox is written first, as the tables' owner (callers have no right on it), for every
    /// row that exists: a row that the caller may not delete stays, and so does its blob, since
    /// the worker deletes nothing that has a row.
    ///
    /// # Errors
    /// The database's; nothing is deleted then.
    pub async fn delete_objects(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        names: &[&str],
        grace: Duration,
    ) -> Result<DeletedRows, Error> {
        self.check_role(scope)?;
        self.retrying(|| self.delete_in_one_trip(scope, bucket, names, grace)).await
    }

    /// Writes down the blobs of rows and locks the rows, in name order, so that two overlapping
    /// deletes can't deadlock.
    pub(super) fn outbox_of_names(&self) -> &'static str {
        own_sql!(
            self.own_schema(),
            "INSERT INTO ",
            "outbox (kind, bucket_id, name, version, due_at) \
             SELECT 'delete_blob', bucket_id, name, version, now() + make_interval(secs => $3) \
             FROM (SELECT bucket_id, name, version FROM storage.objects \
                   WHERE bucket_id = $1 AND name = ANY($2) ORDER BY name COLLATE \"C\" FOR UPDATE) gone \
             RETURNING name",
        )
    }

    async fn delete_in_one_trip(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        names: &[&str],
        grace: Duration,
    ) -> Result<DeletedRows, Error> {
        let owner = Role::new("");
        let grace = grace.as_secs_f64();
        let role = scope.caller.role.as_str();
        let outbox_params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&names, Type::TEXT_ARRAY), (&grace, Type::FLOAT8)];
        let delete_params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&names, Type::TEXT_ARRAY), (&role, Type::TEXT)];
        let types = [Type::TEXT, Type::TEXT_ARRAY, Type::FLOAT8];

        let session = self.session().await?;
        let scope_params = self.scope_params(scope);
        let scoped = self.scope_ready(&session, &scope_params).await?;
        let look = session.ready(BUCKET, &owner, &[Type::TEXT]).await?;
        let outbox = session.ready(self.outbox_of_names(), &owner, &types).await?;
        let types = [Type::TEXT, Type::TEXT_ARRAY, Type::TEXT];
        let delete = session.ready(DELETE, &scope.caller.role, &types).await?;
        let left = session.ready(LEFT, &scope.caller.role, &types).await?;
        let scope_values = scope_params.params();
        let (begin, bucket_rows, queued, scoped, deleted, left, commit) = futures_util::join!(
            session.simple("BEGIN"),
            session.send(&look, &outbox_params[..1]),
            session.send(&outbox, &outbox_params),
            session.send(&scoped, &scope_values),
            session.send(&delete, &delete_params),
            session.send(&left, &delete_params),
            session.simple("COMMIT"),
        );
        begin?;
        let bucket_rows = bucket_rows?;
        let queued = queued?;
        scoped?;
        let (deleted, left) = (deleted?, left?);
        commit?;
        let names = |rows: Vec<tokio_postgres::Row>| {
            rows.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<String>, _>>()
        };
        Ok(DeletedRows {
            // A row that came up in between was not there to be deleted.
            refused: names(left)?.intersection(&names(queued)?).cloned().collect(),
            deleted: names(deleted)?,
            bucket_exists: !bucket_rows.is_empty(),
        })
    }
}
