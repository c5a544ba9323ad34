//! Uploads that meet: overwrites, conditions, deletions, and bodies that fail.

use crate::support::{
    ALICE, BOB, Plan, Rig, body, eventually, key, name_of, new_object, service, slow_body, user,
};
use bytes::Bytes;
use rowlock_digest::{Algorithm, Checksum};
use rowlock_storage::{
    BodyError, Error, Expected, LimitOf, NewObject, SizeLimit, TrailerChecks, WriteCondition,
};
use rowlock_types::BucketName;
use std::sync::Arc;
use std::time::Duration;

/// A caller without UPDATE rights begins to create a key; somebody else is faster.
#[tokio::test]
async fn what_someone_else_created_meanwhile_is_not_overwritten() {
    let rig = Rig::new().await;
    rig.sql(
        "CREATE POLICY ins ON storage.objects FOR INSERT TO authenticated WITH CHECK (true);
         CREATE POLICY sel ON storage.objects FOR SELECT TO authenticated USING (true);",
    )
    .await;
    let bucket = rig.bucket("b").await;
    let (alice, bob) = (user(ALICE), user(BOB));
    for through_sql in [false, true] {
        let name = format!("key-{through_sql}");
        let begun = rig.storage.begin_upload(&alice, new_object(&bucket, &name, 5)).await.unwrap();
        let (send, slow) = slow_body();
        let receiving = tokio::spawn(begun.receive(slow, Expected::default()));
        send.send(Ok(Bytes::from_static(b"ali"))).unwrap();
        if through_sql {
            rig.sql(&format!(
                "INSERT INTO storage.objects (bucket_id, name, owner_id) VALUES ('b', '{name}', 'sql')"
            ))
            .await;
        } else {
            rig.put(&bob, &bucket, &name, b"bob's").await.unwrap();
        }
        send.send(Ok(Bytes::from_static(b"ce"))).unwrap();
        drop(send);
        let refused = receiving.await.unwrap().unwrap_err();
        assert_eq!(name_of(&refused), "42501", "{refused:?}");
        let owner =
            rig.text(&format!("SELECT owner_id FROM storage.objects WHERE name = '{name}'")).await;
        assert_eq!(owner, if through_sql { "sql" } else { BOB });
    }
    assert_eq!(rig.get(&bob, &bucket, "key-false").await.unwrap(), b"bob's");
    rig.drain().await;
    rig.work_until("alice's blobs are gone", || async { rig.blob_files(&bucket).len() == 1 }).await;
    assert_eq!(rig.get(&bob, &bucket, "key-false").await.unwrap(), b"bob's");
}

/// The row stays, its owner changes: by an overwrite of the new owner's, or by SQL alone.
#[tokio::test]
async fn a_row_that_changed_its_owner_meanwhile_is_asked_about_again() {
    let rig = Rig::new().await;
    rig.sql(
        "CREATE POLICY ins ON storage.objects FOR INSERT TO authenticated WITH CHECK (true);
         CREATE POLICY sel ON storage.objects FOR SELECT TO authenticated USING (true);
         CREATE POLICY upd ON storage.objects FOR UPDATE TO authenticated
           USING (owner_id = (SELECT auth.uid()::text));",
    )
    .await;
    let bucket = rig.bucket("b").await;
    let (alice, bob) = (user(ALICE), user(BOB));
    for by_sql in [false, true] {
        let name = format!("key-{by_sql}");
        rig.put(&alice, &bucket, &name, b"first").await.unwrap();
        let begun = rig.storage.begin_upload(&alice, new_object(&bucket, &name, 5)).await.unwrap();
        rig.sql(&format!("UPDATE storage.objects SET owner_id = '{BOB}' WHERE name = '{name}'"))
            .await;
        if !by_sql {
            rig.put(&bob, &bucket, &name, b"bob's").await.unwrap();
        }
        let refused = begun.receive(body(b"alice"), Expected::default()).await.unwrap_err();
        assert_eq!(name_of(&refused), "42501", "{refused:?}");
        let expected: &[u8] = if by_sql { b"first" } else { b"bob's" };
        assert_eq!(rig.get(&bob, &bucket, &name).await.unwrap(), expected);
    }
    // What only looks different to policies that allow it goes through.
    let begun = rig.storage.begin_upload(&bob, new_object(&bucket, "key-true", 5)).await.unwrap();
    rig.sql("UPDATE storage.objects SET last_accessed_at = now() WHERE name = 'key-true'").await;
    begun.receive(body(b"bob 2"), Expected::default()).await.unwrap();
    assert_eq!(rig.get(&bob, &bucket, "key-true").await.unwrap(), b"bob 2");
}

