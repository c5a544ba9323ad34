//! Emptying a bucket: as the caller, of any size, and nothing that came later.

use crate::support::{ALICE, BOB, Rig, key, name_of, new_object, service, user};
use rowlock_storage::Context;
use rowlock_types::{BucketName, Operation};

fn emptying(ctx: &Context) -> Context {
    Context { operation: Operation::BucketEmpty, ..ctx.clone() }
}

/// Rows with no blob behind them: the outbox finds nothing to delete for them.
async fn fill(rig: &Rig, bucket: &BucketName, rows: i32, owner: &str) {
    let insert = "INSERT INTO storage.objects (bucket_id, name, version, owner_id, metadata)
        SELECT $1, 'k' || lpad(i::text, 6, '0') || $3, gen_random_uuid(), $3, '{}'
        FROM generate_series(1, $2) i";
    rig.admin.execute(insert, &[&bucket.as_str(), &rows, &owner]).await.unwrap();
}

async fn count(rig: &Rig, condition: &str) -> String {
    rig.text(&format!("SELECT count(*)::text FROM storage.objects WHERE {condition}")).await
}

async fn emptyings(rig: &Rig) -> String {
    let outbox = rig.own_table("outbox");
    rig.text(&format!("SELECT count(*)::text FROM {outbox} WHERE kind = 'empty_bucket'")).await
}

#[tokio::test]
async fn a_small_bucket_is_empty_at_the_answer() {
    let rig = Rig::new().await;
    let (bucket, other) = (rig.bucket("b").await, rig.bucket("c").await);
    for name in ["a", "a/b", "c//d"] {
        rig.put(&service(), &bucket, name, b"x").await.unwrap();
    }
    rig.put(&service(), &other, "a", b"x").await.unwrap();
    rig.storage.empty_bucket(&emptying(&service()), &bucket).await.unwrap();
    assert_eq!(count(&rig, "bucket_id = 'b'").await, "0");
    assert_eq!(emptyings(&rig).await, "0");
    rig.drain().await;
    assert!(rig.blob_files(&bucket).is_empty());
    assert_eq!(rig.blob_files(&other), rig.row_files(&other).await);
}

#[tokio::test]
async fn a_large_bucket_goes_on_after_a_restart_and_spares_what_came_later() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    fill(&rig, &bucket, 2600, "x").await;
    rig.storage.empty_bucket(&emptying(&service()), &bucket).await.unwrap();
    // The first thousand went before the answer; nobody has worked on the rest yet.
    assert_eq!(count(&rig, "bucket_id = 'b'").await, "1600");
    assert_eq!(emptyings(&rig).await, "1");
    rig.put(&service(), &bucket, "k002000new", b"new").await.unwrap();
    rig.put(&service(), &bucket, "k002000x", b"overwritten").await.unwrap();
    // The first worker is told to stop at once, as a server that is restarted.
    rig.storage.clone().run_worker(async {}).await;
    rig.drain().await;
    assert_eq!(count(&rig, "bucket_id = 'b'").await, "2");
    assert_eq!(rig.get(&service(), &bucket, "k002000x").await.unwrap(), b"overwritten");
    assert_eq!(rig.get(&service(), &bucket, "k002000new").await.unwrap(), b"new");
}

#[tokio::test]
async fn only_what_the_caller_may_delete_goes() {
    let rig = Rig::new().await;
    rig.sql(
        "CREATE POLICY see ON storage.objects FOR SELECT USING (true);
         CREATE POLICY own ON storage.objects FOR DELETE
           USING (owner_id = auth.uid()::text AND storage.operation() = 'storage.bucket.empty');
         CREATE POLICY see ON storage.buckets FOR SELECT USING (true)",
    )
    .await;
    let bucket = rig.bucket("b").await;
    fill(&rig, &bucket, 1300, ALICE).await;
    fill(&rig, &bucket, 1300, BOB).await;
    rig.storage.empty_bucket(&emptying(&user(ALICE)), &bucket).await.unwrap();
    assert_eq!(emptyings(&rig).await, "1");
    rig.drain().await;
    assert_eq!(count(&rig, &format!("owner_id = '{ALICE}'")).await, "0");
    assert_eq!(count(&rig, &format!("owner_id = '{BOB}'")).await, "1300");
}

#[tokio::test]
async fn a_bucket_that_the_caller_cannot_see_is_none() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "a", b"x").await.unwrap();
    for (ctx, bucket) in
        [(user(ALICE), bucket.clone()), (service(), BucketName::existing("none").unwrap())]
    {
        let refused = rig.storage.empty_bucket(&emptying(&ctx), &bucket).await.unwrap_err();
        assert_eq!(name_of(&refused), "NoSuchBucket");
    }
    assert_eq!(count(&rig, "true").await, "1");
}

#[tokio::test]
async fn a_job_whose_role_is_gone_ends() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    fill(&rig, &bucket, 1300, "x").await;
    rig.storage.empty_bucket(&emptying(&service()), &bucket).await.unwrap();
    let outbox = rig.own_table("outbox");
    for role in ["nobody_here", "postgres", "none"] {
        rig.sql(&format!(
            "INSERT INTO {outbox} (kind, bucket_id, name, payload)
             SELECT kind, bucket_id, name, payload || '{{\"role\": \"{role}\"}}' FROM {outbox}
             WHERE kind = 'empty_bucket' LIMIT 1"
        ))
        .await;
    }
    rig.sql(&format!(
        "DELETE FROM {outbox} WHERE kind = 'empty_bucket' AND payload->>'role' = 'service_role'"
    ))
    .await;
    rig.drain().await;
    assert_eq!(count(&rig, "true").await, "300");
}

#[tokio::test]
async fn uploads_begun_before_it_end() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    rig.sql("CREATE POLICY see ON storage.buckets FOR SELECT USING (true)").await;
    let bucket = rig.bucket("b").await;
    let begin = async |ctx: &Context| {
        rig.storage.create_multipart(ctx, new_object(&bucket, "m", 0)).await.unwrap();
    };
    let owners = async || {
        rig.texts("SELECT owner_id FROM storage.s3_multipart_uploads ORDER BY created_at").await
    };
    begin(&user(ALICE)).await;
    begin(&user(BOB)).await;
    rig.storage.empty_bucket(&emptying(&user(ALICE)), &bucket).await.unwrap();
    assert_eq!(owners().await, [BOB]);
    rig.storage.empty_bucket(&emptying(&service()), &bucket).await.unwrap();
    assert!(owners().await.is_empty());
    begin(&user(BOB)).await;
    rig.drain().await;
    assert_eq!(owners().await, [BOB]);
    // Nothing of the ended uploads is left, and the bucket works.
    rig.put(&service(), &bucket, "m", b"x").await.unwrap();
    assert!(rig.storage.find_object(&service(), &bucket, &key("m")).await.is_ok());
}

#[tokio::test]
async fn rows_of_a_later_release_stop_nobody() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "a", b"x").await.unwrap();
    let outbox = rig.own_table("outbox");
    rig.sql(&format!(
        "ALTER TABLE {outbox} DROP CONSTRAINT rowlock_outbox_kind_check;
         INSERT INTO {outbox} (kind, bucket_id, name) VALUES ('from_the_future', 'b', 'f')"
    ))
    .await;
    rig.storage.empty_bucket(&emptying(&service()), &bucket).await.unwrap();
    rig.work_until("the blob to go", || async { rig.blob_files(&bucket).is_empty() }).await;
    assert_eq!(rig.outbox_rows().await, ["f:-"]);
}
