//! Moves, copies, deletes and signatures of the REST API: rights, rows and blobs.

use crate::support::stores::{Hooked, Hooks};
use crate::support::{ALICE, BOB, Plan, Rig, anon, eventually, key, name_of, service, user};
use rowlock_storage::{
    Context, CopyMetadata, CopyRequest, Error, MoveRequest, OwnMetadata, WriteCondition,
};
use rowlock_types::BucketName;
use serde_json::json;
use std::sync::Arc;

fn to(bucket: &BucketName, name: &str, to_bucket: &BucketName, to_name: &str) -> MoveRequest {
    MoveRequest {
        bucket: bucket.clone(),
        name: name.to_owned(),
        to_bucket: to_bucket.clone(),
        to_key: key(to_name),
    }
}

async fn moves(rig: &Rig, ctx: &Context, request: MoveRequest) -> String {
    match rig.storage.move_object(ctx, request).await {
        Ok(()) => "moved".to_owned(),
        Err(error) => name_of(&error),
    }
}

#[tokio::test]
async fn a_move_keeps_the_object_and_leaves_nothing_behind() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let (from, into) = (rig.bucket("from").await, rig.bucket("into").await);
    rig.put(&user(ALICE), &from, "a/one", b"bytes").await.unwrap();
    rig.sql(
        "UPDATE storage.objects SET user_metadata = '{\"n\": 1}',
           metadata = metadata || '{\"xRobotsTag\": \"noindex\", \"lastModified\": \"2020-01-01T00:00:00.000Z\"}'",
    )
    .await;
    let row = "SELECT id::text || created_at::text || user_metadata::text || (metadata - 'lastModified')::text
               FROM storage.objects";
    let before = rig.text(row).await;
    let request = to(&from, "a/one", &into, "b/two");
    assert_eq!(moves(&rig, &user(BOB), request).await, "moved");
    assert_eq!(rig.text(row).await, before);
    assert_eq!(rig.get(&user(BOB), &into, "b/two").await.unwrap(), b"bytes");
    // Whoever knew the target by its date sees that it is another object.
    let moved =
        "SELECT owner_id || (metadata->>'lastModified' > '2026')::text FROM storage.objects";
    assert_eq!(rig.text(moved).await, format!("{BOB}true"));
    assert!(matches!(rig.get(&user(BOB), &from, "a/one").await, Err(Error::NoSuchKey)));
    rig.drain().await;
    assert!(rig.blob_files(&from).is_empty());
    assert_eq!(rig.blob_files(&into), rig.row_files(&into).await);
    // To where it is, nothing is done.
    let row = "SELECT version FROM storage.objects";
    let before = rig.text(row).await;
    let request = to(&into, "b/two", &into, "b/two");
    assert_eq!(moves(&rig, &user(BOB), request).await, "moved");
    assert_eq!(rig.text(row).await, before);
}

#[tokio::test]
async fn moves_need_the_rights_to_read_and_to_change_and_a_free_target() {
    let rig = Rig::new().await;
    let (b, other) = (rig.bucket("b").await, rig.bucket("other").await);
    rig.sql(
        "CREATE POLICY r ON storage.objects FOR SELECT TO authenticated USING (name <> 'hidden');
         CREATE POLICY w ON storage.objects FOR UPDATE TO authenticated
           USING (owner_id = auth.uid()::text) WITH CHECK (bucket_id = 'b')",
    )
    .await;
    for name in ["mine", "taken", "hidden"] {
        rig.put(&service(), &b, name, b"x").await.unwrap();
    }
    rig.sql(&format!("UPDATE storage.objects SET owner_id = '{ALICE}'")).await;
    let nowhere = BucketName::existing("nowhere").unwrap();
    let before = rig.blob_files(&b);
    for (ctx, request, wanted) in [
        (user(ALICE), to(&b, "absent", &b, "x"), "NoSuchKey"),
        (user(ALICE), to(&nowhere, "mine", &b, "x"), "NoSuchKey"),
        (user(ALICE), to(&b, "hidden", &b, "x"), "NoSuchKey"),
        (anon(), to(&b, "mine", &b, "x"), "NoSuchKey"),
        (user(BOB), to(&b, "mine", &b, "x"), "AccessDenied"),
        (user(BOB), to(&b, "mine", &b, "mine"), "AccessDenied"),
        (user(ALICE), to(&b, "mine", &other, "x"), "42501"),
        (user(ALICE), to(&b, "mine", &b, "taken"), "23505"),
        // What the caller would not see at its new place, it can't put there.
        (user(ALICE), to(&b, "mine", &b, "hidden"), "42501"),
        (service(), to(&b, "mine", &b, "taken"), "23505"),
        (service(), to(&b, "mine", &nowhere, "x"), "23503"),
        (service(), to(&b, "absent", &b, "x"), "NoSuchKey"),
    ] {
        assert_eq!(moves(&rig, &ctx, request.clone()).await, wanted, "{request:?}");
    }
    assert_eq!(rig.blob_files(&b), before);
    assert_eq!(moves(&rig, &user(ALICE), to(&b, "mine", &b, "free")).await, "moved");
}

