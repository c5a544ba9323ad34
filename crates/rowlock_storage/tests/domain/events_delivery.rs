//! The delivery of events: each gets there, under one id, whatever their receiver does meanwhile.

use crate::events::telling;
use crate::support::{Rig, eventually, key, service};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rowlock_storage::{EventSettings, EventSink, Storage};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Refuses the first so many deliveries, and remembers all of them.
#[derive(Debug, Default)]
struct Receiver {
    refuse: AtomicUsize,
    /// Never answers.
    hangs: bool,
    got: Mutex<Vec<(String, String, bool)>>,
}

impl EventSink for Receiver {
    fn deliver<'a>(&'a self, id: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), String>> {
        let left = self.refuse.load(Ordering::SeqCst);
        let taken = left == 0;
        self.refuse.store(left.saturating_sub(1), Ordering::SeqCst);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let payload = &body["event"]["payload"];
        let name = format!(
            "{} {}",
            body["event"]["type"].as_str().unwrap(),
            payload["name"].as_str().unwrap()
        );
        self.got.lock().push((id.to_owned(), name, taken));
        let hangs = self.hangs;
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            if taken { Ok(()) } else { Err("status 500".into()) }
        }
        .boxed()
    }
}

fn with(storage: &Storage, receiver: &Arc<Receiver>) -> Storage {
    let sink: Arc<dyn EventSink> = Arc::<Receiver>::clone(receiver);
    storage.clone().with_events(EventSettings {
        sink,
        region: "local".into(),
        tenant: "ten".into(),
        concurrency: 3,
        interval: Duration::from_millis(50),
    })
}

async fn waiting(rig: &Rig, condition: &str) -> usize {
    let table = rig.own_table("events");
    let query = format!("SELECT count(*)::text FROM {table} WHERE {condition}");
    rig.text(&query).await.parse().unwrap()
}

/// Runs a server's worker until `done` says so; whether it did.
async fn work<F: Future<Output = bool>>(storage: Storage, done: impl Fn() -> F) -> bool {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(storage.run_worker(async {
        let _ = stopped.await;
    }));
    let held = eventually(done).await;
    let _ = stop.send(());
    worker.await.unwrap();
    held
}

async fn put(rig: &Rig, count: usize) {
    let bucket = rig.bucket("b").await;
    for i in 0..count {
        rig.put(&service(), &bucket, &format!("k{i:03}"), b"x").await.unwrap();
    }
}

#[tokio::test]
async fn what_is_refused_comes_again_under_the_same_id() {
    let rig = telling().await;
    put(&rig, 8).await;
    let receiver = Arc::new(Receiver { refuse: AtomicUsize::new(2), ..Receiver::default() });
    let table = rig.own_table("events");
    let hurry = format!("UPDATE {table} SET due_at = now() WHERE last_error = 'status 500'");
    let done = || async {
        rig.sql(&hurry).await;
        waiting(&rig, "true").await == 0
    };
    assert!(work(with(&rig.storage, &receiver), done).await);
    let got = receiver.got.lock().clone();
    let (refused, taken): (Vec<_>, Vec<_>) = got.into_iter().partition(|(_, _, taken)| !taken);
    assert_eq!(refused.len(), 2);
    assert_eq!(taken.len(), 8, "none is told again once it was taken");
    let ids: BTreeSet<_> = taken.iter().map(|(id, name, _)| (id, name)).collect();
    assert_eq!(ids.len(), 8);
    assert!(refused.iter().all(|(id, name, _)| ids.contains(&(id, name))), "{refused:?}");
}

