//! The worker: what it deletes, and what it must never delete.

use crate::support::stores::{Hooked, Hooks};
use crate::support::{
    ALICE, Plan, Rig, anon, body, collect, eventually, key, name_of, new_object, service, user,
};
use rowlock_blobs::BlobKey;
use rowlock_blobs::file::Separator;
use rowlock_catalog::OwnSchema;
use rowlock_storage::{DeleteOutcome, Expected, ListQuery, WriteCondition};
use rowlock_types::{BucketName, Version};
use std::sync::Arc;
use std::time::Duration;

/// A row written by hand.
async fn row(rig: &Rig, bucket: &BucketName, name: &str, version: Option<&str>) {
    let insert = r#"INSERT INTO storage.objects (bucket_id, name, version, metadata)
                    VALUES ($1, $2, $3, '{"size": 6}')"#;
    rig.admin.execute(insert, &[&bucket.as_str(), &name, &version]).await.unwrap();
}

async fn version(rig: &Rig, name: &str) -> String {
    rig.text(&format!("SELECT version FROM storage.objects WHERE name = '{name}'")).await
}

async fn delete(rig: &Rig, bucket: &BucketName, name: &str) {
    let outcome = rig.storage.delete_object(&service(), bucket, &key(name)).await.unwrap();
    assert_eq!(outcome, DeleteOutcome::Deleted);
    let left = format!("SELECT name FROM storage.objects WHERE name = '{name}'");
    assert!(rig.texts(&left).await.is_empty());
}

#[tokio::test]
async fn rows_without_a_version_take_no_other_objects_blobs_along() {
    for separator in [Separator::Slash, Separator::DashV] {
        let rig = Rig::with(Plan { separator, ..Plan::default() }).await;
        let bucket = rig.bucket("b").await;
        for name in ["a", "a//zz", "a/b/c", "//"] {
            rig.put(&service(), &bucket, name, b"victim").await.unwrap();
        }
        let before = rig.files();
        let uuid = version(&rig, "a").await;
        let zz = version(&rig, "a//zz").await;
        let slashes = version(&rig, "//").await;
        let hostile = [
            format!("a/{uuid}"),
            format!("a//{uuid}"),
            format!("/a/{uuid}/"),
            format!("a-$v-{uuid}"),
            format!("/a-$v-{uuid}"),
            format!("a/zz/{zz}"),
            format!("a/zz//{zz}"),
            format!("a/zz-$v-{zz}"),
            format!("a//zz-$v-{zz}"),
            slashes.clone(),
            format!("-$v-{slashes}"),
            "a/b".to_owned(),
            "a/zz".to_owned(),
            "a/".to_owned(),
            "/".to_owned(),
        ];
        for name in &hostile {
            row(&rig, &bucket, name, None).await;
            let read = rig.get(&service(), &bucket, name).await;
            assert_eq!(read.as_ref().map_err(name_of), Err("NoSuchKey".into()), "{name}");
            delete(&rig, &bucket, name).await;
        }
        rig.drain().await;
        assert_eq!(rig.files(), before);
        for name in ["a", "a//zz", "a/b/c", "//"] {
            assert_eq!(rig.get(&service(), &bucket, name).await.unwrap(), b"victim");
        }
    }
}

#[tokio::test]
async fn a_foreign_version_gives_no_power_over_its_blob() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "a//zz", b"victim").await.unwrap();
    let before = rig.files();
    let uuid = version(&rig, "a//zz").await;
    for name in ["a/zz", "/a/zz", "a/zz/", "a", "other", "a///zz"] {
        row(&rig, &bucket, name, Some(&uuid)).await;
        delete(&rig, &bucket, name).await;
    }
    rig.drain().await;
    assert_eq!(rig.files(), before);
    assert_eq!(rig.get(&service(), &bucket, "a//zz").await.unwrap(), b"victim");
    delete(&rig, &bucket, "a//zz").await;
    rig.drain().await;
    assert!(rig.blob_files(&bucket).is_empty());
}

