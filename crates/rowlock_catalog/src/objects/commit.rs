use super::full::FullRow;
use super::notes::Notes;
use super::opening::{Check, Opening, WRITTEN, divides, is_taken_over, wrote_nothing};
use super::permit::{PROBE, owner_uuid};
use super::write::{INSERT, INSERT_ROW, UPSERT, UPSERT_EXPECTED, UPSERT_EXPECTED_ROW, UPSERT_ROW};
use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::multipart::{EndedUpload, Ending, EndingValues};
use crate::pending::PendingWrite;
use crate::resumable::HeldResumable;
use crate::scope::Scope;
use crate::session::Param;
use crate::transaction::{Step, Transaction};
use rowlock_types::{ObjectMetadata, Role, UserMetadataJson};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// A complete blob that waits for its row.
#[derive(Debug, Clone)]
pub struct CommitRequest<'a> {
    /// The bucket's id.
    pub bucket: &'a str,
    /// The full key.
    pub name: &'a str,
    /// The new blob's version.
    pub version: &'a str,
    /// The whole metadata.
    pub metadata: &'a ObjectMetadata,
    /// The user metadata.
    pub user_metadata: &'a dyn UserMetadataJson,
    /// What the permit found under the key. Another row there now means that the policies have to
    /// be asked again.
    pub expected: &'a ExpectedRow,
    /// A condition of the client's.
    pub condition: &'a RowCondition,
    /// How long the replaced blob stays.
    pub grace: Duration,
    /// A multipart upload that this write completes: its row goes in the same transaction.
    pub completes: Option<CompletedUpload<'a>>,
    /// The write's note in the ledger, where its store needs one; it goes in the same transaction.
    pub pending: Option<PendingWrite<'a>>,
    /// The turn of the resumable upload that this write completes, which is marked as completed in
    /// the same transaction. It has no note in the ledger.
    pub resumable: Option<HeldResumable>,
    /// Whether the row that is written is wanted, not its id alone.
    pub whole: bool,
}

/// The upload that a Complete ends, and the parts that its blob was joined from.
#[derive(Debug, Clone, Copy)]
pub struct CompletedUpload<'a> {
    /// The upload's id.
    pub upload_id: &'a str,
    /// Part numbers and entity tags without quotes, as they were read before the join.
    pub parts: &'a [(i32, String)],
}

/// The row that the permit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedRow {
    /// None.
    Absent,
    /// This one.
    Present {
        /// `objects.id`.
        id: Uuid,
        /// `xmin`, the transaction that wrote it last: policies may look at any column, so any
        /// change makes it another row to them.
        state: String,
    },
}

/// A condition on the row that is there when the write is committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RowCondition {
    /// Any row, or none.
    #[default]
    None,
    /// No row.
    Absent,
    /// A row with one of these entity tags (quoted).
    Matches(Vec<String>),
}

/// What became of a commit.
#[derive(Debug, Clone)]
pub enum CommitOutcome {
    /// The row of this id points at the new blob.
    Committed(Uuid),
    /// This row does, where the whole row was wanted; where others wrote meanwhile, its id comes
    /// alone.
    Row(Box<FullRow>),
    /// The condition does not hold; nothing was changed.
    ConditionFailed,
    /// The condition asks for a row, and there is none; nothing was changed.
    NoRow,
    /// The multipart upload is no longer there; nothing was changed.
    UploadGone,
    /// The multipart upload's part of this number is not the one that was joined; nothing was
    /// changed.
    PartChanged(i32),
    /// The write's note in the ledger is gone, or the turn of its resumable upload over: another
    /// process took this one for dead, and may have removed the blob; nothing was changed.
    TakenOver,
}

/// How often policies are asked anew while writers that take no lock change the row.
const ATTEMPTS: u32 = 5;

/// What a row that was written comes to.
fn committed(row: &Row, request: &CommitRequest<'_>) -> Result<CommitOutcome, Error> {
    Ok(if request.whole {
        CommitOutcome::Row(Box::new(FullRow::from_row(row)?))
    } else {
        CommitOutcome::Committed(row.try_get(0)?)
    })
}

/// What a trip that ends in COMMIT came to. Where the connection broke, nobody knows.
fn settled(written: Result<Vec<Row>, Error>, commit: Result<(), Error>) -> Result<Vec<Row>, Error> {
    match (written, commit) {
        (Err(Error::Unavailable(_)), _) | (Ok(_), Err(Error::Unavailable(_))) => {
            Err(Error::CommitUnknown)
        }
        (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        (Ok(rows), Ok(())) => Ok(rows),
    }
}

/// The values of a final write, kept alive while it is sent.
struct Values<'a> {
    request: &'a CommitRequest<'a>,
    owner: Option<Uuid>,
    owner_id: Option<&'a str>,
    metadata: Json<&'a ObjectMetadata>,
    user_metadata: Json<serde_json::Value>,
    role: &'a str,
    expected_id: Option<Uuid>,
    expected_state: Option<&'a str>,
}

