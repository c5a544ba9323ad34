//! Moves: a row gets another name, and its blob another place.

use super::find::ObjectRow;
use super::moved::Moved;
use super::opening::{WRITTEN, divides};
use super::{object_lock_key, owner_uuid};
use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::pending::PendingWrite;
use crate::scope::Scope;
use crate::session::Param;
use rowlock_types::Role;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A move: from where to where.
#[derive(Debug, Clone, Copy)]
pub struct MoveRequest<'a> {
    /// The bucket's id.
    pub bucket: &'a str,
    /// The full key.
    pub name: &'a str,
    /// The bucket it goes to.
    pub to_bucket: &'a str,
    /// The key it gets.
    pub to_name: &'a str,
    /// The version that its blob gets there.
    pub version: &'a str,
}

/// The row that a move found.
#[derive(Debug, Clone)]
pub struct MoveSource {
    /// `objects.id`, which survives the move.
    pub id: Uuid,
    /// Which state of the row policies were asked about.
    pub state: String,
    /// The row.
    pub row: ObjectRow,
}

/// What policies say to a move.
#[derive(Debug)]
pub enum MoveVerdict {
    /// The caller may.
    Allowed,
    /// The caller does not see the object.
    Invisible,
    /// The caller sees the object, and no policy lets it be changed.
    NotChangeable,
    /// The database refused the change: a policy on the new row, a row at the target, …
    Refused(Error),
}

/// What became of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveOutcome {
    /// The row is at its new place.
    Moved,
    /// The row is not the one that was found any more; it is unchanged.
    Changed,
    /// Another process has taken over the write of the blob.
    TakenOver,
}

/// The source as the service role sees it, and whether it could go where it shall.
const LOOK: &str = "\
    SELECT o.id, o.xmin::text AS state, o.name, o.version, o.metadata, o.user_metadata,
      o.owner_id, o.updated_at,
      EXISTS (SELECT FROM storage.buckets b WHERE b.id = $3) AS bucket_exists,
      EXISTS (SELECT FROM storage.objects t
              WHERE t.bucket_id = $3 AND t.name = $4 AND t.id <> o.id) AS taken
    FROM storage.objects o
    WHERE o.bucket_id = $1 AND o.name = $2 AND current_user = $5";

/// The change that policies judge; it is always rolled back.
const PROBE: &str = "\
    WITH seen AS (
      SELECT id FROM storage.objects WHERE bucket_id = $1 AND name = $2 AND current_user = $8
    ), moved AS (
      UPDATE storage.objects o
      SET bucket_id = $3, name = $4, version = $5,
        owner = COALESCE($6, o.owner), owner_id = COALESCE($7, o.owner_id)
      WHERE o.bucket_id = $1 AND o.name = $2 AND current_user = $8
      RETURNING o.id
    )
    SELECT EXISTS (SELECT FROM seen) AS seen, EXISTS (SELECT FROM moved) AS moved";

/// The reference locks the target's name in the source's bucket; uploads lock the target itself.
const LOCK: &str = "\
    SELECT set_config('lock_timeout', '5000ms', true),
      pg_advisory_xact_lock($1)::text, pg_advisory_xact_lock($2)::text";

/// Moves the row that the blob was copied for, where it is still that row. The bytes are as old as
/// they were, but to those who know the target by its date it is new.
const MOVE: &str = "\
    UPDATE storage.objects o
    SET bucket_id = $3, name = $4, version = $5,
      owner = COALESCE($6, o.owner), owner_id = COALESCE($7, o.owner_id),
      metadata = CASE WHEN jsonb_typeof(o.metadata) = 'object'
        THEN o.metadata || jsonb_build_object('lastModified', $9::text) ELSE o.metadata END
    WHERE o.bucket_id = $1 AND o.name = $2 AND current_user = $8
      AND o.id = $10 AND o.version IS NOT DISTINCT FROM $11
      AND ($12::text IS NULL OR o.xmin::text = $12)
    RETURNING o.id";