#[tokio::test]
async fn versions_that_are_no_versions_name_nothing() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "k", b"victim").await.unwrap();
    let uuid = version(&rig, "k").await;
    let outside = rig.root().join("outside");
    std::fs::write(&outside, "secret").unwrap();
    let before = rig.files();
    let up = format!("../k/{uuid}");
    let loud = uuid.to_uppercase();
    for bad in
        ["..", "../..", "../../../../outside", "/etc/passwd", "a/b", "1", "\u{1}", &up, &loud]
    {
        row(&rig, &bucket, "evil", Some(bad)).await;
        let read = rig.get(&service(), &bucket, "evil").await;
        assert_eq!(read.as_ref().map_err(name_of), Err("NoSuchKey".into()), "{bad}");
        delete(&rig, &bucket, "evil").await;
    }
    // Names that no key has, as an adopted database may hold them.
    let table = rig.own_table("outbox");
    for (name, version) in [("../../../outside", None), ("x/../k", Some(&uuid)), ("", None)] {
        let insert = format!(
            "INSERT INTO {table} (kind, bucket_id, name, version) VALUES ('delete_blob', 'b', $1, $2)"
        );
        rig.admin.execute(&insert, &[&name, &version]).await.unwrap();
    }
    rig.sql(&format!(
        "INSERT INTO {table} (kind, bucket_id, name, version) VALUES
           ('delete_blob', '..', 'outside', NULL), ('delete_blob', 'b/k', 'x', NULL)"
    ))
    .await;
    rig.drain().await;
    assert_eq!(rig.files(), before);
}

/// What the reference (or a migration to it) left: files without a version.
#[tokio::test]
async fn legacy_files_are_served_replaced_and_deleted() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let folder = rig.root().join("stub/ten/b");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, version) in [("null", None), ("empty", Some("")), ("replaced", None)] {
        std::fs::write(folder.join(name), "legacy").unwrap();
        row(&rig, &bucket, name, version).await;
        assert_eq!(rig.get(&service(), &bucket, name).await.unwrap(), b"legacy");
    }
    rig.put(&service(), &bucket, "replaced", b"new").await.unwrap();
    delete(&rig, &bucket, "null").await;
    delete(&rig, &bucket, "empty").await;
    rig.drain().await;
    assert_eq!(rig.get(&service(), &bucket, "replaced").await.unwrap(), b"new");
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
    assert_eq!(rig.files().len(), 1);
}

/// Row-level security that binds the owner too could make a living row look gone.
#[tokio::test]
async fn absence_under_policies_proves_nothing() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "alive", b"victim").await.unwrap();
    rig.put(&service(), &bucket, "dead", b"x").await.unwrap();
    let files = rig.blob_files(&bucket);
    let table = rig.own_table("outbox");
    rig.sql(&format!(
        "INSERT INTO {table} (kind, bucket_id, name, version)
           SELECT 'delete_blob', bucket_id, name, version FROM storage.objects;
         SELECT set_config('storage.allow_delete_query', 'true', false);
         DELETE FROM storage.objects WHERE name = 'dead';
         ALTER TABLE storage.objects FORCE ROW LEVEL SECURITY;"
    ))
    .await;
    let tried = format!("SELECT last_error FROM {table} WHERE attempts > 0 AND last_error <> ''");
    rig.work_until("both were tried", || async { rig.texts(&tried).await.len() == 2 }).await;
    assert_eq!(rig.blob_files(&bucket), files);

    // Policies that let the owner see some rows make it no better.
    rig.sql(&format!(
        "CREATE POLICY part ON storage.objects FOR SELECT USING (name <> 'alive');
         UPDATE {table} SET due_at = now(), attempts = 0, last_error = ''"
    ))
    .await;
    rig.work_until("both were tried again", || async { rig.texts(&tried).await.len() == 2 }).await;
    assert_eq!(rig.blob_files(&bucket), files);

    rig.sql(&format!(
        "ALTER TABLE storage.objects NO FORCE ROW LEVEL SECURITY;
         UPDATE {table} SET due_at = now()"
    ))
    .await;
    rig.drain().await;
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
    assert_eq!(rig.get(&service(), &bucket, "alive").await.unwrap(), b"victim");
}

#[tokio::test]
async fn nothing_is_due_while_there_is_nothing() {
    let rig = Rig::new().await;
    assert_eq!(rig.catalog.next_outbox_due().await.unwrap(), None);
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "k", b"x").await.unwrap();
    delete(&rig, &bucket, "k").await;
    let due = |seconds: i32| {
        let table = rig.own_table("outbox");
        format!("UPDATE {table} SET due_at = now() + make_interval(secs => {seconds})")
    };
    rig.sql(&due(100)).await;
    let soon = rig.catalog.next_outbox_due().await.unwrap().unwrap();
    assert!(soon > Duration::from_secs(50) && soon <= Duration::from_secs(100), "{soon:?}");
    rig.sql(&due(-100)).await;
    assert_eq!(rig.catalog.next_outbox_due().await.unwrap(), Some(Duration::ZERO));
}

