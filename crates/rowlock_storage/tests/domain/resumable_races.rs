//! Resumable uploads between requests, processes and crashes: one writer at a time, and nothing that
//! was acknowledged is lost.

use crate::resumable::{append, at, begin, growing, offset, refused, rows, seen_when_taken};
use crate::support::stores::{Hooked, Hooks};
use crate::support::{ALICE, Plan, Rig, body, eventually, name_of, service, slow_body, user};
use bytes::Bytes;
use rowlock_blobs::BlobKey;
use rowlock_catalog::Presence;
use rowlock_storage::{Append, BodyError, Error, Resumable, ResumableId, Storage};
use rowlock_types::BucketName;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

type Chunks = UnboundedSender<Result<Bytes, BodyError>>;

/// A request that has sent some bytes and sends no more for now.
async fn stalled(
    rig: &Rig,
    storage: &Storage,
    id: &ResumableId,
    offset: u64,
    bytes: &'static [u8],
) -> (Chunks, JoinHandle<Result<Resumable, Error>>) {
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(bytes))).unwrap();
    let (chunks, taken) = seen_when_taken(chunks);
    let (storage, asked) = (storage.clone(), id.clone());
    let running = tokio::spawn(async move {
        let append = Append { offset, ..Append::default() };
        storage.append_resumable(&service(), &asked, append, chunks).await
    });
    assert!(eventually(async || is_held(rig, id).await).await, "nobody holds it");
    assert!(eventually(async || taken.load(Ordering::SeqCst)).await, "nobody takes its bytes");
    (send, running)
}

async fn is_held(rig: &Rig, id: &ResumableId) -> bool {
    let (table, version) = (rig.own_table("resumable"), id.version);
    let holder = format!("SELECT holder::text FROM {table} WHERE version = '{version}'");
    !rig.text(&holder).await.is_empty()
}

async fn set(rig: &Rig, what: &str) {
    rig.sql(&format!("UPDATE {} SET {what}", rig.own_table("resumable"))).await;
}

#[tokio::test]
async fn whoever_comes_later_goes_on_at_once_where_the_other_one_was() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let ((one, _p1), (two, _p2)) = (rig.server().await, rig.server().await);
    for (name, storage) in [("same process", &one), ("another one", &two)] {
        let id = begin(&rig, &bucket, name, 9).await;
        let (send, running) = stalled(&rig, &one, &id, 0, b"abc").await;
        // Told how far it is, without being stopped.
        assert!(eventually(async || storage.find_resumable(&id).await.unwrap().offset == 3).await);
        assert!(!running.is_finished());
        send.send(Ok(Bytes::from_static(b"d"))).unwrap();
        assert!(eventually(async || storage.find_resumable(&id).await.unwrap().offset == 4).await);
        send.send(Ok(Bytes::from_static(b"e"))).unwrap();
        // A client that knows of less is told to look again, and has stopped the other one.
        let bytes = b"defghi";
        let behind = storage.append_resumable(&service(), &id, at(3, bytes), body(bytes)).await;
        assert!(matches!(behind, Err(Error::OffsetConflict { offset: 5 })), "{name}: {behind:?}");
        assert_eq!(refused(running.await.unwrap()), "UploadLocked", "{name}");
        let last = storage.append_resumable(&service(), &id, at(5, b"fghi"), body(b"fghi")).await;
        assert!(last.unwrap().done, "{name}");
        assert_eq!(rig.get(&service(), &bucket, name).await.unwrap(), b"abcdefghi");
        rig.sql(&format!("DELETE FROM {}", rig.own_table("resumable"))).await;
    }
    assert_eq!(growing(&rig), 0);
}

#[tokio::test]
async fn whoever_hears_nothing_finds_the_wish_when_it_records() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let (other, _presence) = rig.server().await;
    // The rig's own server has no ears, and never proves that it lives: its turn may be a lease.
    let id = begin(&rig, &bucket, "x", 6).await;
    let (send, running) = stalled(&rig, &rig.storage, &id, 0, b"abc").await;
    let locked = other.append_resumable(&service(), &id, at(0, b"abcdef"), body(b"abcdef")).await;
    assert_eq!(refused(locked), "UploadLocked");
    assert!(!running.is_finished());
    // It records every ten seconds.
    assert_eq!(refused(running.await.unwrap()), "UploadLocked");
    drop(send);
    let last = other.append_resumable(&service(), &id, at(3, b"def"), body(b"def")).await;
    assert!(last.unwrap().done);
}