/// A rig whose first copy of a blob waits until something else was done.
async fn interrupted<F>(during: F) -> (Rig, Arc<Hooks>)
where
    F: FnOnce() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static,
{
    let hooks = Arc::new(Hooks::default());
    let mut during = Some(during);
    *hooks.copied.lock() = Some(Box::new(move |_| match during.take() {
        Some(during) => during(),
        None => Box::pin(async {}),
    }));
    let given = Arc::clone(&hooks);
    let plan = Plan {
        wrap: Some(Box::new(|inner| Arc::new(Hooked { inner, hooks: given }))),
        ..Plan::default()
    };
    (Rig::with(plan).await, hooks)
}

/// Runs SQL while the first copy of a blob waits.
async fn with_sql_during_the_copy(sql: &'static str) -> (Rig, Arc<Hooks>) {
    let (send, receive) = tokio::sync::oneshot::channel::<tokio_postgres::Client>();
    let (rig, hooks) = interrupted(move || {
        Box::pin(async move {
            let client = receive.await.unwrap();
            client.batch_execute(sql).await.unwrap();
        })
    })
    .await;
    assert!(send.send(rig.db.connect(rig.db.superuser()).await).is_ok());
    (rig, hooks)
}

#[tokio::test]
async fn a_row_that_changes_while_its_blob_is_copied_is_asked_about_again() {
    let (rig, hooks) = with_sql_during_the_copy(
        "UPDATE storage.objects SET owner_id = 'somebody else' WHERE name = 'a'",
    )
    .await;
    let b = rig.bucket("b").await;
    rig.sql(
        "CREATE POLICY r ON storage.objects FOR SELECT TO authenticated USING (true);
         CREATE POLICY i ON storage.objects FOR INSERT TO authenticated WITH CHECK (true);
         CREATE POLICY w ON storage.objects FOR UPDATE TO authenticated
           USING (owner_id = auth.uid()::text)",
    )
    .await;
    rig.put(&user(ALICE), &b, "a", b"x").await.unwrap();
    assert_eq!(moves(&rig, &user(ALICE), to(&b, "a", &b, "c")).await, "AccessDenied");
    assert_eq!(rig.text("SELECT name FROM storage.objects").await, "a");
    // The copy that was made for nothing goes.
    let rows = rig.row_files(&b).await;
    rig.work_until("no blob too many", || async { rig.blob_files(&b) == rows }).await;
    drop(hooks);
}

#[tokio::test]
async fn a_move_never_takes_the_bytes_of_an_older_version() {
    let (rig, hooks) = with_sql_during_the_copy(
        "UPDATE storage.objects o SET version = n.version, metadata = n.metadata
         FROM storage.objects n WHERE o.name = 'a' AND n.name = 'newer';
         SET storage.allow_delete_query = 'true';
         DELETE FROM storage.objects WHERE name = 'newer'",
    )
    .await;
    let b = rig.bucket("b").await;
    rig.put(&service(), &b, "a", b"old").await.unwrap();
    rig.put(&service(), &b, "newer", b"newer").await.unwrap();
    // The blob that the row will name lies where the row says.
    let version = rig.text("SELECT version FROM storage.objects WHERE name = 'newer'").await;
    let folder = rig.root().join("stub/ten/b");
    std::fs::copy(folder.join("newer").join(&version), folder.join("a").join(&version)).unwrap();
    assert_eq!(moves(&rig, &service(), to(&b, "a", &b, "c")).await, "moved");
    assert_eq!(rig.get(&service(), &b, "c").await.unwrap(), b"newer");
    drop(hooks);
}