#[tokio::test]
async fn a_worker_that_died_leaves_its_work_to_the_next() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    for i in 0..5 {
        rig.put(&service(), &bucket, &format!("k{i}"), b"x").await.unwrap();
        delete(&rig, &bucket, &format!("k{i}")).await;
    }
    let lease = Duration::from_secs(600);
    let claimed = rig.catalog.claim_outbox(3, lease).await.unwrap();
    assert_eq!(claimed.len(), 3);
    // Another worker gets the rest, and nothing twice.
    rig.work_until("the rest", || async { rig.outbox_rows().await.len() == 3 }).await;
    assert_eq!(rig.blob_files(&bucket).len(), 3);
    let again = rig.catalog.claim_outbox(10, lease).await.unwrap();
    assert!(again.is_empty());
    // The first one had deleted one blob before it died.
    let version = claimed[0].version.as_deref().unwrap();
    let blob = BlobKey {
        bucket: bucket.clone(),
        key: key(&claimed[0].name),
        version: Some(Version::parse(version).unwrap()),
    };
    rig.blobs.delete(&[blob]).await.remove(0).unwrap();
    rig.sql(&format!("UPDATE {} SET due_at = now()", rig.own_table("outbox"))).await;
    rig.drain().await;
    assert!(rig.files().is_empty(), "{:?}", rig.files());
}

#[tokio::test]
async fn a_failing_store_is_tried_again() {
    let hooks = Arc::new(Hooks::default());
    let shared = Arc::clone(&hooks);
    let wrap: crate::support::Wrap = Box::new(|inner| Arc::new(Hooked { inner, hooks: shared }));
    let rig = Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "k", b"x").await.unwrap();
    delete(&rig, &bucket, "k").await;
    *hooks.fail_deletes.lock() = true;
    let table = rig.own_table("outbox");
    let failed = format!("SELECT last_error FROM {table} WHERE attempts = 1 AND due_at > now()");
    rig.work_until("a failure", || async {
        rig.texts(&failed).await.first().is_some_and(|error| !error.is_empty())
    })
    .await;
    assert_eq!(rig.blob_files(&bucket).len(), 1);
    *hooks.fail_deletes.lock() = false;
    rig.sql(&format!("UPDATE {table} SET due_at = now()")).await;
    rig.drain().await;
    assert!(rig.files().is_empty());
}

/// Failed writes that end while the worker is busy and the server is told to stop.
#[tokio::test]
async fn blobs_of_failed_writes_do_not_outlive_the_server() {
    let hooks = Arc::new(Hooks::default());
    let shared = Arc::clone(&hooks);
    let wrap: crate::support::Wrap = Box::new(|inner| Arc::new(Hooked { inner, hooks: shared }));
    let rig = Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await;
    rig.sql(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $f$
           BEGIN RAISE EXCEPTION 'no'; END $f$;
         CREATE TRIGGER refuse BEFORE INSERT ON storage.objects
           FOR EACH ROW EXECUTE FUNCTION public.refuse();",
    )
    .await;
    let bucket = rig.bucket("b").await;
    for round in 1..=8 {
        let held = hooks.hold_deletes.write().await;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let worker = tokio::spawn(rig.storage.clone().run_worker(async {
            let _ = stopped.await;
        }));
        rig.put(&service(), &bucket, "one", b"x").await.unwrap_err();
        let busy = || async { hooks.deletes.lock().len() == 2 * round - 1 };
        assert!(eventually(busy).await);
        rig.put(&service(), &bucket, "two", b"x").await.unwrap_err();
        stop.send(()).unwrap();
        drop(held);
        worker.await.unwrap();
        assert!(rig.files().is_empty(), "round {round}: {:?}", rig.files());
    }
}

#[tokio::test]
async fn readers_finish_during_the_grace() {
    let rig = Rig::with(Plan { grace: Duration::from_secs(600), ..Plan::default() }).await;
    let bucket = rig.bucket("b").await;
    let mut found = Vec::new();
    for bytes in ["one", "two"] {
        rig.put(&service(), &bucket, "k", bytes.as_bytes()).await.unwrap();
        let object = rig.storage.find_object(&service(), &bucket, &key("k")).await.unwrap();
        found.push((object, bytes));
    }
    delete(&rig, &bucket, "k").await;
    // Something without grace shows that the worker has run.
    let table = rig.own_table("outbox");
    rig.sql(&format!(
        "INSERT INTO {table} (kind, bucket_id, name) VALUES ('delete_blob', 'b', 'nothing')"
    ))
    .await;
    rig.work_until("a run", || async { rig.outbox_rows().await.len() == 2 }).await;
    for (object, bytes) in &found {
        let body = rig.storage.read_blob(object, 0..object.size).await.unwrap();
        assert_eq!(collect(body).await, bytes.as_bytes());
    }
    rig.sql(&format!("UPDATE {table} SET due_at = now()")).await;
    rig.drain().await;
    assert!(rig.files().is_empty());
    let gone = rig.storage.read_blob(&found[0].0, 0..3).await.unwrap_err();
    assert_eq!(name_of(&gone), "NoSuchKey");
}