#[tokio::test]
async fn what_the_dead_held_is_taken_from_them_and_nothing_from_the_living() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let living =
        Presence::hold(crate::support::listen(&rig.db.url("supabase_storage_admin"))).await;
    let living = living.unwrap();
    let dead = {
        let gone = rig.server().await;
        gone.1.process()
    };
    let unseen = Presence::without_lock().process();
    let mut taken = Vec::new();
    for (name, holder, held_at, goes_on) in [
        ("dead", dead, "now()", true),
        ("alive", living.process(), "now() - interval '1 day'", false),
        ("silent", unseen, "now() - interval '2 minutes'", true),
        ("heard of", unseen, "now()", false),
    ] {
        let id = begin(&rig, &bucket, name, 6).await;
        append(&rig, &service(), &id, 0, b"abc").await.unwrap();
        set(&rig, &format!("holder = '{holder}', held_at = {held_at} WHERE name = '{name}'")).await;
        let last = append(&rig, &service(), &id, 3, b"def").await;
        if goes_on {
            assert!(last.unwrap().done, "{name}");
            taken.push(id);
        } else {
            assert_eq!(refused(last), "UploadLocked", "{name}");
        }
    }
    // What a holder that lived after all may have left of a finished one goes with its row.
    let done = rig.storage.find_resumable(&taken[0]).await.unwrap();
    let (bucket, key) = (bucket.clone(), done.id.key.clone());
    let blob = BlobKey { bucket: bucket.clone(), key, version: Some(done.id.version) };
    rig.blobs.create_growing(&blob, &Default::default(), None, None).await.unwrap();
    set(&rig, "expires_at = now() - interval '1 second' WHERE completed_at IS NOT NULL").await;
    rig.work_until("completed ones forgotten", async || rows(&rig).await.len() == 2).await;
    assert_eq!(rig.get(&service(), &bucket, "dead").await.unwrap(), b"abcdef");
    assert_eq!(growing(&rig), 2);
    // To be told how far one is takes no waiting where the holder is dead.
    let id = begin(&rig, &bucket, "look", 6).await;
    set(&rig, &format!("holder = '{dead}', held_at = now() WHERE name = 'look'")).await;
    assert_eq!(offset(&rig, &id).await, 0);
}

#[tokio::test]
async fn whoever_was_taken_for_dead_records_nothing_and_commits_nothing() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let (one, presence) = rig.server().await;
    let (two, _presence) = rig.server().await;
    for (name, last, shown) in [("cut", b"abc".as_slice(), 3), ("whole", b"abcdef", 3)] {
        let id = begin(&rig, &bucket, name, 6).await;
        append(&rig, &service(), &id, 0, b"abc").await.unwrap();
        let (send, running) = stalled(&rig, &one, &id, 3, &last[..last.len() - 3]).await;
        let lost = uuid::Uuid::now_v7();
        set(&rig, &format!("holder = '{lost}', epoch = epoch + 1 WHERE name = '{name}'")).await;
        if last.len() == 6 {
            send.send(Ok(Bytes::from_static(b"def"))).unwrap();
        }
        drop(send);
        assert_eq!(refused(running.await.unwrap()), "UploadLocked", "{name}");
        assert_eq!(offset(&rig, &id).await, shown, "{name}");
        assert!(rig.row_files(&bucket).await.iter().all(|file| !file.starts_with(name)));
        // The other one goes on where the records end.
        let done = two.append_resumable(&service(), &id, at(3, b"DEF"), body(b"DEF")).await;
        assert!(done.unwrap().done, "{name}");
        assert_eq!(rig.get(&service(), &bucket, name).await.unwrap(), b"abcDEF");
    }
    drop(presence);
}

#[tokio::test]
async fn between_the_blob_and_its_commit_another_process_may_have_done_it() {
    let hooks = Arc::<Hooks>::default();
    let shared = Arc::clone(&hooks);
    let wrap: crate::support::Wrap =
        Box::new(move |inner| Arc::new(Hooked { inner, hooks: shared }));
    let rig = Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let (other, _presence) = rig.server().await;
    for name in ["taken", "taken and done"] {
        let id = begin(&rig, &bucket, name, 3).await;
        let (table, dead) = (rig.own_table("resumable"), uuid::Uuid::now_v7());
        let steal = format!(
            "UPDATE {table} SET holder = '{dead}', epoch = epoch + 1 WHERE name = '{name}'"
        );
        let client = rig.db.connect(rig.db.superuser()).await;
        let mut once = Some((client, other.clone(), id.clone()));
        *hooks.grown.lock() = Some(Box::new(move |_| {
            let (once, steal) = (once.take(), steal.clone());
            Box::pin(async move {
                let Some((client, other, id)) = once else { return };
                client.batch_execute(&steal).await.unwrap();
                if name == "taken and done" {
                    let (ctx, end) = (service(), at(3, b""));
                    let again = other.append_resumable(&ctx, &id, end, body(b"")).await;
                    assert!(again.unwrap().done);
                }
            })
        }));
        let first = append(&rig, &user(ALICE), &id, 0, b"abc").await;
        if name == "taken" {
            assert_eq!(refused(first), "UploadLocked");
            assert!(rig.row_files(&bucket).await.is_empty());
            assert_eq!(rig.outbox_rows().await, Vec::<String>::new());
            let last = other.append_resumable(&service(), &id, at(2, b"c"), body(b"c")).await;
            assert!(last.unwrap().done);
        } else {
            assert!(first.unwrap().done);
        }
        assert_eq!(rig.get(&service(), &bucket, name).await.unwrap(), b"abc");
    }
    rig.drain().await;
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
}

