use super::full::{FullRow, full_columns};
use super::going::Going;
use crate::catalog::Catalog;
use crate::error::Error;
use crate::scope::Scope;
use crate::session::Param;
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
        let role = scope.caller.role.as_str();
        let going = Going::new(self, scope, bucket, names, grace, None);
        let going_params = going.params();
        let delete_params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&names, Type::TEXT_ARRAY), (&role, Type::TEXT)];
        let session = self.session().await?;
        let scope_params = self.scope_params(scope);
        let scoped = self.scope_ready(&session, &scope_params).await?;
        let noted = going.ready(&session).await?;
        let types = [Type::TEXT, Type::TEXT_ARRAY, Type::TEXT];
        let delete = session.ready(DELETE, &scope.caller.role, &types).await?;
        let kept = going.kept(self, &session, &scope_params).await?;
        let scope_values = scope_params.params();
        let (begin, existing, scoped, deleted, kept, commit) = futures_util::join!(
            session.simple("BEGIN"),
            session.send(&noted, &going_params),
            session.send(&scoped, &scope_values),
            session.send(&delete, &delete_params),
            kept.send(&session),
            session.simple("COMMIT"),
        );
        begin?;
        let existing = existing?;
        scoped?;
        let deleted = deleted?;
        kept?;
        commit?;
        Ok(RemovedRows {
            existing: existing.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
            rows: deleted.iter().map(FullRow::from_row).collect::<Result<_, _>>()?,
        })
    }
}
