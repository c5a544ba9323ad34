//! What an upload's transaction writes down, as the tables' owner, in front of the object's row.

use super::CommitRequest;
use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::events::{EventOrigin, copies};
use crate::scope::Scope;
use crate::session::{Param, Ready, Session};
use rowlock_types::{ObjectMetadata, Role};
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// The blob that is replaced, whose row gets locked, and the event where there is somebody to tell.
/// Whoever sends them has to see to it that nothing is committed unless the row is written.
pub(super) struct Notes<'a> {
    pub(super) sql: &'static str,
    bucket: &'a str,
    name: &'a str,
    grace: f64,
    event: Option<Event<'a>>,
}

struct Event<'a> {
    id: Uuid,
    copies: bool,
    version: &'a str,
    metadata: Json<ObjectMetadata>,
    origin: Json<EventOrigin>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(catalog: &Catalog, scope: &Scope<'_>, request: &CommitRequest<'a>) -> Self {
        // A row that is there makes it a Put: whoever must not replace it fails at the write.
        let told = own_sql!(
            catalog.own_schema(),
            "WITH gone AS (INSERT INTO ",
            "outbox (kind, bucket_id, name, version, due_at) \
               SELECT 'delete_blob', bucket_id, name, version, now() + make_interval(secs => $3) \
               FROM storage.objects WHERE bucket_id = $1 AND name = $2 FOR UPDATE RETURNING 1) \
             INSERT INTO ",
            "events (id, kind, bucket_id, name, version, metadata, origin) \
             SELECT $4, CASE WHEN $5 THEN 'ObjectCreated:Copy' \
                 WHEN EXISTS (SELECT FROM gone) THEN 'ObjectCreated:Put' \
                 ELSE 'ObjectCreated:Post' END, $1, $2, $6, $7, $8",
        );
        let event = catalog.tells_events().then(|| Event {
            id: Uuid::now_v7(),
            copies: copies(scope.operation),
            version: request.version,
            metadata: Json(ObjectMetadata { rowlock: None, ..request.metadata.clone() }),
            origin: Json(EventOrigin::of(scope)),
        });
        Self {
            sql: if event.is_some() { told } else { catalog.outbox_insert() },
            bucket: request.bucket,
            name: request.name,
            grace: request.grace.as_secs_f64(),
            event,
        }
    }

    /// Whether there is an event among them.
    pub(super) fn tell(&self) -> bool {
        self.event.is_some()
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        let mut params: Vec<Param<'_>> =
            vec![(&self.bucket, Type::TEXT), (&self.name, Type::TEXT), (&self.grace, Type::FLOAT8)];
        if let Some(event) = &self.event {
            params.push((&event.id, Type::UUID));
            params.push((&event.copies, Type::BOOL));
            params.push((&event.version, Type::TEXT));
            params.push((&event.metadata, Type::JSONB));
            params.push((&event.origin, Type::JSONB));
        }
        params
    }

    pub(super) async fn ready(&self, session: &Session) -> Result<Ready, Error> {
        let types: Vec<Type> = self.params().iter().map(|param| param.1.clone()).collect();
        session.ready(self.sql, &Role::new(""), &types).await
    }

    /// For writes that replace nothing: `None` where there is nobody to tell.
    pub(super) async fn ready_to_tell(&self, session: &Session) -> Result<Option<Ready>, Error> {
        if self.tell() { self.ready(session).await.map(Some) } else { Ok(None) }
    }

    pub(super) async fn send(&self, session: &Session, ready: Option<&Ready>) -> Result<(), Error> {
        match ready {
            Some(ready) => session.send(ready, &self.params()).await.map(drop),
            None => Ok(()),
        }
    }
}