/// An upload all of whose bytes are recorded, and whose server died before the commit.
async fn full(rig: &Rig, bucket: &BucketName, name: &str, placed: bool) -> ResumableId {
    let id = begin(rig, bucket, name, 6).await;
    append(rig, &service(), &id, 0, b"abc").await.unwrap();
    let query =
        format!("SELECT growth::text FROM {} WHERE name = '{name}'", rig.own_table("resumable"));
    let growth = serde_json::from_str(&rig.text(&query).await).unwrap();
    let blob = BlobKey { bucket: bucket.clone(), key: id.key.clone(), version: Some(id.version) };
    let mut grower = rig.blobs.grow(&blob, &growth).await.unwrap();
    grower.write(Bytes::from_static(b"def")).await.unwrap();
    let growth = grower.sync(true).await.unwrap();
    drop(grower);
    if placed {
        rig.blobs.finish_growing(&blob, &growth, &Default::default()).await.unwrap();
    }
    let dead = {
        let gone = rig.server().await;
        gone.1.process()
    };
    let growth = serde_json::to_string(&growth).unwrap();
    set(
        rig,
        &format!("holder = '{dead}', growth = '{growth}', received = 6 WHERE name = '{name}'"),
    )
    .await;
    id
}

#[tokio::test]
async fn a_crash_before_the_commit_is_made_good_by_whoever_asks_again() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    for (name, placed) in [("recorded", false), ("placed", true)] {
        for (way, from, bytes) in [("last", 5, b"f".as_slice()), ("end", 6, b"")] {
            let name = format!("{name} {way}");
            let id = full(&rig, &bucket, &name, placed).await;
            // A client that saw the whole length would take it for success.
            let found = rig.storage.find_resumable(&id).await.unwrap();
            assert_eq!((found.offset, found.done), (5, false), "{name}");
            assert_eq!(refused(append(&rig, &user(ALICE), &id, 3, b"def").await), "OffsetConflict");
            assert_eq!(refused(append(&rig, &user(ALICE), &id, 5, b"ff").await), "EntityTooLarge");
            let done = append(&rig, &user(ALICE), &id, from, bytes).await.unwrap();
            assert_eq!((done.offset, done.done), (6, true), "{name}");
            assert_eq!(rig.get(&user(ALICE), &bucket, &name).await.unwrap(), b"abcdef");
        }
    }
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
    assert_eq!(growing(&rig), 0);
}

#[tokio::test]
async fn a_full_upload_that_may_not_be_committed_waits_and_is_given_up_in_the_end() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let upload = async |name: &str| {
        let id = begin(&rig, &bucket, name, 6).await;
        let (send, running) = stalled(&rig, &rig.storage, &id, 0, b"abc").await;
        // Somebody else is faster.
        rig.put(&user(ALICE), &bucket, name, b"other").await.unwrap();
        send.send(Ok(Bytes::from_static(b"def"))).unwrap();
        drop(send);
        assert_eq!(refused(running.await.unwrap()), "PreconditionFailed");
        assert_eq!(offset(&rig, &id).await, 5);
        assert_eq!(rig.get(&service(), &bucket, name).await.unwrap(), b"other");
        id
    };
    let id = upload("replace").await;
    let replace = Append { upsert: true, ..at(5, b"f") };
    let done = rig.storage.append_resumable(&user(ALICE), &id, replace, body(b"f")).await;
    assert!(done.unwrap().done);
    assert_eq!(rig.get(&service(), &bucket, "replace").await.unwrap(), b"abcdef");
    rig.sql(&format!("DELETE FROM {}", rig.own_table("resumable"))).await;

    let id = upload("leave").await;
    rig.drain().await;
    assert_eq!(offset(&rig, &id).await, 5, "the worker leaves it alone");
    // A byte that does not come keeps nobody out.
    let (send, chunks) = slow_body();
    let (storage, asked) = (rig.storage.clone(), id.clone());
    let waiting = tokio::spawn(async move {
        let append = Append { offset: 5, upsert: true, ..Append::default() };
        storage.append_resumable(&service(), &asked, append, chunks).await
    });
    assert!(eventually(async || is_held(&rig, &id).await).await);
    let early = Append { upsert: true, ..at(4, b"ef") };
    let early = rig.storage.append_resumable(&user(ALICE), &id, early, body(b"ef")).await;
    assert_eq!(refused(early), "OffsetConflict");
    assert_eq!(refused(waiting.await.unwrap()), "UploadLocked");
    drop(send);
    set(&rig, "expires_at = now() - interval '1 second'").await;
    assert_eq!(name_of(&rig.storage.find_resumable(&id).await.unwrap_err()), "UploadExpired");
    rig.work_until("the upload given up", async || rows(&rig).await.is_empty()).await;
    rig.drain().await;
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
    assert_eq!(rig.get(&service(), &bucket, "leave").await.unwrap(), b"other");
}

