//! Writes to a store without a rename: their notes, and what becomes of a dead process's.

use crate::support::stores::{Hooked, Hooks};
use crate::support::{
    ALICE, Plan, Rig, body, listen, name_of, new_object, service, slow_body, user,
};
use bytes::Bytes;
use rowlock_blobs::BlobKey;
use rowlock_catalog::Presence;
use rowlock_storage::{Context, Error, Expected, MoveRequest, Uploaded, WriteCondition};
use rowlock_types::{BucketName, Version};
use std::sync::Arc;
use std::time::Duration;

async fn rig() -> (Rig, Arc<Hooks>) {
    let hooks = Arc::<Hooks>::default();
    *hooks.in_place.lock() = true;
    let shared = Arc::clone(&hooks);
    let wrap: crate::support::Wrap =
        Box::new(move |inner| Arc::new(Hooked { inner, hooks: shared }));
    (Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await, hooks)
}

async fn notes(rig: &Rig) -> Vec<String> {
    rig.texts(&format!("SELECT blob_key FROM {} ORDER BY 1", rig.own_table("pending"))).await
}

/// An upload whose body comes only after `meanwhile`.
async fn put_slowly(
    rig: &Rig,
    ctx: &Context,
    bucket: &BucketName,
    name: &str,
    condition: WriteCondition,
    meanwhile: impl AsyncFnOnce(),
) -> Result<Uploaded, Error> {
    let new = rowlock_storage::NewObject { condition, ..new_object(bucket, name, 6) };
    let upload = rig.storage.begin_upload(ctx, new).await.unwrap();
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"abc"))).unwrap();
    let receiving = tokio::spawn(upload.receive(chunks, Expected::default()));
    assert!(crate::support::eventually(async || notes(rig).await.len() == 1).await, "no note");
    meanwhile().await;
    send.send(Ok(Bytes::from_static(b"def"))).unwrap();
    drop(send);
    receiving.await.unwrap()
}

#[tokio::test]
async fn a_write_is_noted_until_its_commit() {
    let (rig, _) = rig().await;
    let bucket = rig.bucket("b").await;
    let version = put_slowly(&rig, &service(), &bucket, "a/ü", WriteCondition::None, async || {
        assert!(notes(&rig).await[0].starts_with("b/a/ü/"));
    })
    .await
    .unwrap()
    .version;
    assert_eq!(notes(&rig).await, Vec::<String>::new());
    assert_eq!(rig.row_files(&bucket).await, [format!("a/ü/{version}")].into());
    // Copies and multipart uploads are notes too, and none stays.
    let source = rig.storage.find_object(&service(), &bucket, &crate::support::key("a/ü")).await;
    let copy = rowlock_storage::CopyRequest {
        bucket: bucket.clone(),
        key: crate::support::key("copy"),
        metadata: rowlock_storage::CopyMetadata::Source,
        condition: WriteCondition::None,
        tags: None,
        checksum: None,
    };
    rig.storage.copy_object(&service(), &source.unwrap(), copy).await.unwrap();
    rig.storage.create_multipart(&service(), new_object(&bucket, "m", 0)).await.unwrap();
    assert_eq!(notes(&rig).await, Vec::<String>::new());
}

#[tokio::test]
async fn whoever_was_taken_for_dead_commits_nothing() {
    let (rig, _) = rig().await;
    let bucket = rig.bucket("b").await;
    rig.open_policy().await;
    let old = rig.put(&service(), &bucket, "there", b"before").await.unwrap();
    let steal = format!("UPDATE {} SET process = gen_random_uuid()", rig.own_table("pending"));
    // Each way that a commit takes.
    for (name, condition) in [
        ("new", WriteCondition::None),
        ("there", WriteCondition::None),
        ("new", WriteCondition::Absent),
        ("there", WriteCondition::Matches(vec![old.etag.clone()])),
    ] {
        for ctx in [service(), user(ALICE)] {
            let condition = condition.clone();
            let meanwhile = async || rig.sql(&steal).await;
            let refused = put_slowly(&rig, &ctx, &bucket, name, condition, meanwhile).await;
            assert_eq!(refused.as_ref().map_err(name_of).unwrap_err(), "Unavailable", "{name}");
            rig.sql(&format!("DELETE FROM {}", rig.own_table("pending"))).await;
        }
    }
    assert_eq!(rig.row_files(&bucket).await, [format!("there/{}", old.version)].into());
    assert_eq!(rig.get(&service(), &bucket, "there").await.unwrap(), b"before");
    // Nothing was queued for deletion by a commit that did not come about.
    assert_eq!(rig.outbox_rows().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_row_that_came_in_between_is_asked_about_and_the_note_stays_until_then() {
    let (rig, _) = rig().await;
    let bucket = rig.bucket("b").await;
    rig.open_policy().await;
    rig.put(&user(ALICE), &bucket, "same", b"before").await.unwrap();
    // An overwrite by a caller whom policies bind, and another one while its body comes.
    let upload = rig.storage.begin_upload(&user(ALICE), new_object(&bucket, "same", 6)).await;
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"abc"))).unwrap();
    let receiving = tokio::spawn(upload.unwrap().receive(chunks, Expected::default()));
    assert!(crate::support::eventually(async || notes(&rig).await.len() == 1).await, "no note");
    rig.put(&user(ALICE), &bucket, "same", b"meanwhile").await.unwrap();
    send.send(Ok(Bytes::from_static(b"def"))).unwrap();
    drop(send);
    receiving.await.unwrap().unwrap();
    assert_eq!(rig.get(&user(ALICE), &bucket, "same").await.unwrap(), b"abcdef");
    assert_eq!(notes(&rig).await, Vec::<String>::new());
}