/// A deleted row is no longer the one that the permit was for, but who may create may create.
#[tokio::test]
async fn a_row_that_vanished_meanwhile_is_created() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let alice = user(ALICE);
    rig.put(&alice, &bucket, "k", b"one").await.unwrap();
    let begun = rig.storage.begin_upload(&alice, new_object(&bucket, "k", 3)).await.unwrap();
    rig.storage.delete_object(&alice, &bucket, &key("k")).await.unwrap();
    begun.receive(body(b"two"), Expected::default()).await.unwrap();
    assert_eq!(rig.get(&alice, &bucket, "k").await.unwrap(), b"two");
}

#[tokio::test]
async fn fifty_uploads_to_one_key_leave_one_row_and_one_blob() {
    let rig = Arc::new(Rig::new().await);
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let tasks: Vec<_> = (0..50_u32)
        .map(|i| {
            let (rig, bucket) = (Arc::clone(&rig), bucket.clone());
            let ctx = if i % 2 == 0 { service() } else { user(ALICE) };
            tokio::spawn(async move {
                let bytes = format!("body {i}");
                rig.put(&ctx, &bucket, "one", bytes.as_bytes())
                    .await
                    .map(|done| (done.version, bytes))
            })
        })
        .collect();
    let mut written = std::collections::HashMap::new();
    for task in tasks {
        let (version, bytes) = task.await.unwrap().unwrap();
        written.insert(version.to_string(), bytes);
    }
    assert_eq!(written.len(), 50);
    let version = rig.text("SELECT version FROM storage.objects").await;
    let bytes = rig.get(&service(), &bucket, "one").await.unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), written[&version]);
    rig.drain().await;
    assert_eq!(rig.row_files(&bucket).await.len(), 1);
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
}

