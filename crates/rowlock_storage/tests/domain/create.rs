//! Objects that are created and replace nothing, and reads of public buckets.

use crate::support::{ALICE, Rig, anon, body, key, name_of, new_object, service, slow_body, user};
use bytes::Bytes;
use rowlock_storage::{
    Access, Context, Error, Expected, NewObject, OwnMetadata, Stored, WriteCondition,
};
use rowlock_types::BucketName;
use serde_json::json;

async fn create(
    rig: &Rig,
    ctx: &Context,
    bucket: &BucketName,
    name: &str,
) -> Result<Stored, Error> {
    let new = NewObject { condition: WriteCondition::Create, ..new_object(bucket, name, 3) };
    let upload = rig.storage.begin_upload(ctx, new).await?;
    upload.store(body(b"new"), Expected::default()).await
}

#[tokio::test]
async fn the_right_to_insert_is_enough() {
    let rig = Rig::new().await;
    rig.sql("CREATE POLICY put ON storage.objects FOR INSERT WITH CHECK (name LIKE 'mine/%')")
        .await;
    let bucket = rig.bucket("b").await;
    let stored = create(&rig, &user(ALICE), &bucket, "mine/a").await.unwrap();
    let row = "SELECT id::text FROM storage.objects WHERE name = 'mine/a'";
    assert_eq!(rig.text(row).await, stored.id.to_string());
    // A policy's refusal comes before the question whether something is there.
    for (name, refusal) in [("mine/a", "PreconditionFailed"), ("other", "42501")] {
        let refused = create(&rig, &user(ALICE), &bucket, name).await.unwrap_err();
        assert_eq!(name_of(&refused), refusal, "{name}");
    }
    let refused = create(&rig, &service(), &bucket, "mine/a").await.unwrap_err();
    assert_eq!(name_of(&refused), "PreconditionFailed");
    assert_eq!(rig.get(&service(), &bucket, "mine/a").await.unwrap(), b"new");
}

#[tokio::test]
async fn of_overlapping_creates_one_wins() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let mut running = Vec::new();
    for i in 0..8 {
        let ctx = if i % 2 == 0 { service() } else { user(ALICE) };
        let new = NewObject { condition: WriteCondition::Create, ..new_object(&bucket, "k", 1) };
        let upload = rig.storage.begin_upload(&ctx, new).await.unwrap();
        let (send, bytes) = slow_body();
        let receiving = tokio::spawn(upload.store(bytes, Expected::default()));
        running.push((send, receiving, i));
    }
    let mut outcomes = Vec::new();
    for (send, receiving, i) in running {
        send.send(Ok(Bytes::from(format!("{i}")))).unwrap();
        drop(send);
        outcomes.push(receiving);
    }
    let mut winners = 0;
    for outcome in outcomes {
        match outcome.await.unwrap() {
            Ok(_) => winners += 1,
            Err(error) => assert_eq!(name_of(&error), "PreconditionFailed"),
        }
    }
    assert_eq!(winners, 1);
    rig.drain().await;
    rig.work_until("the losers' blobs to go", || async {
        rig.blob_files(&bucket) == rig.row_files(&bucket).await
    })
    .await;
}

#[tokio::test]
async fn whatever_json_is_kept() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let own = OwnMetadata {
        user_metadata: Some(json!({"n": 1, "list": [true, null], "t": "x"})),
        robots: Some("noindex".into()),
    };
    let new = new_object(&bucket, "k", 3);
    let upload = rig.storage.begin_upload_with(&service(), new, own.clone()).await.unwrap();
    let stored = upload.store(body(b"abc"), Expected::default()).await.unwrap();
    let opened = rig.storage.open(&service(), &bucket, &key("k"), Access::Caller).await.unwrap();
    assert_eq!(opened.id, stored.id);
    assert_eq!(opened.user_metadata, own.user_metadata);
    assert_eq!(opened.object.metadata.x_robots_tag, own.robots);
    assert_eq!(opened.version.as_deref(), Some(&*stored.uploaded.version.to_string()));
}

#[tokio::test]
async fn public_buckets_are_open_and_others_are_the_policies() {
    let rig = Rig::new().await;
    rig.sql("CREATE POLICY see ON storage.objects FOR SELECT USING (name = 'seen')").await;
    let (closed, open) = (rig.bucket("closed").await, rig.bucket("open").await);
    rig.sql("UPDATE storage.buckets SET public = true WHERE id = 'open'").await;
    for bucket in [&closed, &open] {
        for name in ["seen", "hidden"] {
            rig.put(&service(), bucket, name, b"x").await.unwrap();
        }
    }
    let none = BucketName::existing("none").unwrap();
    let read = async |ctx: &Context, bucket: &BucketName, name: &str, access| {
        let found = rig.storage.open(ctx, bucket, &key(name), access).await;
        found.map(|_| "found").map_err(|error| name_of(&error).to_owned())
    };
    let no = |what: &str| Err(what.to_owned());
    for name in ["seen", "hidden"] {
        assert_eq!(read(&anon(), &open, name, Access::Anyone).await, Ok("found"));
        assert_eq!(read(&user(ALICE), &open, name, Access::Caller).await, Ok("found"));
        assert_eq!(read(&service(), &closed, name, Access::Caller).await, Ok("found"));
        assert_eq!(read(&service(), &closed, name, Access::Anyone).await, no("NoSuchBucket"));
    }
    assert_eq!(read(&user(ALICE), &closed, "seen", Access::Caller).await, Ok("found"));
    assert_eq!(read(&user(ALICE), &closed, "hidden", Access::Caller).await, no("NoSuchKey"));
    for (ctx, access) in [(anon(), Access::Anyone), (user(ALICE), Access::Caller)] {
        assert_eq!(read(&ctx, &none, "k", access).await, no("NoSuchBucket"));
        assert_eq!(read(&ctx, &open, "k", access).await, no("NoSuchKey"));
    }
}

#[tokio::test]
async fn a_broken_policy_closes_private_buckets_only() {
    let rig = Rig::new().await;
    rig.sql("CREATE POLICY broken ON storage.objects FOR SELECT USING (1 / length('') = 1)").await;
    let (closed, open) = (rig.bucket("closed").await, rig.bucket("open").await);
    rig.sql("UPDATE storage.buckets SET public = true WHERE id = 'open'").await;
    for bucket in [&closed, &open] {
        rig.put(&service(), bucket, "k", b"x").await.unwrap();
    }
    let read = async |bucket: &BucketName| {
        rig.storage.open(&user(ALICE), bucket, &key("k"), Access::Caller).await.is_ok()
    };
    assert!(read(&open).await);
    assert!(!read(&closed).await);
}
