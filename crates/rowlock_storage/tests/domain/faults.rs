//! Clients that go away and databases that die: nothing acknowledged is lost, nothing is left over.

use crate::multipart;
use crate::policies::assert_clean;
use crate::support::{
    ALICE, Plan, Rig, body, eventually, key, name_of, new_object, service, slow_body, user,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rowlock_catalog::testing::{TestServer, World};
use rowlock_storage::{Context, Expected, ListQuery};
use rowlock_types::BucketName;
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Polls a future so many times, and drops it then: as hyper drops a handler whose client left.
async fn polled<T>(times: u32, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = times;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

async fn everything(rig: &Rig, ctx: &Context, bucket: &BucketName, name: &str, at: u32) {
    let storage = &rig.storage;
    match at % 6 {
        0 | 1 => {
            let _ = rig.put(ctx, bucket, name, name.as_bytes()).await;
        }
        2 => {
            let _ = multipart::upload(rig, ctx, bucket, name, name.as_bytes()).await;
        }
        3 => {
            let _ = storage.delete_object(ctx, bucket, &key("shared")).await;
            let _ = rig.put(ctx, bucket, "shared", name.as_bytes()).await;
        }
        4 => {
            let _ = storage.create_multipart(ctx, new_object(bucket, name, 1)).await;
        }
        _ => {
            let query = ListQuery {
                bucket: bucket.clone(),
                prefix: String::new(),
                delimiter: "/".into(),
                after: String::new(),
                max_keys: 10,
            };
            let _ = storage.list_objects(ctx, &query).await;
            let _ = rig.get(ctx, bucket, "shared").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_leave_at_any_point_leave_nothing() {
    let rig = Arc::new(Rig::with(Plan { connections: 6, ..Plan::default() }).await);
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let mut dropped = 0;
    for batch in 0..60_u32 {
        let tasks: Vec<_> = (0..6_u32)
            .map(|i| {
                let (rig, bucket) = (Arc::clone(&rig), bucket.clone());
                let number = batch * 6 + i;
                tokio::spawn(async move {
                    let ctx = if number % 2 == 0 { service() } else { user(ALICE) };
                    let name = format!("k/{number}");
                    let work = everything(&rig, &ctx, &bucket, &name, number);
                    polled(1 + (number * 7) % 11, work).await.is_none()
                })
            })
            .collect();
        for task in tasks {
            dropped += u32::from(task.await.unwrap());
        }
    }
    assert!(dropped > 100, "too few were dropped: {dropped}");
    assert_clean(&rig).await;

    // What was under way ends by itself; the worker removes what became of nothing.
    let clean = || async { rig.blob_files(&bucket) == rig.row_files(&bucket).await };
    rig.work_until("one blob for each row", clean).await;
    let uploads: BTreeSet<String> =
        rig.texts("SELECT id FROM storage.s3_multipart_uploads").await.into_iter().collect();
    let strays = || async {
        rig.files()
            .iter()
            .filter(|path| !path.starts_with("stub/ten"))
            .filter(|path| {
                let id = path.iter().nth(1).unwrap().to_str().unwrap();
                !path.starts_with("multiparts") || !uploads.contains(id)
            })
            .cloned()
            .collect::<Vec<_>>()
    };
    let none = || async { strays().await.is_empty() };
    rig.work_until("no stray files", none).await;
    for name in rig.texts("SELECT name FROM storage.objects WHERE name <> 'shared'").await {
        assert_eq!(rig.get(&service(), &bucket, &name).await.unwrap(), name.as_bytes());
    }
    assert_clean(&rig).await;
    let locks = "SELECT count(*)::text FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE l.locktype = 'advisory' AND d.datname = current_database()";
    assert_eq!(rig.text(locks).await, "0");
}

/// A slow body holds no connection, and one whose client leaves holds nothing at all.
#[tokio::test]
async fn slow_bodies_hold_no_connection() {
    let rig = Rig::with(Plan { connections: 1, ..Plan::default() }).await;
    let bucket = rig.bucket("b").await;
    let mut waiting = Vec::new();
    for i in 0..20 {
        let new = new_object(&bucket, &format!("k{i}"), 3);
        let upload = rig.storage.begin_upload(&service(), new).await.unwrap();
        let (send, slow) = slow_body();
        send.send(Ok(bytes::Bytes::from_static(b"x"))).unwrap();
        waiting.push((send, tokio::spawn(upload.receive(slow, Expected::default()))));
    }
    rig.put(&service(), &bucket, "quick", b"x").await.unwrap();
    for (_, task) in &waiting {
        task.abort();
    }
    drop(waiting);
    assert!(eventually(|| async { rig.files().len() == 1 }).await, "{:?}", rig.files());
}

/// Ends server processes as an administrator or as the system's memory killer would.
async fn strike(rig: &Rig, rng: &mut StdRng) {
    let pids = "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'rig'
                AND datname = current_database()";
    let Ok(rows) = rig.db.connect(rig.db.superuser()).await.query(pids, &[]).await else { return };
    let pids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if pids.is_empty() {
        return;
    }
    let pid = &pids[rng.random_range(0..pids.len())];
    let signal = if rng.random_bool(0.5) { "KILL" } else { "TERM" };
    // One process killed makes the whole server begin anew, with recovery.
    let script = format!("kill -{signal} {pid}");
    // It may have ended by itself.
    let _status = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
}

async fn alive(rig: &Rig) -> bool {
    let connected = rig.db.config(rig.db.superuser()).connect(tokio_postgres::NoTls).await;
    connected.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_dies_loses_no_acknowledged_write() {
    // Of its own: others must not die along.
    let server: &'static TestServer = Box::leak(Box::new(TestServer::start(World::Stack)));
    let rig = Arc::new(Rig::with(Plan { server: Some(server), ..Plan::default() }).await);
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8_u32)
        .map(|writer| {
            let (rig, bucket, stop) = (Arc::clone(&rig), bucket.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let ctx = if writer % 2 == 0 { service() } else { user(ALICE) };
                // What each of the writer's keys may hold: the last acknowledged bytes, or those
                // of a later attempt whose outcome was not told.
                let mut ledger: HashMap<String, (Option<String>, Vec<String>)> = HashMap::new();
                let (mut errors, mut unknown) = (BTreeSet::new(), 0);
                let mut count = 0_u32;
                while !stop.load(Ordering::SeqCst) {
                    count += 1;
                    let name = format!("w{writer}/{}", count % 20);
                    let bytes = format!("{writer} {count}");
                    let entry = ledger.entry(name.clone()).or_default();
                    let put = if count.is_multiple_of(5) {
                        multipart::upload(&rig, &ctx, &bucket, &name, bytes.as_bytes()).await
                    } else {
                        rig.put(&ctx, &bucket, &name, bytes.as_bytes()).await
                    };
                    match put {
                        Ok(_) => *entry = (Some(bytes), Vec::new()),
                        Err(error) => {
                            unknown += u32::from(name_of(&error) == "CommitUnknown");
                            errors.insert(name_of(&error));
                            entry.1.push(bytes);
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
                (ledger, errors, unknown)
            })
        })
        .collect();
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(eventually(|| alive(&rig)).await, "the database does not come back");
        strike(&rig, &mut rng).await;
    }
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(eventually(|| alive(&rig)).await);
    stop.store(true, Ordering::SeqCst);
    let (mut unknown, mut failed) = (0, 0);
    let mut ledgers = Vec::new();
    for writer in writers {
        let (ledger, errors, lost) = writer.await.unwrap();
        for error in errors {
            failed += 1;
            assert!(["Unavailable", "CommitUnknown"].contains(&error.as_str()), "{error}");
        }
        unknown += lost;
        ledgers.push(ledger);
    }
    assert!(failed > 0, "nobody noticed");
    // Everything works again, by itself.
    assert!(eventually(|| async { rig.storage.healthy().await.is_ok() }).await);
    for (name, (acknowledged, later)) in ledgers.into_iter().flatten() {
        let read = rig.get(&service(), &bucket, &name).await;
        match read {
            Ok(bytes) => {
                let bytes = String::from_utf8(bytes).unwrap();
                assert!(
                    acknowledged.as_ref() == Some(&bytes) || later.contains(&bytes),
                    "{name}: {bytes}, not {acknowledged:?}"
                );
            }
            Err(error) => {
                assert_eq!(name_of(&error), "NoSuchKey", "{name}");
                assert_eq!(acknowledged, None, "{name} is gone");
            }
        }
    }
    let admin = rig.db.connect(rig.db.superuser()).await;
    let rows =
        admin.query("SELECT name || '/' || version FROM storage.objects", &[]).await.unwrap();
    let rows: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    // Blobs whose COMMIT got lost are kept for a while.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(rig.storage.clone().run_worker(async {
        let _ = stopped.await;
    }));
    let tidy = || async { rig.blob_files(&bucket).len() <= rows.len() + unknown as usize };
    assert!(eventually(tidy).await, "{} blobs, {} rows", rig.blob_files(&bucket).len(), rows.len());
    let _ = stop.send(());
    worker.await.unwrap();
    assert!(rig.blob_files(&bucket).is_superset(&rows));
    rig.storage.delete_object(&service(), &bucket, &key("w0/1")).await.unwrap();
    let upload = rig.storage.begin_upload(&user(ALICE), new_object(&bucket, "after", 5)).await;
    upload.unwrap().receive(body(b"after"), Expected::default()).await.unwrap();
    assert_eq!(rig.get(&user(ALICE), &bucket, "after").await.unwrap(), b"after");
}