/// A rig whose first copy of a blob waits until this SQL was run; `{}` is the ledger's table.
async fn rig_with_sql_during_a_copy(sql: &'static str) -> (Rig, Arc<Hooks>) {
    let (rig, hooks) = rig().await;
    let client = rig.db.connect(rig.db.superuser()).await;
    let sql = sql.replace("{}", &rig.own_table("pending"));
    let mut once = Some((client, sql));
    *hooks.copied.lock() = Some(Box::new(move |_| {
        let once = once.take();
        Box::pin(async move {
            if let Some((client, sql)) = once {
                client.batch_execute(&sql).await.unwrap();
            }
        })
    }));
    (rig, hooks)
}

fn a_move(bucket: &BucketName) -> MoveRequest {
    MoveRequest {
        bucket: bucket.clone(),
        name: "from".into(),
        to_bucket: bucket.clone(),
        to_key: crate::support::key("to"),
    }
}

#[tokio::test]
async fn a_moves_note_goes_with_its_commit() {
    let keep = "CREATE TABLE seen AS SELECT blob_key FROM {}";
    let (rig, _) = rig_with_sql_during_a_copy(keep).await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "from", b"x").await.unwrap();
    rig.storage.move_object(&service(), a_move(&bucket)).await.unwrap();
    assert!(rig.text("SELECT blob_key FROM seen").await.starts_with("b/to/"));
    assert_eq!(notes(&rig).await, Vec::<String>::new());
    rig.work_until("the old blob gone", async || {
        rig.blob_files(&bucket) == rig.row_files(&bucket).await
    })
    .await;
}