#[tokio::test]
async fn what_nobody_goes_on_with_expires_and_what_somebody_does_stays() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let (other, presence) = rig.server().await;
    let dead = {
        let gone = rig.server().await;
        gone.1.process()
    };
    let expired = "expires_at = now() - interval '1 second'";
    let held = begin(&rig, &bucket, "held", 6).await;
    let (send, running) = stalled(&rig, &other, &held, 0, b"abc").await;
    for name in ["left", "of the dead", "never begun", "fresh", "done"] {
        let id = begin(&rig, &bucket, name, 3).await;
        match name {
            "never begun" => {}
            "done" => assert!(append(&rig, &service(), &id, 0, b"abc").await.unwrap().done),
            _ => drop(append(&rig, &service(), &id, 0, b"a").await.unwrap()),
        }
        if name != "fresh" {
            set(&rig, &format!("{expired} WHERE name = '{name}'")).await;
        }
        if name == "left" {
            for refusal in [
                rig.storage.find_resumable(&id).await,
                append(&rig, &service(), &id, 1, b"bc").await,
            ] {
                assert_eq!(refused(refusal), "UploadExpired");
            }
            let ended = rig.storage.terminate_resumable(&service(), &id).await;
            assert_eq!(name_of(&ended.unwrap_err()), "UploadExpired");
        }
    }
    let own = begin(&rig, &bucket, "own", 6).await;
    let (send_own, running_own) = stalled(&rig, &rig.storage, &own, 0, b"abc").await;
    set(&rig, &format!("{expired} WHERE name IN ('held', 'own')")).await;
    set(&rig, &format!("holder = '{dead}' WHERE name = 'of the dead'")).await;
    rig.work_until("three given up, one forgotten", async || rows(&rig).await.len() == 3).await;
    assert_eq!(rows(&rig).await, ["held 0/6 held", "fresh 1/3", "own 0/6 held"]);
    assert_eq!(growing(&rig), 3);
    assert_eq!(rig.get(&service(), &bucket, "done").await.unwrap(), b"abc");
    // Its next bytes put the expiry off.
    send.send(Ok(Bytes::from_static(b"def"))).unwrap();
    drop(send);
    assert!(running.await.unwrap().unwrap().done);
    send_own.send(Ok(Bytes::from_static(b"def"))).unwrap();
    drop(send_own);
    assert!(running_own.await.unwrap().unwrap().done);
    drop(presence);
}

#[tokio::test]
async fn a_server_that_stops_lets_go_of_all_it_writes_to() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &bucket, "x", 6).await;
    let (_send, running) = stalled(&rig, &rig.storage, &id, 0, b"abc").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.storage.release_resumables().await;
    assert_eq!(rows(&rig).await, ["x 3/6"]);
    assert_eq!(refused(running.await.unwrap()), "UploadLocked");
}

#[tokio::test]
async fn a_database_that_is_away_takes_nothing_that_was_acknowledged() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let (other, _presence) = rig.server().await;
    let id = begin(&rig, &bucket, "x", 6).await;
    append(&rig, &service(), &id, 0, b"ab").await.unwrap();
    let (send, running) = stalled(&rig, &rig.storage, &id, 2, b"cd").await;
    let name = rig.db.name();
    rig.sql(&format!("ALTER DATABASE {name} CONNECTION LIMIT 0")).await;
    rig.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND usename = 'supabase_storage_admin'",
    )
    .await;
    drop(send);
    let unrecorded = running.await.unwrap();
    assert!(matches!(unrecorded, Err(Error::Catalog(_))), "{unrecorded:?}");
    rig.sql(&format!("ALTER DATABASE {name} CONNECTION LIMIT -1")).await;
    assert_eq!(rows(&rig).await, ["x 2/6 held"], "nor that nobody writes to it any more");
    rig.work_until("the turn ended", async || rows(&rig).await == ["x 2/6"]).await;
    let done = other.append_resumable(&service(), &id, at(2, b"cdef"), body(b"cdef")).await;
    assert!(done.unwrap().done);
    assert_eq!(rig.get(&service(), &bucket, "x").await.unwrap(), b"abcdef");
}
