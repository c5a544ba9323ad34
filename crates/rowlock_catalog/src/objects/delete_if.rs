use super::going::Going;
use crate::catalog::Catalog;
use crate::error::Error;
use crate::scope::Scope;
use crate::session::Param;
use crate::transaction::Transaction;
use rowlock_types::Role;
use std::time::Duration;
use tokio_postgres::types::Type;

/// What became of a conditional delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteIfOutcome {
    /// The row is gone.
    Deleted,
    /// There is no such row that the caller may see.
    Absent,
    /// The row has another entity tag; it stays.
    Mismatch,
    /// The caller may see the row, but not delete it.
    Denied,
}

impl Catalog {
    /// Deletes one row as the scope's role where its entity tag is one of `tags` (quoted), or
    /// whatever it is where `tags` is `None`; with an outbox row for its blob.
    ///
    /// # Errors
    /// The database's; nothing is deleted then.
    pub async fn delete_object_if(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        name: &str,
        tags: Option<&[String]>,
        grace: Duration,
    ) -> Result<DeleteIfOutcome, Error> {
        self.check_role(scope)?;
        self.retrying(|| self.delete_if_in_steps(scope, bucket, name, tags, grace)).await
    }

    /// The row is locked when it is written down, so that what is compared is what is deleted.
    async fn delete_if_in_steps(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        name: &str,
        tags: Option<&[String]>,
        grace: Duration,
    ) -> Result<DeleteIfOutcome, Error> {
        const SEEN: &str = "\
            SELECT metadata->>'eTag' FROM storage.objects
            WHERE bucket_id = $1 AND name = $2 AND current_user = $3
              AND xmax = pg_current_xact_id()::xid";
        const DELETE: &str = "\
            DELETE FROM storage.objects
            WHERE bucket_id = $1 AND name = $2 AND current_user = $3
              AND xmax = pg_current_xact_id()::xid
            RETURNING name";
        let (owner, role) = (Role::new(""), &scope.caller.role);
        let role_name = role.as_str();
        let names = [name];
        let going = Going::new(self, scope, bucket, &names, grace, None);
        let address: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&name, Type::TEXT), (&role_name, Type::TEXT)];
        let tx = Transaction::begin(self).await?;
        tx.query(&owner, going.sql, &going.params()).await?;
        tx.scope(scope).await?;
        let seen = tx.query(role, SEEN, &address).await?;
        let outcome = match seen.first() {
            None => DeleteIfOutcome::Absent,
            Some(row) => {
                let tag: Option<String> = row.try_get(0)?;
                let fits = tags.is_none_or(|tags| tag.is_some_and(|tag| tags.contains(&tag)));
                if !fits {
                    DeleteIfOutcome::Mismatch
                } else if tx.query(role, DELETE, &address).await?.is_empty() {
                    DeleteIfOutcome::Denied
                } else {
                    DeleteIfOutcome::Deleted
                }
            }
        };
        if outcome == DeleteIfOutcome::Deleted {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(outcome)
    }
}
