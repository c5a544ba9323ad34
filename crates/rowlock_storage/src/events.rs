//! Events: what happened to objects is told to whoever the operator named, once it has committed.
//!
//! Deliveries are made beside all other work: no request waits for one, no deletion of a blob, and
//! no database connection is held while a receiver takes its time.

use crate::upload::iso;
use crate::{Error, Storage};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use rand::RngExt;
use rowlock_catalog::EventRow;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Takes events, wherever they go.
pub trait EventSink: std::fmt::Debug + Send + Sync {
    /// Delivers one event, within seconds: `id` is the same each time it is tried, `body` is its
    /// JSON.
    ///
    /// # Errors
    /// Why it has not been taken, in a few words without secrets. It is tried again.
    fn deliver<'a>(&'a self, id: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), String>>;
}

/// Where events go, and how.
#[derive(Debug, Clone)]
pub struct EventSettings {
    /// Who takes them.
    pub sink: Arc<dyn EventSink>,
    /// The region that events name (`SERVER_REGION`).
    pub region: String,
    /// The tenant that events name.
    pub tenant: String,
    /// How many deliveries may be under way.
    pub concurrency: usize,
    /// The pause between two looks for events of other servers, and for those to be tried again.
    pub interval: Duration,
}

/// How long others leave a claimed event alone: longer than any delivery takes.
const LEASE: Duration = Duration::from_secs(12);

/// How often a delivery is repeated before it is given up, as the reference has it.
const RETRIES: i32 = 20;

/// How long what was given up is kept.
const DEAD_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The pause after the database failed.
const DATABASE_PAUSE: Duration = Duration::from_secs(5);

/// How long deliveries under way go on once the server stops.
const LAST_DELIVERIES: Duration = Duration::from_secs(2);

/// Where events go, and a bell for those that wait.
#[derive(Debug)]
pub(crate) struct Events {
    settings: EventSettings,
    wake: Notify,
}

/// A delivery that ended.
type Delivered = (EventRow, Result<(), String>);

/// The deliveries of one server.
struct Deliveries {
    under_way: JoinSet<Delivered>,
    ids: HashSet<Uuid>,
    /// Taken by their receiver; their rows are still there.
    taken: Vec<Uuid>,
}

impl Storage {
    /// Names who is told what happens to objects. The catalog has to write events
    /// ([`rowlock_catalog::CatalogSettings::events`]).
    #[must_use]
    pub fn with_events(mut self, settings: EventSettings) -> Self {
        self.events = Some(Arc::new(Events { settings, wake: Notify::new() }));
        self
    }

    /// Says that there may be something to deliver.
    pub(crate) fn ring(&self) {
        if let Some(events) = &self.events {
            events.wake.notify_one();
        }
    }

    /// Delivers events until the server stops.
    pub(crate) async fn deliver_events(&self, stopping: &AtomicBool) {
        let Some(events) = &self.events else { return };
        let mut deliveries =
            Deliveries { under_way: JoinSet::new(), ids: HashSet::new(), taken: Vec::new() };
        let mut more = true;
        while !stopping.load(Ordering::Relaxed) {
            let mut pause = events.settings.interval;
            let free = events.settings.concurrency.saturating_sub(deliveries.ids.len());
            if more && free > 0 {
                match self.begin_deliveries(events, &mut deliveries, free).await {
                    Ok(full) => more = full,
                    Err(error) => {
                        tracing::warn!(%error, "events are not reachable");
                        (more, pause) = (false, DATABASE_PAUSE);
                    }
                }
            }
            tokio::select! {
                Some(ended) = deliveries.under_way.join_next() => {
                    self.end_deliveries(events, &mut deliveries, ended).await;
                }
                () = events.wake.notified() => more = true,
                () = tokio::time::sleep(pause) => more = true,
            }
        }
        self.leave_deliveries(events, deliveries).await;
    }

    /// Begins with what is due; whether there may be more.
    async fn begin_deliveries(
        &self,
        events: &Arc<Events>,
        deliveries: &mut Deliveries,
        free: usize,
    ) -> Result<bool, Error> {
        let limit = i64::try_from(free).unwrap_or(i64::MAX);
        let rows = self.catalog.claim_events(limit, LEASE).await?;
        let full = rows.len() >= free;
        for row in rows {
            // One whose lease ran out while it is still under way here.
            if !deliveries.ids.insert(row.id) {
                continue;
            }
            let (sink, body) = (Arc::clone(&events.settings.sink), events.settings.body(&row));
            deliveries.under_way.spawn(async move {
                let answer = sink.deliver(&row.id.to_string(), body).await;
                (row, answer)
            });
        }
        Ok(full)
    }