#[tokio::test]
async fn a_move_that_was_taken_over_or_overtaken_leaves_row_and_note_as_they_are() {
    let steal = "UPDATE {} SET process = gen_random_uuid()";
    let (rig, _) = rig_with_sql_during_a_copy(steal).await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "from", b"x").await.unwrap();
    let refused = rig.storage.move_object(&service(), a_move(&bucket)).await;
    assert_eq!(refused.as_ref().map_err(name_of).unwrap_err(), "Unavailable");
    assert_eq!(rig.text("SELECT name FROM storage.objects").await, "from");
    assert_eq!(notes(&rig).await.len(), 1, "it is the other process's now");
    assert_eq!(rig.outbox_rows().await, Vec::<String>::new());

    let change = "UPDATE storage.objects SET owner_id = 'somebody else' WHERE name = 'from'";
    let (rig, _) = rig_with_sql_during_a_copy(change).await;
    let bucket = rig.bucket("b").await;
    rig.open_policy().await;
    rig.put(&user(ALICE), &bucket, "from", b"x").await.unwrap();
    rig.storage.move_object(&user(ALICE), a_move(&bucket)).await.unwrap();
    assert_eq!(rig.text("SELECT name FROM storage.objects").await, "to");
    // The first copy was for nothing: its note stays until it is gone.
    assert_eq!(notes(&rig).await.len(), 1);
    rig.work_until("notes and blobs gone", async || {
        notes(&rig).await.is_empty() && rig.blob_files(&bucket) == rig.row_files(&bucket).await
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_leaves_a_note_to_work_off() {
    let (rig, _) = rig().await;
    let bucket = rig.bucket("b").await;
    let new = new_object(&bucket, "left", 6);
    let upload = rig.storage.begin_upload(&service(), new).await.unwrap();
    let (send, chunks) = slow_body();
    let receiving = tokio::spawn(upload.receive(chunks, Expected::default()));
    assert!(crate::support::eventually(async || notes(&rig).await.len() == 1).await);
    receiving.abort();
    drop(send);
    assert!(receiving.await.unwrap_err().is_cancelled());
    assert_eq!(notes(&rig).await.len(), 1, "a request may still be under way");
}

#[tokio::test]
async fn what_dead_processes_left_goes_and_nothing_else() {
    let (rig, hooks) = rig().await;
    let bucket = rig.bucket("b").await;
    let kept = rig.put(&service(), &bucket, "kept", b"kept").await.unwrap();
    let alive = Presence::hold(listen(&rig.db.url("supabase_storage_admin"))).await.unwrap();
    let dead = {
        let gone = Presence::hold(listen(&rig.db.url("supabase_storage_admin"))).await.unwrap();
        gone.process()
    };
    let unseen = Presence::without_lock().process();
    let blob = |name: &str, version| BlobKey {
        bucket: bucket.clone(),
        key: crate::support::key(name),
        version: Some(version),
    };
    let left = [
        (blob("dead", Version::random()), dead, ""),
        // Its commit was carried out, and the note came back after a crash of the database.
        (blob("kept", kept.version), dead, ""),
        (blob("alive", Version::random()), alive.process(), ""),
        (blob("recent", Version::random()), unseen, ""),
        (blob("old", Version::random()), unseen, " - interval '25 hours'"),
    ];
    for (blob, process, age) in &left {
        if blob.key.as_str() != "kept" {
            let mut writer = rig.blobs.writer(blob, &Default::default(), None);
            writer.write(Bytes::from_static(b"left over")).await.unwrap();
            writer.finish().await.unwrap();
        }
        let (table, version) = (rig.own_table("pending"), blob.version.unwrap());
        rig.sql(&format!(
            "INSERT INTO {table} (blob_key, process, created_at)
             VALUES ('b/{}/{version}', '{process}', now(){age})",
            blob.key
        ))
        .await;
    }
    // The lock of the one that is gone takes a moment to go.
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.work_until("two notes", async || notes(&rig).await.len() == 2).await;
    let names = |blobs: &[BlobKey]| {
        let mut names: Vec<_> = blobs.iter().map(|blob| blob.key.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&hooks.deletes.lock()), ["dead", "old"]);
    assert_eq!(names(&hooks.unfinished.lock()), ["dead", "kept", "old"]);
    let mut files: Vec<_> = rig.blob_files(&bucket).into_iter().collect();
    files.retain(|file| !file.starts_with("kept/"));
    assert!(files.len() == 2 && files[0].starts_with("alive/") && files[1].starts_with("recent/"));
    assert_eq!(rig.get(&service(), &bucket, "kept").await.unwrap(), b"kept");
}

/// Nine writes whose commits were refused.
async fn refused(rig: &Rig) {
    let bucket = rig.bucket("b").await;
    rig.sql(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $f$
           BEGIN RAISE EXCEPTION 'no'; END $f$;
         CREATE TRIGGER refuse BEFORE INSERT ON storage.objects
           FOR EACH ROW EXECUTE FUNCTION public.refuse();",
    )
    .await;
    for _ in 0..9 {
        rig.put(&service(), &bucket, "left", b"x").await.unwrap_err();
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_asked_about_one_of_many() {
    let (rig, hooks) = rig().await;
    refused(&rig).await;
    *hooks.away.lock() = true;
    // Told to stop before it begins: it looks at what is due once.
    rig.storage.clone().run_worker(async {}).await;
    assert_eq!(hooks.deletes.lock().len(), 1);
    assert_eq!(notes(&rig).await.len(), 9, "for the next process");
}

#[tokio::test]
async fn a_store_that_hangs_does_not_keep_a_server_from_stopping() {
    let (rig, hooks) = rig().await;
    refused(&rig).await;
    let hanging = hooks.hold_deletes.write().await;
    let work = rig.storage.clone().run_worker(async {});
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it hangs too");
    drop(hanging);
    assert_eq!(hooks.deletes.lock().len(), 1);
    assert_eq!(notes(&rig).await.len(), 9, "for the next process");
}

#[tokio::test]
async fn a_write_whose_row_a_trigger_drops_keeps_its_note_until_its_blob_is_gone() {
    let (rig, hooks) = rig().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    rig.sql(
        "CREATE FUNCTION public.drops() RETURNS trigger LANGUAGE plpgsql
         AS 'BEGIN RETURN NULL; END'",
    )
    .await;
    // Policies are asked by an insertion too, which this trigger leaves alone.
    rig.sql(
        "CREATE TRIGGER drops BEFORE INSERT ON storage.objects FOR EACH ROW
         WHEN (NEW.metadata ? 'eTag') EXECUTE FUNCTION public.drops()",
    )
    .await;
    for condition in [WriteCondition::None, WriteCondition::Create, WriteCondition::Absent] {
        for ctx in [service(), user(ALICE)] {
            let dropped = rig.put_if(&ctx, &bucket, "x", b"abc", condition.clone()).await;
            assert!(matches!(dropped, Err(Error::Catalog(_))), "{condition:?}: {dropped:?}");
        }
    }
    assert_eq!(notes(&rig).await.len(), 6, "a crash now leaves blobs that nobody knows");
    rig.work_until("notes gone", async || notes(&rig).await.is_empty()).await;
    assert!(rig.blob_files(&bucket).is_empty());
    assert_eq!(hooks.deletes.lock().len(), 6);
}

#[tokio::test]
async fn a_body_that_is_refused_leaves_no_row() {
    let (rig, _) = rig().await;
    let bucket = rig.bucket("b").await;
    let upload = rig.storage.begin_upload(&service(), new_object(&bucket, "x", 3)).await.unwrap();
    let expected = Expected { md5: Some([0; 16]), ..Expected::default() };
    let refused = upload.receive(body(b"abc"), expected).await;
    assert_eq!(refused.as_ref().map_err(name_of).unwrap_err(), "BadDigest");
    assert!(rig.row_files(&bucket).await.is_empty());
    assert!(rig.blob_files(&bucket).is_empty());
}
