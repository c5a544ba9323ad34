//! Emptying a bucket: what the caller may delete of what was there when it was asked, in steps
//! that can be taken up again.

use super::going::Going;
use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::events::EventOrigin;
use crate::scope::Scope;
use crate::session::Param;
use rowlock_types::{Caller, Role};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio_postgres::types::{Json, Type};

/// The rest of an emptying, as the outbox keeps it. The caller's token is not kept: policies see
/// its claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyJob {
    /// The caller's role.
    pub role: String,
    /// The caller's subject.
    pub subject: Option<String>,
    /// The caller's claims.
    pub claims: String,
    /// What was written later stays: microseconds since 1970, by the database's clock.
    pub until: i64,
    /// The last name that was looked at.
    pub after: String,
    /// The request that asked for it, for events.
    #[serde(default)]
    pub origin: EventOrigin,
}

/// What one step of an emptying did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmptyStep {
    /// How many objects were looked at.
    pub seen: usize,
    /// The last of their names.
    pub last: Option<String>,
}

impl EmptyJob {
    /// A job for a scope's caller.
    pub fn new(scope: &Scope<'_>, until: i64, after: String) -> Self {
        let caller = scope.caller;
        Self {
            origin: EventOrigin::of(scope),
            role: caller.role.as_str().to_owned(),
            subject: caller.subject.as_deref().map(str::to_owned),
            claims: caller.claims.as_ref().to_owned(),
            until,
            after,
        }
    }

    /// Whom the job works as. Even the service role asks PostgreSQL for each row here: a row of
    /// the outbox opens no short cut.
    pub fn caller(&self) -> Caller {
        Caller {
            role: Role::new(&self.role),
            subject: self.subject.as_deref().map(Arc::from),
            claims: Arc::from(self.claims.as_str()),
            token: Arc::from(""),
            is_service: false,
        }
    }
}

/// What was there at a moment.
const CANDIDATES: &str = "\
    SELECT name FROM storage.objects
    WHERE bucket_id = $1 AND name COLLATE \"C\" > $2 AND current_user = $4
      AND coalesce(greatest(created_at, updated_at), '-infinity') <= $3
    ORDER BY name COLLATE \"C\" LIMIT $5";

impl Catalog {
    /// The moment from which on a bucket that the scope's role may see is emptied; `None` when it
    /// sees none.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_empty(&self, scope: &Scope<'_>, bucket: &str) -> Result<Option<i64>, Error> {
        const SQL: &str = "\
            SELECT clock_timestamp() FROM storage.buckets WHERE id = $1 AND current_user = $2";
        let role = scope.caller.role.as_str();
        let params: [Param<'_>; 2] = [(&bucket, Type::TEXT), (&role, Type::TEXT)];
        let rows = self.read_one(scope, SQL, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let at: OffsetDateTime = row.try_get(0)?;
        Ok(i64::try_from(at.unix_timestamp_nanos() / 1000).ok())
    }

    /// Deletes, as the scope's role, the next `limit` objects of those that it sees and that were
    /// there at the moment `until`.
    ///
    /// # Errors
    /// The database's; nothing is deleted then.
    pub async fn empty_step(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        until: i64,
        after: &str,
        limit: i64,
        grace: Duration,
    ) -> Result<EmptyStep, Error> {
        let at = moment(until)?;
        let role = scope.caller.role.as_str();
        let params: [Param<'_>; 5] = [
            (&bucket, Type::TEXT),
            (&after, Type::TEXT),
            (&at, Type::TIMESTAMPTZ),
            (&role, Type::TEXT),
            (&limit, Type::INT8),
        ];
        let rows = self.read_one(scope, CANDIDATES, &params).await?;
        let names: Vec<&str> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        if !names.is_empty() {
            self.retrying(|| self.delete_until(scope, bucket, &names, at, grace)).await?;
        }
        Ok(EmptyStep { seen: names.len(), last: names.last().map(|&name| name.to_owned()) })
    }

    async fn delete_until(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        names: &[&str],
        until: OffsetDateTime,
        grace: Duration,
    ) -> Result<(), Error> {
        let role = scope.caller.role.as_str();
        let going = Going::new(self, scope, bucket, names, grace, Some(until));
        let going_params = going.params();
        let delete_params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&names, Type::TEXT_ARRAY), (&role, Type::TEXT)];
        let types = |params: &[Param<'_>]| params.iter().map(|p| p.1.clone()).collect::<Vec<_>>();

        let session = self.session().await?;
        let scope_params = self.scope_params(scope);
        let scoped = self.scope_ready(&session, &scope_params).await?;
        let noted = going.ready(&session).await?;
        let delete = session
            .ready(super::delete::DELETE, &scope.caller.role, &types(&delete_params))
            .await?;
        let kept = going.kept(self, &session, &scope_params).await?;
        let scope_values = scope_params.params();
        let (begin, queued, scoped, deleted, kept, commit) = futures_util::join!(
            session.simple("BEGIN"),
            session.send(&noted, &going_params),
            session.send(&scoped, &scope_values),
            session.send(&delete, &delete_params),
            kept.send(&session),
            session.simple("COMMIT"),
        );
        begin?;
        queued?;
        scoped?;
        deleted?;
        kept?;
        commit
    }

    /// Ends the multipart uploads to a bucket that were begun before a moment: all, or those of
    /// one owner. Their parts go through the outbox.
    ///
    /// # Errors
    /// The database's; nothing is changed then.
    pub async fn end_uploads_until(
        &self,
        bucket: &str,
        until: i64,
        owner: Option<&str>,
    ) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "WITH gone AS (DELETE FROM storage.s3_multipart_uploads \
               WHERE bucket_id = $1 AND created_at <= $2 AND ($3::text IS NULL OR owner_id = $3) \
               RETURNING id, bucket_id, key, version) \
             INSERT INTO ",
            "outbox (kind, bucket_id, name, version, payload) \
             SELECT 'remove_multipart', bucket_id, key, version, \
               jsonb_build_object('upload_id', id) FROM gone",
        );
        let at = moment(until)?;
        let params: [Param<'_>; 3] =
            [(&bucket, Type::TEXT), (&at, Type::TIMESTAMPTZ), (&owner, Type::TEXT)];
        self.as_owner(sql, &params).await.map(drop)
    }

    /// Leaves the rest of an emptying to the outbox.
    ///
    /// # Errors
    /// The database's.
    pub async fn queue_empty(&self, bucket: &str, job: &EmptyJob) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "INSERT INTO ",
            "outbox (kind, bucket_id, name, payload) VALUES ('empty_bucket', $1, '', $2)",
        );
        let job = Json(job);
        self.as_owner(sql, &[(&bucket, Type::TEXT), (&job, Type::JSONB)]).await.map(drop)
    }

    /// Writes down how far an emptying has come; it goes on at once.
    ///
    /// # Errors
    /// The database's; the lease's end brings the row back then.
    pub async fn advance_empty(&self, id: i64, job: &EmptyJob) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "outbox SET due_at = now(), attempts = 0, payload = $2 WHERE id = $1",
        );
        let job = Json(job);
        self.as_owner(sql, &[(&id, Type::INT8), (&job, Type::JSONB)]).await.map(drop)
    }
}

fn moment(micros: i64) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .map_err(|_| Error::Row("a time that no calendar has".into()))
}