    /// Records what came of a delivery, and of all others that have ended by now.
    async fn end_deliveries(
        &self,
        events: &Events,
        deliveries: &mut Deliveries,
        first: Result<Delivered, tokio::task::JoinError>,
    ) {
        let mut died = false;
        let mut next = Some(first);
        while let Some(ended) = next {
            // A sink that panics has told nothing, and its event comes back when its lease ends.
            if let Ok((row, answer)) = ended {
                deliveries.ids.remove(&row.id);
                match answer {
                    Ok(()) => {
                        events.settings.log(&row);
                        deliveries.taken.push(row.id);
                    }
                    Err(why) => died |= self.postpone(events, &row, &why).await,
                }
            }
            next = deliveries.under_way.try_join_next();
        }
        self.forget_taken(deliveries).await;
        if died && let Ok(dead) = self.catalog.dead_events().await {
            tracing::error!(dead, "events were given up: their receiver never took them");
        }
    }

    /// Puts an event off; whether it was given up.
    async fn postpone(&self, events: &Events, row: &EventRow, why: &str) -> bool {
        let delay = (row.attempts <= RETRIES).then(|| delay(row.attempts));
        let (attempt, seconds) = (row.attempts, delay.map(|delay| delay.as_secs()));
        let line = events.settings.line(row);
        let (id, request) = (&row.id, &row.origin.req_id);
        tracing::warn!(%id, %request, attempt, ?seconds, error = why, "{line} - FAILED");
        if let Err(error) = self.catalog.postpone_event(row.id, delay, why).await {
            tracing::warn!(%error, "an event could not be put off");
        }
        delay.is_none()
    }

    async fn forget_taken(&self, deliveries: &mut Deliveries) {
        if deliveries.taken.is_empty() {
            return;
        }
        match self.catalog.finish_events(&deliveries.taken).await {
            Ok(()) => deliveries.taken.clear(),
            // Tried again with the next ones, before their leases end if all goes well.
            Err(error) => tracing::warn!(%error, "delivered events could not be removed"),
        }
    }

    /// Waits a moment for what is under way, and gives back the rest, for the next server.
    async fn leave_deliveries(&self, events: &Events, mut deliveries: Deliveries) {
        let end = tokio::time::Instant::now() + LAST_DELIVERIES;
        while let Ok(Some(ended)) =
            tokio::time::timeout_at(end, deliveries.under_way.join_next()).await
        {
            self.end_deliveries(events, &mut deliveries, ended).await;
        }
        self.forget_taken(&mut deliveries).await;
        let left: Vec<Uuid> = deliveries.ids.into_iter().collect();
        if !left.is_empty()
            && let Err(error) = self.catalog.release_events(&left).await
        {
            tracing::warn!(%error, "events under way could not be given back");
        }
    }

    /// Forgets what was given up long ago.
    pub(crate) async fn forget_dead_events(&self) {
        if self.events.is_some()
            && let Err(error) = self.catalog.forget_dead_events(DEAD_AGE).await
        {
            tracing::warn!(%error, "old events could not be forgotten");
        }
    }
}

impl EventSettings {
    /// The words that the reference logs.
    fn line(&self, row: &EventRow) -> String {
        format!("[Lifecycle]: {} {}/{}/{}", row.kind, self.tenant, row.bucket, row.name)
    }

    fn log(&self, row: &EventRow) {
        let (id, request, attempt) = (&row.id, &row.origin.req_id, row.attempts);
        tracing::info!(%id, %request, attempt, "{}", self.line(row));
    }

    /// What the receiver gets, as the reference sends it.
    fn body(&self, row: &EventRow) -> Bytes {
        let at = row.created_at.unix_timestamp_nanos() / 1_000_000;
        let mut tenant = json!({ "ref": self.tenant });
        if let Some(host) = &row.origin.host {
            tenant["host"] = host.as_str().into();
        }
        let mut payload = json!({
            "tenant": tenant,
            "name": row.name,
            "version": row.version,
            "bucketId": row.bucket,
            "metadata": row.metadata,
            "reqId": row.origin.req_id,
        });
        if let Some(id) = &row.origin.sb_req_id {
            payload["sbReqId"] = id.as_str().into();
        }
        if row.kind.starts_with("ObjectCreated:") {
            payload["uploadType"] = row.origin.upload_type.as_str().into();
        }
        if let Some(old) = &row.old_object {
            payload["oldObject"] = json!({
                "name": old.name,
                "bucketId": old.bucket_id,
                "reqId": row.origin.req_id,
                "version": old.version,
            });
        }
        let body: Value = json!({
            "type": "Webhook",
            "event": {
                "type": row.kind,
                "region": self.region,
                "$version": "v1",
                "applyTime": i64::try_from(at).unwrap_or_default(),
                "payload": payload,
            },
            "sentAt": iso(OffsetDateTime::now_utc()),
            "tenant": tenant,
        });
        Bytes::from(body.to_string())
    }
}

