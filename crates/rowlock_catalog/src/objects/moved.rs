//! The events of a move.

use super::relocate::MoveRequest;
use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::events::EventOrigin;
use crate::scope::Scope;
use crate::session::{Param, Ready, Session};
use rowlock_types::Role;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// That an object went, and that it came: written as the tables' owner, in front of the move, which
/// comes about or takes all with it. Nothing where there is nobody to tell.
pub(super) struct Moved<'a>(Option<Events<'a>>);

struct Events<'a> {
    sql: &'static str,
    request: &'a MoveRequest<'a>,
    last_modified: &'a str,
    removed: Uuid,
    created: Uuid,
    origin: Json<EventOrigin>,
}

impl<'a> Moved<'a> {
    pub(super) fn new(
        catalog: &Catalog,
        scope: &Scope<'_>,
        request: &'a MoveRequest<'a>,
        last_modified: &'a str,
    ) -> Self {
        let sql = own_sql!(
            catalog.own_schema(),
            "INSERT INTO ",
            "events (id, kind, bucket_id, name, version, metadata, origin, old_object) \
             SELECT e.id, e.kind, e.bucket_id, e.name, e.version, \
               CASE jsonb_typeof(o.metadata) WHEN 'object' THEN o.metadata - 'rowlock' || e.changed \
                 ELSE o.metadata END, $9, e.old_object \
             FROM storage.objects o, LATERAL (VALUES \
               ($6::uuid, 'ObjectRemoved:Move', o.bucket_id, o.name, o.version, \
                 '{}'::jsonb, NULL::jsonb), \
               ($7::uuid, 'ObjectCreated:Move', $3::text, $4::text, $5::text, \
                 jsonb_build_object('lastModified', $8::text), \
                 jsonb_build_object('name', o.name, 'bucketId', o.bucket_id, 'version', o.version)) \
             ) AS e (id, kind, bucket_id, name, version, changed, old_object) \
             WHERE o.bucket_id = $1 AND o.name = $2",
        );
        Self(catalog.tells_events().then(|| Events {
            sql,
            request,
            last_modified,
            removed: Uuid::now_v7(),
            created: Uuid::now_v7(),
            origin: Json(EventOrigin::of(scope)),
        }))
    }

    pub(super) async fn ready(&self, session: &Session) -> Result<Option<Ready>, Error> {
        let Some(events) = &self.0 else { return Ok(None) };
        let types: Vec<Type> = events.params().iter().map(|param| param.1.clone()).collect();
        session.ready(events.sql, &Role::new(""), &types).await.map(Some)
    }

    pub(super) async fn send(&self, session: &Session, ready: Option<&Ready>) -> Result<(), Error> {
        match (&self.0, ready) {
            (Some(events), Some(ready)) => session.send(ready, &events.params()).await.map(drop),
            _ => Ok(()),
        }
    }
}

impl Events<'_> {
    fn params(&self) -> [Param<'_>; 9] {
        [
            (&self.request.bucket, Type::TEXT),
            (&self.request.name, Type::TEXT),
            (&self.request.to_bucket, Type::TEXT),
            (&self.request.to_name, Type::TEXT),
            (&self.request.version, Type::TEXT),
            (&self.removed, Type::UUID),
            (&self.created, Type::UUID),
            (&self.last_modified, Type::TEXT),
            (&self.origin, Type::JSONB),
        ]
    }
}