#[tokio::test]
async fn deletes_tell_what_is_there_and_take_what_the_caller_may() {
    let rig = Rig::new().await;
    let b = rig.bucket("b").await;
    rig.sql(
        "CREATE POLICY r ON storage.objects FOR SELECT TO authenticated USING (name <> 'hidden');
         CREATE POLICY d ON storage.objects FOR DELETE TO authenticated
           USING (owner_id = auth.uid()::text)",
    )
    .await;
    for name in ["z", "a", "kept", "hidden", "one"] {
        rig.put(&service(), &b, name, b"x").await.unwrap();
    }
    rig.sql(&format!("UPDATE storage.objects SET owner_id = '{ALICE}' WHERE name <> 'kept'")).await;
    let alice = user(ALICE);
    let remove = async |ctx: &Context, name: &str| {
        let removed = rig.storage.remove_object(ctx, &b, name).await;
        removed.map_or_else(|error| name_of(&error), |()| "removed".to_owned())
    };
    assert_eq!(remove(&alice, "absent").await, "NoSuchKey");
    assert_eq!(remove(&alice, "kept").await, "AccessDenied");
    assert_eq!(remove(&alice, "hidden").await, "AccessDenied");
    assert_eq!(remove(&anon(), "one").await, "AccessDenied");
    assert_eq!(remove(&alice, "one").await, "removed");
    assert_eq!(remove(&alice, "one").await, "NoSuchKey");
    let names = ["z", "absent", "a", "kept", "hidden", "z"];
    let rows = rig.storage.remove_objects(&alice, &b, &names).await.unwrap();
    let removed: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(removed, ["z", "a"]);
    assert_eq!(rows[0].owner_id.as_deref(), Some(ALICE));
    assert_eq!(rows[0].metadata.as_ref().unwrap()["size"], 1);
    rig.drain().await;
    assert_eq!(rig.blob_files(&b), rig.row_files(&b).await);
    let left = rig.texts("SELECT name FROM storage.objects ORDER BY name").await;
    assert_eq!(left, ["hidden", "kept"]);
    let unknown = BucketName::existing("unknown").unwrap();
    assert!(rig.storage.remove_objects(&alice, &unknown, &["z"]).await.unwrap().is_empty());
}

#[tokio::test]
async fn urls_are_signed_for_what_the_caller_could_do() {
    let rig = Rig::new().await;
    let b = rig.bucket("b").await;
    rig.sql(
        "CREATE POLICY r ON storage.objects FOR SELECT TO authenticated
           USING (owner_id = auth.uid()::text);
         CREATE POLICY i ON storage.objects FOR INSERT TO anon, authenticated
           WITH CHECK (name LIKE 'in/%');
         UPDATE storage.buckets SET allowed_mime_types = '{image/png}', file_size_limit = 1",
    )
    .await;
    rig.sql(&format!(
        "INSERT INTO storage.objects (bucket_id, name, owner_id)
         VALUES ('b', 'mine', '{ALICE}'), ('b', 'his', '{BOB}'), ('b', 'in/there', '{BOB}')"
    ))
    .await;
    let readable = rig.storage.readable(&user(ALICE), &b, &["mine", "his", "none"]).await.unwrap();
    assert_eq!(readable.into_iter().collect::<Vec<_>>(), ["mine"]);
    let unknown = BucketName::existing("unknown").unwrap();
    assert!(rig.storage.readable(&service(), &unknown, &["mine"]).await.unwrap().is_empty());
    let rows = "SELECT count(*)::text FROM storage.objects";
    let before = rig.text(rows).await;
    for (ctx, bucket, name, upsert, wanted) in [
        // The right to insert is enough, and limits bind the upload later.
        (anon(), &b, "in/new", false, "allowed"),
        (anon(), &b, "out/new", false, "42501"),
        (anon(), &b, "in/there", false, "PreconditionFailed"),
        (anon(), &b, "in/there", true, "42501"),
        (user(ALICE), &b, "in/there", true, "42501"),
        (service(), &b, "out/new", false, "allowed"),
        (service(), &b, "in/there", false, "PreconditionFailed"),
        (service(), &b, "in/there", true, "allowed"),
        (service(), &unknown, "x", false, "NoSuchBucket"),
    ] {
        let said = rig.storage.may_upload(&ctx, bucket, &key(name), upsert).await;
        let said = said.map_or_else(|error| name_of(&error), |()| "allowed".to_owned());
        assert_eq!(said, wanted, "{name} {upsert}");
    }
    assert_eq!(rig.text(rows).await, before);
}