/// How long to wait after the attempt of this number has failed: twice as long each time, up to
/// 18 hours, and not all at once.
fn delay(attempt: i32) -> Duration {
    let longest = f64::from(1_u32 << attempt.clamp(1, 16));
    Duration::from_secs_f64(longest * rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_catalog::{EventOrigin, OldObject};

    #[derive(Debug)]
    struct Nobody;

    impl EventSink for Nobody {
        fn deliver<'a>(&'a self, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), String>> {
            Box::pin(std::future::ready(Err("nobody is there".into())))
        }
    }

    fn settings() -> EventSettings {
        EventSettings {
            sink: Arc::new(Nobody),
            region: "local".into(),
            tenant: "ten".into(),
            concurrency: 1,
            interval: Duration::from_secs(1),
        }
    }

    fn row(kind: &str) -> EventRow {
        EventRow {
            id: Uuid::nil(),
            kind: kind.into(),
            bucket: "b1".into(),
            name: "f/a.txt".into(),
            version: Some("6bbff1ef-8684-42fb-9429-98cf3bd1fd9d".into()),
            metadata: Some(json!({ "size": 5, "mimetype": "text/plain" })),
            origin: EventOrigin {
                host: None,
                req_id: "req-3".into(),
                sb_req_id: None,
                upload_type: "standard".into(),
            },
            old_object: None,
            created_at: OffsetDateTime::from_unix_timestamp_nanos(1_795_485_842_666_999_999)
                .unwrap(),
            attempts: 1,
        }
    }

    fn told(row: &EventRow) -> Value {
        let mut body: Value = serde_json::from_slice(&settings().body(row)).unwrap();
        let sent = body.as_object_mut().unwrap().remove("sentAt").unwrap();
        assert_eq!(sent.as_str().unwrap().len(), "2026-11-24T02:04:02.667Z".len());
        body
    }

    #[test]
    fn the_payload_is_the_references() {
        let wanted = json!({
            "type": "Webhook",
            "event": {
                "type": "ObjectCreated:Post", "region": "local", "$version": "v1",
                "applyTime": 1_795_485_842_666_i64,
                "payload": {
                    "tenant": { "ref": "ten" }, "name": "f/a.txt",
                    "version": "6bbff1ef-8684-42fb-9429-98cf3bd1fd9d", "bucketId": "b1",
                    "metadata": { "size": 5, "mimetype": "text/plain" },
                    "reqId": "req-3", "uploadType": "standard",
                },
            },
            "tenant": { "ref": "ten" },
        });
        assert_eq!(told(&row("ObjectCreated:Post")), wanted);
    }

    #[test]
    fn what_is_not_known_is_left_out_and_a_move_tells_where_from() {
        let mut moved = row("ObjectCreated:Move");
        moved.origin.host = Some("a.example".into());
        moved.origin.sb_req_id = Some("sb-1".into());
        moved.old_object =
            Some(OldObject { name: "o".into(), bucket_id: "b0".into(), version: None });
        let body = told(&moved);
        assert_eq!(body["tenant"], json!({ "ref": "ten", "host": "a.example" }));
        let payload = &body["event"]["payload"];
        assert_eq!(payload["tenant"], body["tenant"]);
        assert_eq!(payload["sbReqId"], "sb-1");
        let old = json!({ "name": "o", "bucketId": "b0", "reqId": "req-3", "version": null });
        assert_eq!(payload["oldObject"], old);
        let removed = told(&EventRow { metadata: None, ..row("ObjectRemoved:Delete") });
        let payload = removed["event"]["payload"].as_object().unwrap();
        assert!(payload["metadata"].is_null());
        assert!(!payload.contains_key("uploadType") && !payload.contains_key("oldObject"));
    }

    #[test]
    fn pauses_double_and_differ() {
        for (attempt, longest) in [(1, 2.0), (2, 4.0), (16, 65_536.0), (20, 65_536.0)] {
            for _ in 0..100 {
                let seconds = delay(attempt).as_secs_f64();
                assert!((longest / 2.0..=longest).contains(&seconds), "{attempt}: {seconds}");
            }
        }
        assert_ne!(delay(16), delay(16));
    }
}