impl<'a> Values<'a> {
    fn new(
        scope: &Scope<'a>,
        role: &'a Role,
        request: &'a CommitRequest<'a>,
        expected: &'a ExpectedRow,
    ) -> Self {
        let (expected_id, expected_state) = match expected {
            ExpectedRow::Absent => (None, None),
            ExpectedRow::Present { id, state } => (Some(*id), Some(state.as_str())),
        };
        Self {
            request,
            owner: owner_uuid(scope),
            owner_id: scope.caller.subject.as_deref(),
            metadata: Json(request.metadata),
            user_metadata: Json(request.user_metadata.to_json()),
            role: role.as_str(),
            expected_id,
            expected_state,
        }
    }

    fn params(&self, expecting: bool) -> Vec<Param<'_>> {
        let mut params: Vec<Param<'_>> = vec![
            (&self.request.bucket, Type::TEXT),
            (&self.request.name, Type::TEXT),
            (&self.owner, Type::UUID),
            (&self.owner_id, Type::TEXT),
            (&self.request.version, Type::TEXT),
            (&self.metadata, Type::JSONB),
            (&self.user_metadata, Type::JSONB),
            (&self.role, Type::TEXT),
        ];
        if expecting {
            params.push((&self.expected_id, Type::UUID));
            params.push((&self.expected_state, Type::TEXT));
        }
        params
    }
}

impl Catalog {
    /// Commits an upload: the object's lock, an outbox row for the blob that goes, the row.
    /// One trip where nothing stands in the way.
    ///
    /// # Errors
    /// The database's; [`Error::CommitUnknown`] when the connection broke before the answer.
    pub async fn commit_upload(
        &self,
        scope: &Scope<'_>,
        request: &CommitRequest<'_>,
    ) -> Result<CommitOutcome, Error> {
        match self.commit_somehow(scope, request).await {
            Err(error) if is_taken_over(&error, request) => Ok(CommitOutcome::TakenOver),
            other => other,
        }
    }

    async fn commit_somehow(
        &self,
        scope: &Scope<'_>,
        request: &CommitRequest<'_>,
    ) -> Result<CommitOutcome, Error> {
        self.check_role(scope)?;
        let quick = request.completes.is_none();
        if quick && *request.condition == RowCondition::Absent {
            return self.retrying(|| self.create_in_one_trip(scope, request)).await;
        }
        if quick
            && *request.condition == RowCondition::None
            && let Some(done) = self.retrying(|| self.commit_in_one_trip(scope, request)).await?
        {
            return Ok(done);
        }
        for _ in 0..ATTEMPTS {
            let done = self.retrying(|| self.commit_step_by_step(scope, request)).await?;
            if let Some(outcome) = done {
                return Ok(outcome);
            }
        }
        Err(Error::Row("an object's row changes faster than policies can be asked".into()))
    }