impl Catalog {
    /// Asks whether the caller may move an object, in one trip: the row as the service role, then
    /// the change as the caller, then ROLLBACK. The service role itself needs no test. `None`
    /// where there is no such object.
    ///
    /// # Errors
    /// The database's, but for its verdict.
    pub async fn permit_move(
        &self,
        scope: &Scope<'_>,
        request: &MoveRequest<'_>,
    ) -> Result<Option<(MoveSource, MoveVerdict)>, Error> {
        let service = self.as_service(scope);
        let service_role = service.caller.role.as_str();
        let look: [Param<'_>; 5] = [
            (&request.bucket, Type::TEXT),
            (&request.name, Type::TEXT),
            (&request.to_bucket, Type::TEXT),
            (&request.to_name, Type::TEXT),
            (&service_role, Type::TEXT),
        ];
        let (found, verdict) = if scope.caller.is_service {
            (self.read_one(&service, LOOK, &look).await?, None)
        } else {
            let role = scope.caller.role.as_str();
            let owner = owner_uuid(scope);
            let owner_id = scope.caller.subject.as_deref();
            let mut probe = look[..4].to_vec();
            probe.extend::<[Param<'_>; 4]>([
                (&request.version, Type::TEXT),
                (&owner, Type::UUID),
                (&owner_id, Type::TEXT),
                (&role, Type::TEXT),
            ]);
            let (found, probed) = self
                .two_scopes((&service, LOOK, &look), (scope, PROBE, &probe), "ROLLBACK")
                .await?;
            let verdict = match probed {
                Ok(rows) => {
                    let row = rows.first().ok_or(Error::ScopeLost)?;
                    match (row.try_get("seen")?, row.try_get("moved")?) {
                        (_, true) => MoveVerdict::Allowed,
                        (true, false) => MoveVerdict::NotChangeable,
                        (false, false) => MoveVerdict::Invisible,
                    }
                }
                // Not the policies' word: the trip itself failed.
                Err(error @ (Error::Unavailable(_) | Error::TooManyConnections)) => {
                    return Err(error);
                }
                Err(error) => MoveVerdict::Refused(error),
            };
            (found, Some(verdict))
        };
        let Some(row) = found.first() else { return Ok(None) };
        let verdict = match verdict {
            Some(verdict) => verdict,
            // What the database would say once the blob is copied.
            None if !row.try_get::<_, bool>("bucket_exists")? => {
                MoveVerdict::Refused(broken(SqlState::FOREIGN_KEY_VIOLATION))
            }
            None if row.try_get("taken")? => {
                MoveVerdict::Refused(broken(SqlState::UNIQUE_VIOLATION))
            }
            None => MoveVerdict::Allowed,
        };
        let source = MoveSource {
            id: row.try_get("id")?,
            state: row.try_get("state")?,
            row: ObjectRow::from_row(row)?,
        };
        Ok(Some((source, verdict)))
    }

    /// Moves the row: the target's lock, the end of the new blob's note where its store needs one,
    /// an outbox row for the blob that stays behind, the change, in one trip. All of it comes
    /// about, or nothing.
    ///
    /// # Errors
    /// The database's; [`Error::CommitUnknown`] when the connection broke before the answer.
    pub async fn commit_move(
        &self,
        scope: &Scope<'_>,
        request: &MoveRequest<'_>,
        source: &MoveSource,
        pending: Option<PendingWrite<'_>>,
        last_modified: &str,
        grace: Duration,
    ) -> Result<MoveOutcome, Error> {
        self.check_role(scope)?;
        let work = || self.move_in_one_trip(scope, request, source, pending, last_modified, grace);
        self.retrying(work).await
    }

    /// The locks of a move, and the end of its note; a note that is gone divides by zero.
    fn move_opening(&self, noted: bool) -> &'static str {
        if !noted {
            return LOCK;
        }
        own_sql!(
            self.own_schema(),
            "WITH gone AS (DELETE FROM ",
            "pending WHERE blob_key = $3 AND process = $4 RETURNING 1) \
             SELECT set_config('lock_timeout', '5000ms', true), \
             pg_advisory_xact_lock($1)::text, pg_advisory_xact_lock($2)::text, \
             1 / (SELECT count(*) FROM gone)",
        )
    }

    async fn move_in_one_trip(
        &self,
        scope: &Scope<'_>,
        request: &MoveRequest<'_>,
        source: &MoveSource,
        pending: Option<PendingWrite<'_>>,
        last_modified: &str,
        grace: Duration,
    ) -> Result<MoveOutcome, Error> {
        let service = self.as_service(scope);
        let service_role = service.caller.role.as_str();
        let target = object_lock_key(request.to_bucket, request.to_name);
        let beside = object_lock_key(request.bucket, request.to_name);
        // In one order, so that two moves can't wait for each other.
        let (first, second) = (target.min(beside), target.max(beside));
        let grace = grace.as_secs_f64();
        let owner = owner_uuid(scope);
        let owner_id = scope.caller.subject.as_deref();
        let version = source.row.version.as_deref();
        // Policies don't bind the service role: any state of the row is as good.
        let state = (!scope.caller.is_service).then_some(source.state.as_str());
        let mut lock_params: Vec<Param<'_>> = vec![(&first, Type::INT8), (&second, Type::INT8)];
        if let Some(pending) = &pending {
            lock_params.push((&pending.blob, Type::TEXT));
            lock_params.push((&pending.process, Type::UUID));
        }
        let lock_types: Vec<Type> = lock_params.iter().map(|p| p.1.clone()).collect();
        let queue_params: [Param<'_>; 3] =
            [(&request.bucket, Type::TEXT), (&request.name, Type::TEXT), (&grace, Type::FLOAT8)];
        let params: [Param<'_>; 12] = [
            (&request.bucket, Type::TEXT),
            (&request.name, Type::TEXT),
            (&request.to_bucket, Type::TEXT),
            (&request.to_name, Type::TEXT),
            (&request.version, Type::TEXT),
            (&owner, Type::UUID),
            (&owner_id, Type::TEXT),
            (&service_role, Type::TEXT),
            (&last_modified, Type::TEXT),
            (&source.id, Type::UUID),
            (&version, Type::TEXT),
            (&state, Type::TEXT),
        ];
        let types: Vec<Type> = params.iter().map(|p| p.1.clone()).collect();
        let events = Moved::new(self, scope, request, last_modified);
        let nobody = Role::new("");
        let session = self.session().await?;
        let scope_params = self.scope_params(&service);
        let scoped = self.scope_ready(&session, &scope_params).await?;
        let opening = self.move_opening(pending.is_some());
        let lock = session.ready(opening, &nobody, &lock_types).await?;
        let queue_types = [Type::TEXT, Type::TEXT, Type::FLOAT8];
        let queue = session.ready(self.outbox_insert(), &nobody, &queue_types).await?;
        let told = events.ready(&session).await?;
        let change = session.ready(MOVE, &service.caller.role, &types).await?;
        let texts = [Type::TEXT, Type::TEXT, Type::TEXT];
        let check = session.ready(WRITTEN, &service.caller.role, &texts).await?;
        let check_params = [params[2].clone(), params[3].clone(), params[4].clone()];
        let scope_values = scope_params.params();
        let (begin, locked, queued, told, scoped, moved, checked, commit) = futures_util::join!(
            session.simple("BEGIN"),
            session.send(&lock, &lock_params),
            session.send(&queue, &queue_params),
            events.send(&session, told.as_ref()),
            session.send(&scoped, &scope_values),
            session.send(&change, &params),
            session.send(&check, &check_params),
            session.simple("COMMIT"),
        );
        if pending.is_some() && locked.as_ref().is_err_and(divides) {
            return Ok(MoveOutcome::TakenOver);
        }
        let moved = begin.and(locked).and(queued).and(told).and(scoped).and(moved);
        if moved.as_ref().is_ok_and(Vec::is_empty) && checked.as_ref().is_err_and(divides) {
            return Ok(MoveOutcome::Changed);
        }
        match (moved.and(checked), commit) {
            (Err(Error::Unavailable(_)), _) | (Ok(_), Err(Error::Unavailable(_))) => {
                Err(Error::CommitUnknown)
            }
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(_), Ok(())) => Ok(MoveOutcome::Moved),
        }
    }
}

/// The error of a constraint that a change would break.
fn broken(state: SqlState) -> Error {
    Error::Database {
        message: "the change would break a constraint".to_owned(),
        detail: None,
        constraint: None,
        in_user_code: false,
        state,
    }
}