#[tokio::test]
async fn copies_keep_what_rest_clients_stored() {
    let rig = Rig::new().await;
    let b = rig.bucket("b").await;
    rig.sql(
        "UPDATE storage.buckets SET public = true;
         CREATE POLICY r ON storage.objects FOR SELECT TO authenticated
           USING (owner_id = auth.uid()::text);
         CREATE POLICY i ON storage.objects FOR INSERT TO authenticated WITH CHECK (true)",
    )
    .await;
    rig.put(&user(ALICE), &b, "a", b"bytes").await.unwrap();
    let stored = json!({"n": 1, "list": [true, null]});
    rig.sql(&format!(
        "UPDATE storage.objects SET user_metadata = '{stored}',
         metadata = metadata || '{{\"xRobotsTag\": \"noindex\"}}'"
    ))
    .await;
    let source = rig.storage.find_source(&user(ALICE), &b, "a").await.unwrap();
    // That the bucket is public gives nobody a source.
    assert!(matches!(rig.storage.find_source(&user(BOB), &b, "a").await, Err(Error::NoSuchKey)));
    let copy = async |ctx: &Context| {
        let own = OwnMetadata {
            user_metadata: source.user_metadata.clone(),
            robots: source.object.metadata.x_robots_tag.clone(),
        };
        let request = CopyRequest {
            bucket: b.clone(),
            key: key("c"),
            metadata: CopyMetadata::Source,
            condition: WriteCondition::Create,
            tags: None,
            checksum: None,
        };
        rig.storage.copy_to_row(ctx, &source.object, request, own).await
    };
    let row = copy(&user(ALICE)).await.unwrap();
    assert_eq!((row.name.as_str(), row.owner_id.as_deref()), ("c", Some(ALICE)));
    assert_eq!(row.user_metadata, Some(stored));
    let metadata = row.metadata.unwrap();
    assert_eq!((&metadata["xRobotsTag"], &metadata["size"]), (&json!("noindex"), &json!(5)));
    assert_eq!(rig.get(&user(ALICE), &b, "c").await.unwrap(), b"bytes");
    assert!(matches!(copy(&user(ALICE)).await, Err(Error::PreconditionFailed)));
    // S3 says less about it, and copies as much.
    let seen = rig.storage.find_object(&user(ALICE), &b, &key("a")).await.unwrap();
    assert_eq!(seen.user_metadata["list"], "[true,null]");
    for (name, metadata) in
        [("d", CopyMetadata::Source), ("e", CopyMetadata::Redirected(Some("/x".to_owned())))]
    {
        let request = CopyRequest {
            bucket: b.clone(),
            key: key(name),
            metadata,
            condition: WriteCondition::Absent,
            tags: None,
            checksum: None,
        };
        rig.storage.copy_object(&service(), &seen, request).await.unwrap();
        let copied = rig.storage.find_source(&service(), &b, name).await.unwrap();
        assert_eq!(copied.user_metadata, source.user_metadata, "{name}");
        assert_eq!(copied.object.metadata.x_robots_tag.as_deref(), Some("noindex"), "{name}");
    }
    assert!(eventually(|| async { rig.blob_files(&b) == rig.row_files(&b).await }).await);
}