    /// Writes down the blob of one row, and locks the row.
    pub(super) fn outbox_insert(&self) -> &'static str {
        own_sql!(
            self.own_schema(),
            "INSERT INTO ",
            "outbox (kind, bucket_id, name, version, due_at) \
             SELECT 'delete_blob', bucket_id, name, version, now() + make_interval(secs => $3) \
             FROM storage.objects WHERE bucket_id = $1 AND name = $2 FOR UPDATE \
             RETURNING name, version",
        )
    }

    /// Creates a row, and replaces none: of two writers that overlap, one finds the other's row.
    async fn create_in_one_trip(
        &self,
        scope: &Scope<'_>,
        request: &CommitRequest<'_>,
    ) -> Result<CommitOutcome, Error> {
        let service = self.as_service(scope);
        let opening = Opening::new(self, request);
        let notes = Notes::new(self, scope, request);
        let values = Values::new(scope, &service.caller.role, request, request.expected);
        let params = values.params(false);
        let types: Vec<Type> = params.iter().map(|p| p.1.clone()).collect();

        let session = self.session().await?;
        let scope_params = self.scope_params(&service);
        let scoped = self.scope_ready(&session, &scope_params).await?;
        let lock = opening.ready(&session).await?;
        let sql = if request.whole { INSERT_ROW } else { INSERT };
        let insert = session.ready(sql, &service.caller.role, &types).await?;
        let told = notes.ready_to_tell(&session).await?;
        let check = Check::ready(&session, &service.caller.role, request, notes.tell()).await?;
        let scope_values = scope_params.params();
        let lock_params = opening.params();
        let (begin, locked, told, scoped, written, checked, commit) = futures_util::join!(
            session.simple("BEGIN"),
            session.send(&lock, &lock_params),
            notes.send(&session, told.as_ref()),
            session.send(&scoped, &scope_values),
            session.send(&insert, &params),
            check.send(&session),
            session.simple("COMMIT"),
        );
        let written: Result<Vec<Row>, Error> = begin.and(locked).and(told).and(scoped).and(written);
        if wrote_nothing(&written, &checked) {
            // A trigger let no row through.
            return Err(Error::ScopeLost);
        }
        let written = written.and_then(|rows| checked.map(|()| rows));
        match settled(written, commit) {
            Err(error) if error.is(&SqlState::UNIQUE_VIOLATION) => {
                Ok(CommitOutcome::ConditionFailed)
            }
            Err(error) => Err(error),
            Ok(rows) => match rows.first() {
                Some(row) => committed(row, request),
                None => Err(Error::ScopeLost),
            },
        }
    }

    /// `None` when another row than the permit's lies under the key now.
    async fn commit_in_one_trip(
        &self,
        scope: &Scope<'_>,
        request: &CommitRequest<'_>,
    ) -> Result<Option<CommitOutcome>, Error> {
        let service = self.as_service(scope);
        let opening = Opening::new(self, request);
        let notes = Notes::new(self, scope, request);
        let note_params = notes.params();
        let values = Values::new(scope, &service.caller.role, request, request.expected);
        // Policies don't bind the service role: whatever lies there now, it may replace it.
        let expecting = !scope.caller.is_service;
        let params = values.params(expecting);
        let types: Vec<Type> = params.iter().map(|p| p.1.clone()).collect();

        let session = self.session().await?;
        let scope_params = self.scope_params(&service);
        let scoped = self.scope_ready(&session, &scope_params).await?;
        let lock = opening.ready(&session).await?;
        let noted = notes.ready(&session).await?;
        let sql = match (expecting, request.whole) {
            (true, false) => UPSERT_EXPECTED,
            (false, false) => UPSERT,
            (true, true) => UPSERT_EXPECTED_ROW,
            (false, true) => UPSERT_ROW,
        };
        let upsert = session.ready(sql, &service.caller.role, &types).await?;
        // A note that this trip ended would be missing to the next one.
        let check = Check::ready(&session, &service.caller.role, request, notes.tell()).await?;
        let scope_values = scope_params.params();
        let lock_params = opening.params();
        let (begin, locked, queued, scoped, written, checked, commit) = futures_util::join!(
            session.simple("BEGIN"),
            session.send(&lock, &lock_params),
            session.send(&noted, &note_params),
            session.send(&scoped, &scope_values),
            session.send(&upsert, &params),
            check.send(&session),
            session.simple("COMMIT"),
        );
        let written: Result<Vec<Row>, Error> =
            begin.and(locked).and(queued).and(scoped).and(written);
        if wrote_nothing(&written, &checked) {
            // A trigger let no row through, where no other one can be in the way.
            return if expecting { Ok(None) } else { Err(Error::ScopeLost) };
        }
        let written = written.and_then(|rows| checked.map(|()| rows));
        match settled(written, commit)?.first() {
            Some(row) => Ok(Some(committed(row, request)?)),
            None if expecting => Ok(None),
            None => Err(Error::ScopeLost),
        }
    }

    /// The way with decisions between the steps: conditions, a row that changed since the permit,
    /// a multipart upload to end. `None` when the row changed once more meanwhile.
    async fn commit_step_by_step(
        &self,
        scope: &Scope<'_>,
        request: &CommitRequest<'_>,
    ) -> Result<Option<CommitOutcome>, Error> {
        const EXISTING: &str = "\
            SELECT id, xmin::text AS state, metadata->>'eTag' AS etag FROM storage.objects
            WHERE bucket_id = $1 AND name = $2";
        let service = self.as_service(scope);
        let owner = Role::new("");
        let address: [Param<'_>; 2] = [(&request.bucket, Type::TEXT), (&request.name, Type::TEXT)];
        let opening = Opening::new(self, request);
        let notes = Notes::new(self, scope, request);
        let note_params = notes.params();
        let opening_params = opening.params();
        let ending_values = request.completes.as_ref().map(|u| EndingValues::new(u, request));
        let ending = request.completes.as_ref().zip(ending_values.as_ref());
        let ending = ending.map(|(u, values)| Ending::new(self.own_schema(), u, request, values));
        // What is decided on is asked in one trip, and taken back where the answers do not fit.
        let mut steps = vec![Step::Query(&owner, opening.sql, &opening_params)];
        steps.extend(ending.iter().flat_map(Ending::steps));
        steps.push(Step::Query(&owner, notes.sql, &note_params));
        steps.push(Step::Query(&owner, EXISTING, &address));
        let (tx, answers) = Transaction::begin_with(self, &steps).await?;
        if ending.is_some() {
            let outcome = match Ending::judge(answers.get(1..).unwrap_or_default())? {
                EndedUpload::Yes => None,
                EndedUpload::Gone => Some(CommitOutcome::UploadGone),
                EndedUpload::PartChanged(number) => Some(CommitOutcome::PartChanged(number)),
            };
            if outcome.is_some() {
                tx.rollback().await?;
                return Ok(outcome);
            }
        }
        let rows = answers.last().map(Vec::as_slice).unwrap_or_default();
        let existing = match rows.first() {
            Some(row) => {
                ExpectedRow::Present { id: row.try_get("id")?, state: row.try_get("state")? }
            }
            None => ExpectedRow::Absent,
        };
        let etag: Option<String> = match rows.first() {
            Some(row) => row.try_get("etag")?,
            None => None,
        };
        let holds = match request.condition {
            RowCondition::None => true,
            RowCondition::Absent => rows.is_empty(),
            RowCondition::Matches(tags) => etag.is_some_and(|etag| tags.contains(&etag)),
        };
        if !holds {
            tx.rollback().await?;
            let asks_for_a_row = matches!(request.condition, RowCondition::Matches(_));
            return Ok(Some(if asks_for_a_row && rows.is_empty() {
                CommitOutcome::NoRow
            } else {
                CommitOutcome::ConditionFailed
            }));
        }
        if !scope.caller.is_service && existing != *request.expected {
            // Somebody else's row came in between: ask the policies about this one.
            let values = Values::new(scope, &scope.caller.role, request, &existing);
            let mut probe = values.params(false);
            probe.remove(4);
            let answers = tx
                .together(&[
                    Step::Plain("SAVEPOINT permit"),
                    Step::Scope(scope),
                    Step::Query(&scope.caller.role, PROBE, &probe),
                    Step::Plain("ROLLBACK TO SAVEPOINT permit"),
                ])
                .await?;
            if answers.get(2).is_none_or(Vec::is_empty) {
                return Err(Error::ScopeLost);
            }
        }
        let values = Values::new(scope, &service.caller.role, request, &existing);
        let absent = *request.condition == RowCondition::Absent;
        let expecting = !scope.caller.is_service && !absent;
        let params = values.params(expecting);
        let role = &service.caller.role;
        let written = if expecting {
            // A writer that does not take the object's lock may change the row even now.
            let steps = [Step::Scope(&service), Step::Query(role, UPSERT_EXPECTED, &params)];
            let written = tx.together(&steps).await?;
            if written.get(1).is_none_or(Vec::is_empty) {
                tx.rollback().await?;
                return Ok(None);
            }
            tx.commit().await?;
            written
        } else {
            let sql = if absent { INSERT } else { UPSERT };
            let check = [params[0].clone(), params[1].clone(), params[4].clone()];
            let steps = [
                Step::Scope(&service),
                Step::Query(role, sql, &params),
                Step::Query(role, WRITTEN, &check),
            ];
            match tx.commit_with(&steps).await {
                // A trigger let no row through: nothing else may be committed either.
                Err(error) if divides(&error) => return Err(Error::ScopeLost),
                // A writer that does not take the object's lock was faster.
                Err(error) if absent && error.is(&SqlState::UNIQUE_VIOLATION) => {
                    return Ok(Some(CommitOutcome::ConditionFailed));
                }
                written => written?,
            }
        };
        let row = written.get(1).and_then(|rows| rows.first()).ok_or(Error::ScopeLost)?;
        Ok(Some(CommitOutcome::Committed(row.try_get(0)?)))
    }

    /// The id of the row if it points at this version now: the answer when a COMMIT's outcome is
    /// unknown.
    ///
    /// # Errors
    /// The database's: then it is still unknown.
    pub async fn committed_id(
        &self,
        bucket: &str,
        name: &str,
        version: &str,
    ) -> Result<Option<Uuid>, Error> {
        const SQL: &str = "\
            SELECT id FROM storage.objects
            WHERE bucket_id = $1 AND name = $2 AND version = $3 AND current_user = $4";
        let scope = self.service_scope(rowlock_types::Operation::None);
        let role = scope.caller.role.as_str();
        let params: [Param<'_>; 4] = [
            (&bucket, Type::TEXT),
            (&name, Type::TEXT),
            (&version, Type::TEXT),
            (&role, Type::TEXT),
        ];
        let rows = self.read_one(&scope, SQL, &params).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }
}