#[tokio::test]
async fn conditional_creates_have_one_winner() {
    let rig = Arc::new(Rig::new().await);
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    for round in 0..200 {
        let mut tasks = Vec::new();
        for i in 0..3_u32 {
            let (rig, bucket) = (Arc::clone(&rig), bucket.clone());
            let ctx = if i == 0 { service() } else { user(ALICE) };
            tasks.push(tokio::spawn(async move {
                let name = format!("k{round}");
                let bytes = format!("{i}");
                let condition = WriteCondition::Absent;
                let put = rig.put_if(&ctx, &bucket, &name, bytes.as_bytes(), condition).await;
                put.map(|_| bytes)
            }));
        }
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(bytes) => winners.push(bytes),
                Err(error) => assert_eq!(name_of(&error), "PreconditionFailed", "{error:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        let stored = rig.get(&service(), &bucket, &format!("k{round}")).await.unwrap();
        assert_eq!(stored, winners[0].as_bytes());
    }
    rig.drain().await;
    let clean = || async { rig.blob_files(&bucket) == rig.row_files(&bucket).await };
    rig.work_until("losers' blobs are gone", clean).await;
}

#[tokio::test]
async fn if_match_lets_one_of_many_through() {
    let rig = Arc::new(Rig::new().await);
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let mut etag = rig.put(&service(), &bucket, "k", b"start").await.unwrap().etag;
    for round in 0..50 {
        let mut tasks = Vec::new();
        for i in 0..3_u32 {
            let (rig, bucket, etag) = (Arc::clone(&rig), bucket.clone(), etag.clone());
            let ctx = if i == 0 { service() } else { user(ALICE) };
            tasks.push(tokio::spawn(async move {
                let bytes = format!("{round}-{i}");
                let condition = WriteCondition::Matches(vec![etag]);
                rig.put_if(&ctx, &bucket, "k", bytes.as_bytes(), condition).await
            }));
        }
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(done) => winners.push(done.etag),
                Err(error) => assert_eq!(name_of(&error), "PreconditionFailed", "{error:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        etag = winners.remove(0);
    }
    let condition = WriteCondition::Matches(vec![etag]);
    let missing = rig.put_if(&service(), &bucket, "none", b"x", condition).await.unwrap_err();
    assert_eq!(name_of(&missing), "NoSuchKey");
    rig.drain().await;
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
}

struct Case {
    name: &'static str,
    chunks: Vec<Result<&'static [u8], &'static str>>,
    expected: Expected,
    error: &'static str,
}

fn md5(bytes: &[u8]) -> Option<[u8; 16]> {
    Some(rowlock_digest::md5(bytes))
}

fn crc32(value: u32) -> Checksum {
    Checksum::new(Algorithm::Crc32, value.to_be_bytes().to_vec()).unwrap()
}

fn trailer(values: Vec<Checksum>) -> Option<TrailerChecks> {
    let trailer = TrailerChecks { algorithms: vec![Algorithm::Crc32], ..TrailerChecks::default() };
    *trailer.values.lock().unwrap() = values;
    Some(trailer)
}

fn failing() -> Vec<Case> {
    let whole = || vec![Ok(&b"hello"[..])];
    let case = |name, chunks, expected, error| Case { name, chunks, expected, error };
    let plain = Expected::default;
    vec![
        case("cut", vec![Ok(&b"hel"[..]), Err("cut")], plain(), "Body"),
        case("cut at once", vec![Err("cut")], plain(), "Body"),
        case("md5", whole(), Expected { md5: md5(b"other"), ..plain() }, "BadDigest"),
        case(
            "sha256",
            whole(),
            Expected { sha256: Some([7; 32]), ..plain() },
            "ContentSha256Mismatch",
        ),
        case("crc32", whole(), Expected { checksums: vec![crc32(1)], ..plain() }, "BadDigest"),
        case(
            "trailer",
            whole(),
            Expected { trailer: trailer(vec![crc32(1)]), ..plain() },
            "BadDigest",
        ),
        case(
            "no trailer",
            whole(),
            Expected { trailer: trailer(vec![]), ..plain() },
            "IncompleteBody",
        ),
        case("short", whole(), Expected { length: Some(6), ..plain() }, "IncompleteBody"),
        case("long", whole(), Expected { length: Some(4), ..plain() }, "IncompleteBody"),
        case(
            "limit",
            vec![Ok(&[0; 700_000][..]), Ok(&[0; 400_001][..])],
            plain(),
            "EntityTooLarge",
        ),
    ]
}

#[tokio::test]
async fn failed_bodies_leave_nothing() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    rig.sql(
        "INSERT INTO storage.buckets (id, name, file_size_limit, allowed_mime_types)
         VALUES ('b', 'b', 1048576, '{text/plain,image/*}')",
    )
    .await;
    let bucket = BucketName::existing("b").unwrap();
    rig.put(&service(), &bucket, "there", b"before").await.unwrap();
    let before = rig.files();
    for ctx in [service(), user(ALICE)] {
        for name in ["new", "there"] {
            for case in failing() {
                let new = NewObject { content_length: None, ..new_object(&bucket, name, 0) };
                let upload = rig.storage.begin_upload(&ctx, new).await.unwrap();
                let (send, slow) = slow_body();
                for chunk in case.chunks {
                    let chunk = chunk.map(Bytes::from_static).map_err(|e| BodyError(e.into()));
                    send.send(chunk).unwrap();
                }
                drop(send);
                let error = upload.receive(slow, case.expected).await.unwrap_err();
                assert_eq!(name_of(&error), case.error, "{}: {error:?}", case.name);
                // A write that is under way when the body fails ends first.
                let gone = eventually(|| async { rig.files() == before }).await;
                assert!(gone, "{}: {:?}", case.name, rig.files());
            }
        }
        // Refused before a byte is read.
        let begin =
            async |new: NewObject| rig.storage.begin_upload(&ctx, new).await.map(drop).unwrap_err();
        let large = begin(new_object(&bucket, "new", 1_048_577)).await;
        let Error::EntityTooLarge { limit, .. } = large else { panic!("{large:?}") };
        assert_eq!(limit, SizeLimit { bytes: 1_048_576, of: LimitOf::Bucket });
        let html = Some("text/html".into());
        let kind = begin(NewObject { content_type: html, ..new_object(&bucket, "new", 1) }).await;
        assert!(matches!(kind, Error::InvalidMimeType(_)), "{kind:?}");
        let png = Some("image/png".into());
        let new = NewObject { content_type: png, ..new_object(&bucket, "png", 1) };
        rig.storage.begin_upload(&ctx, new).await.unwrap();
    }
    assert_eq!(rig.files(), before);
    assert_eq!(rig.texts("SELECT name FROM storage.objects").await, ["there"]);
    assert_eq!(rig.get(&service(), &bucket, "there").await.unwrap(), b"before");
    assert!(rig.outbox_rows().await.is_empty());
}

/// A row that appears between a delete's two looks belongs to the time after the delete: it must
/// not go without an outbox row for its blob.
#[tokio::test]
async fn a_delete_takes_only_rows_whose_blobs_it_wrote_down() {
    let rig = Arc::new(Rig::with(Plan { connections: 1, ..Plan::default() }).await);
    let bucket = rig.bucket("b").await;
    // So that its statements are prepared.
    rig.storage.delete_object(&service(), &bucket, &key("k")).await.unwrap();
    // Holds up every write, but not the locking look that comes before it.
    let mut other = rig.db.connect(rig.db.superuser()).await;
    let tx = other.transaction().await.unwrap();
    tx.batch_execute("LOCK TABLE storage.objects IN SHARE MODE").await.unwrap();
    let deleting = {
        let (rig, bucket) = (Arc::clone(&rig), bucket.clone());
        tokio::spawn(async move { rig.storage.delete_object(&service(), &bucket, &key("k")).await })
    };
    let waits = "SELECT count(*)::text FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE NOT l.granted AND d.datname = current_database()";
    assert!(eventually(|| async { rig.text(waits).await == "1" }).await);
    tx.batch_execute(
        "INSERT INTO storage.objects (bucket_id, name, version)
         VALUES ('b', 'k', '8556a18b-0258-4c57-a46a-3ab841478cbf')",
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    deleting.await.unwrap().unwrap();
    let rows = rig.texts("SELECT name FROM storage.objects").await;
    assert_eq!(rows.len() + rig.outbox_rows().await.len(), 1, "the blob is nobody's");
}

#[tokio::test]
async fn deletes_of_the_same_keys_in_any_order_do_not_deadlock() {
    let rig = Arc::new(Rig::with(Plan { grace: Duration::from_secs(60), ..Plan::default() }).await);
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    for _ in 0..5 {
        let keys: Vec<_> = (0..40).map(|i| key(&format!("k{i}"))).collect();
        for name in &keys {
            rig.put(&service(), &bucket, name.as_str(), b"x").await.unwrap();
        }
        let tasks: Vec<_> = (0..6)
            .map(|i| {
                let (rig, bucket, mut keys) = (Arc::clone(&rig), bucket.clone(), keys.clone());
                if i % 2 == 0 {
                    keys.reverse();
                }
                let ctx = if i < 3 { service() } else { user(BOB) };
                tokio::spawn(async move { rig.storage.delete_objects(&ctx, &bucket, &keys).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }
    assert!(rig.texts("SELECT name FROM storage.objects").await.is_empty());
    assert_eq!(rig.outbox_rows().await.len(), 200);
}
