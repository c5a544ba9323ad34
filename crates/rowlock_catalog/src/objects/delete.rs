use super::going::Going;
use crate::catalog::Catalog;
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

    async fn delete_in_one_trip(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        names: &[&str],
        grace: Duration,
    ) -> Result<DeletedRows, Error> {
        let owner = Role::new("");
        let role = scope.caller.role.as_str();
        let going = Going::new(self, scope, bucket, names, grace, None);
        let going_params = going.params();
        let delete_params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&names, Type::TEXT_ARRAY), (&role, Type::TEXT)];

        let session = self.session().await?;
        let scope_params = self.scope_params(scope);
        let scoped = self.scope_ready(&session, &scope_params).await?;
        let look = session.ready(BUCKET, &owner, &[Type::TEXT]).await?;
        let noted = going.ready(&session).await?;
        let types = [Type::TEXT, Type::TEXT_ARRAY, Type::TEXT];
        let delete = session.ready(DELETE, &scope.caller.role, &types).await?;
        let left = session.ready(LEFT, &scope.caller.role, &types).await?;
        let kept = going.kept(self, &session, &scope_params).await?;
        let scope_values = scope_params.params();
        let (begin, bucket_rows, queued, scoped, deleted, left, kept, commit) = futures_util::join!(
            session.simple("BEGIN"),
            session.send(&look, &going_params[..1]),
            session.send(&noted, &going_params),
            session.send(&scoped, &scope_values),
            session.send(&delete, &delete_params),
            session.send(&left, &delete_params),
            kept.send(&session),
            session.simple("COMMIT"),
        );
        begin?;
        let bucket_rows = bucket_rows?;
        let queued = queued?;
        scoped?;
        let (deleted, left) = (deleted?, left?);
        kept?;
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