#[tokio::test]
async fn what_nobody_takes_is_given_up_and_kept() {
    let rig = telling().await;
    put(&rig, 1).await;
    let refuse = AtomicUsize::new(usize::MAX);
    let receiver = Arc::new(Receiver { refuse, ..Receiver::default() });
    let table = rig.own_table("events");
    let hurry = format!("UPDATE {table} SET due_at = now() WHERE last_error IS NOT NULL");
    let given_up = || async {
        rig.sql(&hurry).await;
        waiting(&rig, "dead_at IS NOT NULL AND last_error = 'status 500'").await == 1
    };
    assert!(work(with(&rig.storage, &receiver), given_up).await);
    // The first attempt, and twenty repetitions.
    assert_eq!(receiver.got.lock().len(), 21);
    assert_eq!(rig.catalog.dead_events().await.unwrap(), 1);
    rig.catalog.forget_dead_events(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(waiting(&rig, "true").await, 1);
    rig.sql(&format!("UPDATE {table} SET dead_at = now() - interval '31 days'")).await;
    rig.catalog.forget_dead_events(Duration::from_secs(30 * 86_400)).await.unwrap();
    assert_eq!(waiting(&rig, "true").await, 0);
}

#[tokio::test]
async fn servers_share_the_work_and_tell_nothing_twice() {
    let rig = telling().await;
    put(&rig, 40).await;
    let receiver = Arc::new(Receiver::default());
    let (first, second) = (with(&rig.storage, &receiver), with(&rig.storage, &receiver));
    let done = || async { waiting(&rig, "true").await == 0 };
    let (one, two) = tokio::join!(work(first, done), work(second, done));
    assert!(one && two);
    let got = receiver.got.lock();
    let ids: BTreeSet<_> = got.iter().map(|(id, ..)| id).collect();
    assert_eq!((got.len(), ids.len()), (40, 40));
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_nothing_and_a_stop_gives_its_events_back() {
    let rig = telling().await;
    put(&rig, 5).await;
    let receiver = Arc::new(Receiver { hangs: true, ..Receiver::default() });
    let storage = with(&rig.storage, &receiver);
    // Uploads, deletions and the blobs' own work go on.
    let bucket = rig.bucket("c").await;
    let goes_on = async {
        assert!(eventually(|| async { receiver.got.lock().len() == 3 }).await);
        rig.put(&service(), &bucket, "x", b"x").await.unwrap();
        rig.storage.delete_object(&service(), &bucket, &key("x")).await.unwrap();
        eventually(|| async { rig.blob_files(&bucket).is_empty() }).await
    };
    let ended = std::sync::atomic::AtomicBool::new(false);
    let watched = async {
        let went = goes_on.await;
        ended.store(true, Ordering::SeqCst);
        went
    };
    let done = || async { ended.load(Ordering::SeqCst) };
    let (held, went) = tokio::join!(work(storage, done), watched);
    assert!(held && went);
    assert_eq!(receiver.got.lock().len(), 3, "no more at a time than was allowed");
    let left = waiting(&rig, "due_at <= now() AND attempts = 0").await;
    assert_eq!(left, waiting(&rig, "true").await, "the next server has them at once");
    let healthy = Arc::new(Receiver::default());
    let done = || async { waiting(&rig, "true").await == 0 };
    assert!(work(with(&rig.storage, &healthy), done).await);
    assert_eq!(healthy.got.lock().len(), left);
}

#[tokio::test]
async fn what_a_dead_server_had_claimed_is_told_by_another() {
    let rig = telling().await;
    put(&rig, 3).await;
    let claimed = rig.catalog.claim_events(2, Duration::from_millis(300)).await.unwrap();
    assert_eq!(claimed.len(), 2);
    assert_eq!(rig.catalog.claim_events(9, Duration::ZERO).await.unwrap().len(), 1);
    let receiver = Arc::new(Receiver::default());
    let done = || async { waiting(&rig, "true").await == 0 };
    assert!(work(with(&rig.storage, &receiver), done).await);
    let got = receiver.got.lock();
    assert_eq!(got.len(), 3);
    assert!(claimed.iter().all(|row| got.iter().any(|(id, ..)| *id == row.id.to_string())));
}
