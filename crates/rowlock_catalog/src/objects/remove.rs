use super::full::{FullRow, full_columns};
use crate::catalog::Catalog;
use crate::error::Error;
use crate::scope::Scope;
use crate::session::Param;
use rowlock_types::Role;
use std::collections::HashSet;
use std::time::Duration;
use tokio_postgres::types::Type;

/// What a delete that tells the rows found and did.
#[derive(Debug, Clone, Default)]
pub struct RemovedRows {
    /// Names that had a row, whoever may see it.
    pub existing: HashSet<String>,
    /// The rows that the caller deleted.
    pub rows: Vec<FullRow>,
}

/// Only rows that the outbox statement has locked: see
/// [`delete_objects`](Catalog::delete_objects).
const DELETE: &str = concat!(
    "DELETE FROM storage.objects
     WHERE bucket_id = $1 AND name = ANY($2) AND current_user = $3
       AND xmax = pg_current_xact_id()::xid
     RETURNING ",
    full_columns!(),
);

impl Catalog {
    /// Deletes rows as the scope's role, with outbox rows for their blobs, and returns them, in
    /// one trip. An unknown bucket has none.
    ///
    /// # Errors
    /// The database's; nothing is deleted then.
    pub async fn remove_objects(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        names: &[&str],
        grace: Duration,
    ) -> Result<RemovedRows, Error> {
        self.check_role(scope)?;
        self.retrying(|| self.remove_in_one_trip(scope, bucket, names, grace)).await
    }

    async fn remove_in_one_trip(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        names: &[&str],
        grace: Duration,
    ) -> Result<RemovedRows, Error> {
        let grace = grace.as_secs_f64();
        let role = scope.caller.role.as_str();
        let queue_params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&names, Type::TEXT_ARRAY), (&grace, Type::FLOAT8)];
        let delete_params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&names, Type::TEXT_ARRAY), (&role, Type::TEXT)];
        let session = self.session().await?;
        let scope_params = self.scope_params(scope);
        let scoped = self.scope_ready(&session, &scope_params).await?;
        let types = [Type::TEXT, Type::TEXT_ARRAY, Type::FLOAT8];
        let queue = session.ready(self.outbox_of_names(), &Role::new(""), &types).await?;
        let types = [Type::TEXT, Type::TEXT_ARRAY, Type::TEXT];
        let delete = session.ready(DELETE, &scope.caller.role, &types).await?;
        let scope_values = scope_params.params();
        let (begin, existing, scoped, deleted, commit) = futures_util::join!(
            session.simple("BEGIN"),
            session.send(&queue, &queue_params),
            session.send(&scoped, &scope_values),
            session.send(&delete, &delete_params),
            session.simple("COMMIT"),
        );
        begin?;
        let existing = existing?;
        scoped?;
        let deleted = deleted?;
        commit?;
        Ok(RemovedRows {
            existing: existing.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
            rows: deleted.iter().map(FullRow::from_row).collect::<Result<_, _>>()?,
        })
    }
}
