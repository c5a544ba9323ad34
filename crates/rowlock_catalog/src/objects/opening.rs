//! What every commit of an object begins with.

use super::CommitRequest;
use super::object_lock_key;
use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::pending::PendingWrite;
use crate::resumable::{HeldResumable, completing};
use crate::session::{Param, Ready, Session};
use rowlock_types::Role;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

const LOCK: &str =
    "SELECT set_config('lock_timeout', '5000ms', true), pg_advisory_xact_lock($1)::text";

/// What every commit begins with: the object's lock, and the end of the write's note, or of the
/// resumable upload that it completes.
pub(super) struct Opening<'a> {
    lock_key: i64,
    pending: Option<PendingWrite<'a>>,
    resumable: Option<HeldResumable>,
    pub(super) sql: &'static str,
}

impl<'a> Opening<'a> {
    pub(super) fn new(catalog: &Catalog, request: &CommitRequest<'a>) -> Self {
        // A note that is gone divides by zero, so that nothing behind it in the trip counts.
        let noted = own_sql!(
            catalog.own_schema(),
            "WITH gone AS (DELETE FROM ",
            "pending WHERE blob_key = $2 AND process = $3 RETURNING 1) \
             SELECT set_config('lock_timeout', '5000ms', true), pg_advisory_xact_lock($1)::text, \
             1 / (SELECT count(*) FROM gone)",
        );
        Self {
            lock_key: object_lock_key(request.bucket, request.name),
            pending: request.pending,
            resumable: request.resumable,
            sql: match (request.resumable, request.pending) {
                (Some(_), _) => completing(catalog.own_schema()),
                (None, Some(_)) => noted,
                (None, None) => LOCK,
            },
        }
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        let mut params: Vec<Param<'_>> = vec![(&self.lock_key, Type::INT8)];
        if let Some(held) = &self.resumable {
            params.push((&held.version, Type::UUID));
            params.push((&held.process, Type::UUID));
            params.push((&held.epoch, Type::INT8));
        } else if let Some(pending) = &self.pending {
            params.push((&pending.blob, Type::TEXT));
            params.push((&pending.process, Type::UUID));
        }
        params
    }

    pub(super) async fn ready(&self, session: &Session) -> Result<Ready, Error> {
        let types: Vec<Type> = self.params().iter().map(|param| param.1.clone()).collect();
        session.ready(self.sql, &Role::new(""), &types).await
    }
}

impl CommitRequest<'_> {
    /// Whether the transaction begins with the end of something that may be over already.
    pub(super) fn is_noted(&self) -> bool {
        self.pending.is_some() || self.resumable.is_some()
    }
}

/// Divides by zero where no row names the new version: the transaction, and with it the end of the
/// write's note, comes to nothing.
pub(super) const WRITTEN: &str = "\
    SELECT 1 / (SELECT count(*) FROM storage.objects
                WHERE bucket_id = $1 AND name = $2 AND version = $3)";

/// [`WRITTEN`], sent along with what has a note, which must not end without the row, and with what
/// tells of the row.
pub(super) struct Check<'a> {
    ready: Option<Ready>,
    params: [Param<'a>; 3],
}

impl<'a> Check<'a> {
    pub(super) async fn ready(
        session: &Session,
        role: &Role,
        request: &'a CommitRequest<'_>,
        tells: bool,
    ) -> Result<Self, Error> {
        let params: [Param<'a>; 3] = [
            (&request.bucket, Type::TEXT),
            (&request.name, Type::TEXT),
            (&request.version, Type::TEXT),
        ];
        let ready = if request.is_noted() || tells {
            let texts = [Type::TEXT, Type::TEXT, Type::TEXT];
            Some(session.ready(WRITTEN, role, &texts).await?)
        } else {
            None
        };
        Ok(Self { ready, params })
    }

    pub(super) async fn send(&self, session: &Session) -> Result<(), Error> {
        match &self.ready {
            Some(ready) => session.send(ready, &self.params).await.map(drop),
            None => Ok(()),
        }
    }
}

/// Whether nothing was written, and the trip came to nothing for that reason.
pub(super) fn wrote_nothing(
    written: &Result<Vec<Row>, Error>,
    checked: &Result<(), Error>,
) -> bool {
    written.as_ref().is_ok_and(Vec::is_empty) && checked.as_ref().is_err_and(divides)
}

/// Whether a failed commit failed since its note is gone.
pub(super) fn is_taken_over(error: &Error, request: &CommitRequest<'_>) -> bool {
    request.is_noted() && divides(error)
}

/// Whether a statement divided by zero that was meant to.
pub(super) fn divides(error: &Error) -> bool {
    let ours = !matches!(error, Error::Database { in_user_code: true, .. });
    ours && error.is(&SqlState::DIVISION_BY_ZERO)
}
