//! What a delete's transaction writes down, as the tables' owner, of the rows that are about to go,
//! and takes back of those that stayed.

use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::events::EventOrigin;
use crate::scope::{Scope, ScopeParams};
use crate::session::{Param, Ready, Session};
use rowlock_types::Role;
use std::time::Duration;
use time::OffsetDateTime;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// The blobs of rows of these names, and events where there is somebody to tell. The rows get
/// locked, in name order, so that two overlapping deletes can't deadlock.
pub(super) struct Going<'a> {
    pub(super) sql: &'static str,
    bucket: &'a str,
    names: &'a [&'a str],
    grace: f64,
    until: Option<OffsetDateTime>,
    told: Option<Told>,
}

/// An event's id for each name, and the request that causes them.
struct Told {
    ids: Vec<Uuid>,
    origin: Json<EventOrigin>,
}

impl<'a> Going<'a> {
    /// `until` leaves alone what was written later.
    pub(super) fn new(
        catalog: &Catalog,
        scope: &Scope<'_>,
        bucket: &'a str,
        names: &'a [&'a str],
        grace: Duration,
        until: Option<OffsetDateTime>,
    ) -> Self {
        let quiet = own_sql!(
            catalog.own_schema(),
            "INSERT INTO ",
            "outbox (kind, bucket_id, name, version, due_at) \
             SELECT 'delete_blob', bucket_id, name, version, now() + make_interval(secs => $3) \
             FROM (SELECT bucket_id, name, version FROM storage.objects \
                   WHERE bucket_id = $1 AND name = ANY($2) ORDER BY name COLLATE \"C\" FOR UPDATE) gone \
             RETURNING name",
        );
        // What was overwritten since the look is not locked here, and so not deleted behind it.
        let quiet_until = own_sql!(
            catalog.own_schema(),
            "INSERT INTO ",
            "outbox (kind, bucket_id, name, version, due_at) \
             SELECT 'delete_blob', bucket_id, name, version, now() + make_interval(secs => $3) \
             FROM (SELECT bucket_id, name, version FROM storage.objects \
                   WHERE bucket_id = $1 AND name = ANY($2) \
                     AND coalesce(greatest(created_at, updated_at), '-infinity') <= $4 \
                   ORDER BY name COLLATE \"C\" FOR UPDATE) gone",
        );
        let telling = own_sql!(
            catalog.own_schema(),
            "WITH going AS (SELECT bucket_id, name, version, metadata FROM storage.objects \
               WHERE bucket_id = $1 AND name = ANY($2) AND ($4::timestamptz IS NULL \
                 OR coalesce(greatest(created_at, updated_at), '-infinity') <= $4) \
               ORDER BY name COLLATE \"C\" FOR UPDATE), \
             queued AS (INSERT INTO ",
            "outbox (kind, bucket_id, name, version, due_at) \
               SELECT 'delete_blob', bucket_id, name, version, now() + make_interval(secs => $3) \
               FROM going), \
             told AS (INSERT INTO ",
            "events (id, kind, bucket_id, name, version, metadata, origin) \
               SELECT e.id, 'ObjectRemoved:Delete', g.bucket_id, g.name, g.version, \
                 CASE jsonb_typeof(g.metadata) WHEN 'object' THEN g.metadata - 'rowlock' \
                   ELSE g.metadata END, $6 \
               FROM going g JOIN (SELECT DISTINCT ON (name) name, id \
                   FROM unnest($2::text[], $5::uuid[]) AS named (name, id)) e ON e.name = g.name) \
             SELECT name FROM going",
        );
        let told = catalog.tells_events().then(|| Told {
            ids: names.iter().map(|_| Uuid::now_v7()).collect(),
            origin: Json(EventOrigin::of(scope)),
        });
        let sql = match (&told, until) {
            (Some(_), _) => telling,
            (None, Some(_)) => quiet_until,
            (None, None) => quiet,
        };
        Self { sql, bucket, names, grace: grace.as_secs_f64(), until, told }
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        let mut params: Vec<Param<'_>> = vec![
            (&self.bucket, Type::TEXT),
            (&self.names, Type::TEXT_ARRAY),
            (&self.grace, Type::FLOAT8),
        ];
        if self.told.is_some() || self.until.is_some() {
            params.push((&self.until, Type::TIMESTAMPTZ));
        }
        if let Some(told) = &self.told {
            params.push((&told.ids, Type::UUID_ARRAY));
            params.push((&told.origin, Type::JSONB));
        }
        params
    }

    pub(super) async fn ready(&self, session: &Session) -> Result<Ready, Error> {
        let types: Vec<Type> = self.params().iter().map(|param| param.1.clone()).collect();
        session.ready(self.sql, &Role::new(""), &types).await
    }

    /// What has to be sent behind the delete: see [`Kept`].
    pub(super) async fn kept<'s>(
        &'s self,
        catalog: &Catalog,
        session: &Session,
        scope_params: &'s ScopeParams<'_>,
    ) -> Result<Kept<'s>, Error> {
        let Some(told) = &self.told else { return Ok(Kept(None)) };
        let sql = own_sql!(
            catalog.own_schema(),
            "DELETE FROM ",
            "events e USING storage.objects o \
             WHERE e.id = ANY($1) AND o.bucket_id = e.bucket_id AND o.name = e.name",
        );
        let back = session.ready(sql, &Role::new(""), &[Type::UUID_ARRAY]).await?;
        let scoped = catalog.scope_ready(session, scope_params).await?;
        Ok(Kept(Some(KeptSteps { back, scoped, ids: &told.ids, scope_params })))
    }
}

/// Takes back the events of rows that are still there: policies and triggers may keep any row, and
/// only the rows themselves tell which. As the tables' owner, and then in the scope again, in which
/// deferred triggers run.
pub(super) struct Kept<'s>(Option<KeptSteps<'s>>);

struct KeptSteps<'s> {
    back: Ready,
    scoped: Ready,
    ids: &'s Vec<Uuid>,
    scope_params: &'s ScopeParams<'s>,
}

impl Kept<'_> {
    pub(super) async fn send(&self, session: &Session) -> Result<(), Error> {
        let Some(steps) = &self.0 else { return Ok(()) };
        let ids: [Param<'_>; 1] = [(steps.ids, Type::UUID_ARRAY)];
        let scope_values = steps.scope_params.params();
        let (reset, back, scoped) = futures_util::join!(
            session.simple("SET LOCAL ROLE NONE"),
            session.send(&steps.back, &ids),
            session.send(&steps.scoped, &scope_values),
        );
        reset?;
        back?;
        scoped.map(drop)
    }
}