#[tokio::test]
async fn many_workers_share_one_outbox() {
    let rig = Arc::new(Rig::new().await);
    let bucket = rig.bucket("b").await;
    for i in 0..60 {
        rig.put(&service(), &bucket, &format!("f{}/k{i}", i % 7), b"x").await.unwrap();
        if i % 3 != 0 {
            delete(&rig, &bucket, &format!("f{}/k{i}", i % 7)).await;
        }
    }
    let works = (0..4).map(|_| rig.drain());
    futures_util::future::join_all(works).await;
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
    assert_eq!(rig.blob_files(&bucket).len(), 20);
}

/// Own tables in schema `storage`, where the database user may not create schemas.
#[tokio::test]
async fn all_of_it_without_a_schema_of_its_own() {
    let rig = Rig::with(Plan { creates_schemas: false, ..Plan::default() }).await;
    assert_eq!(rig.own, OwnSchema::Storage);
    one_pass(&rig).await;
    for ctx in [anon(), user(ALICE)] {
        let role = ctx.caller.role.as_str();
        let right = format!(
            "SELECT has_table_privilege('{role}', 'storage.rowlock_outbox', 'SELECT')::text"
        );
        assert_eq!(rig.text(&right).await, "false");
    }
}

#[tokio::test]
async fn all_of_it_without_named_statements() {
    one_pass(&Rig::with(Plan { named: false, ..Plan::default() }).await).await;
}

#[tokio::test]
async fn all_of_it_in_a_plain_database() {
    let world = rowlock_catalog::testing::World::Plain;
    let rig = Rig::with(Plan { world, ..Plan::default() }).await;
    assert_eq!(rig.own, OwnSchema::Rowlock);
    one_pass(&rig).await;
}

async fn one_pass(rig: &Rig) {
    let bucket = rig.bucket("b").await;
    let refused = rig.put(&user(ALICE), &bucket, "k", b"x").await.unwrap_err();
    assert_eq!(name_of(&refused), "42501");
    rig.open_policy().await;
    for ctx in [service(), user(ALICE), anon()] {
        for bytes in ["one", "two"] {
            rig.put(&ctx, &bucket, "k", bytes.as_bytes()).await.unwrap();
            assert_eq!(rig.get(&ctx, &bucket, "k").await.unwrap(), bytes.as_bytes());
        }
        crate::multipart::upload(rig, &ctx, &bucket, "k", b"three").await.unwrap();
        assert_eq!(rig.get(&ctx, &bucket, "k").await.unwrap(), b"three");
        delete(rig, &bucket, "k").await;
    }
    // Each way of a commit, and lists.
    let condition = WriteCondition::Absent;
    rig.put_if(&user(ALICE), &bucket, "c", b"one", condition).await.unwrap();
    let etag = rig.put(&user(ALICE), &bucket, "c", b"two").await.unwrap().etag;
    let condition = WriteCondition::Matches(vec![etag]);
    rig.put_if(&user(ALICE), &bucket, "c", b"three", condition).await.unwrap();
    let begun = rig.storage.begin_upload(&user(ALICE), new_object(&bucket, "c", 4)).await.unwrap();
    rig.put(&service(), &bucket, "c", b"between").await.unwrap();
    begun.receive(body(b"four"), Expected::default()).await.unwrap();
    for delimiter in ["", "/"] {
        let query = ListQuery {
            bucket: bucket.clone(),
            prefix: String::new(),
            delimiter: delimiter.into(),
            after: String::new(),
            max_keys: 10,
        };
        let page = rig.storage.list_objects(&anon(), &query).await.unwrap();
        assert_eq!(page.entries.iter().map(|e| e.name()).collect::<Vec<_>>(), ["c"]);
    }
    delete(rig, &bucket, "c").await;
    rig.storage.delete_bucket(&service(), &bucket).await.unwrap();
    rig.drain().await;
    assert!(eventually(|| async { rig.files().is_empty() }).await, "{:?}", rig.files());
}
