//! Events: one for each change that came about, written with it, and none for what did not.

use crate::support::{
    ALICE, BOB, Plan, Rig, body, caller, during, key, name_of, new_object, service, user,
};
use rowlock_storage::{
    Append, CompletePart, Context, CopyMetadata, CopyRequest, DeleteCondition, DeleteOutcome,
    Expected, MoveRequest, NewResumable, OwnMetadata, WriteCondition,
};
use rowlock_types::{BucketName, Operation, RequestInfo};
use std::sync::Arc;

pub(crate) async fn telling() -> Rig {
    Rig::with(Plan { events: true, ..Plan::default() }).await
}

/// What was written, in order, and forgets it.
pub(crate) async fn take(rig: &Rig) -> Vec<String> {
    let table = rig.own_table("events");
    let told = rig
        .texts(&format!(
            "SELECT concat_ws(' ', kind, bucket_id || '/' || name, origin ->> 'uploadType',
               metadata ->> 'size', old_object ->> 'name') FROM {table} ORDER BY created_at, kind DESC, name"
        ))
        .await;
    rig.sql(&format!("DELETE FROM {table}")).await;
    told
}

fn copy_to(bucket: &BucketName, name: &str) -> CopyRequest {
    CopyRequest {
        bucket: bucket.clone(),
        key: key(name),
        metadata: CopyMetadata::Source,
        condition: WriteCondition::None,
        tags: None,
        checksum: None,
    }
}

fn move_to(bucket: &BucketName, name: &str, to: &str) -> MoveRequest {
    MoveRequest {
        bucket: bucket.clone(),
        name: name.into(),
        to_bucket: bucket.clone(),
        to_key: key(to),
    }
}

#[tokio::test]
async fn every_way_to_change_an_object_tells_of_it() {
    for (named, ctx) in [(true, service()), (true, user(ALICE)), (false, user(ALICE))] {
        let rig = Rig::with(Plan { events: true, named, ..Plan::default() }).await;
        rig.open_policy().await;
        rig.sql("CREATE POLICY everything ON storage.buckets USING (true) WITH CHECK (true)").await;
        let b = rig.bucket("b").await;
        let rest = during(&ctx, Operation::ObjectUpload);

        rig.put(&ctx, &b, "a", b"one").await.unwrap();
        assert_eq!(take(&rig).await, ["ObjectCreated:Post b/a s3 3"]);
        rig.put(&ctx, &b, "a", b"four").await.unwrap();
        assert_eq!(take(&rig).await, ["ObjectCreated:Put b/a s3 4"]);
        rig.put_if(&rest, &b, "n", b"x", WriteCondition::Create).await.unwrap();
        assert_eq!(take(&rig).await, ["ObjectCreated:Post b/n standard 1"]);
        let tag = rig.put(&ctx, &b, "a", b"five5").await.unwrap().etag;
        take(&rig).await;
        rig.put_if(&ctx, &b, "a", b"6", WriteCondition::Matches(vec![tag])).await.unwrap();
        assert_eq!(take(&rig).await, ["ObjectCreated:Put b/a s3 1"]);

        for (operation, kind) in
            [(Operation::S3ObjectCopy, "s3"), (Operation::ObjectCopy, "standard")]
        {
            let copying = during(&ctx, operation);
            let source = rig.storage.find_object(&ctx, &b, &key("a")).await.unwrap();
            rig.storage.copy_object(&copying, &source, copy_to(&b, "c")).await.unwrap();
            assert_eq!(take(&rig).await, [format!("ObjectCreated:Copy b/c {kind} 1")]);
        }

        let moving = during(&ctx, Operation::ObjectMove);
        rig.storage.move_object(&moving, move_to(&b, "c", "m")).await.unwrap();
        let wanted = ["ObjectRemoved:Move b/c standard 1", "ObjectCreated:Move b/m standard 1 c"];
        assert_eq!(take(&rig).await, wanted);

        let at = during(&ctx, Operation::S3MultipartCreate);
        let upload = rig.storage.create_multipart(&at, new_object(&b, "p", 0)).await.unwrap();
        let part = rig.storage.begin_part(&at, &b, &key("p"), &upload, 1, Some(2)).await.unwrap();
        let part = part.receive(body(b"12"), Expected::default()).await.unwrap();
        assert_eq!(take(&rig).await, Vec::<String>::new(), "no object yet");
        let parts = vec![CompletePart { number: 1, etag: part.etag.to_string() }];
        let none = WriteCondition::None;
        let done = during(&ctx, Operation::S3MultipartComplete);
        rig.storage.complete_multipart(&done, &b, &key("p"), &upload, parts, none).await.unwrap();
        assert_eq!(take(&rig).await, ["ObjectCreated:Post b/p s3 2"]);

        let tus = during(&ctx, Operation::TusPart);
        let object = new_object(&b, "t", 0);
        let own = OwnMetadata::default();
        let new = NewResumable { object, own, length: Some(2), upload_metadata: String::new() };
        let id = rig.storage.create_resumable(&tus, new).await.unwrap().id;
        let append = Append { offset: 0, announced: Some(2), ..Append::default() };
        rig.storage.append_resumable(&tus, &id, append, body(b"ab")).await.unwrap();
        assert_eq!(take(&rig).await, ["ObjectCreated:Post b/t resumable 2"]);

        let gone = rig.storage.delete_object(&ctx, &b, &key("a")).await.unwrap();
        assert_eq!(gone, DeleteOutcome::Deleted);
        assert_eq!(take(&rig).await, ["ObjectRemoved:Delete b/a s3 1"]);
        rig.storage.remove_object(&rest, &b, "n").await.unwrap();
        assert_eq!(take(&rig).await, ["ObjectRemoved:Delete b/n standard 1"]);
        let exists = DeleteCondition::Exists;
        rig.storage.delete_object_if(&ctx, &b, &key("m"), &exists).await.unwrap();
        assert_eq!(take(&rig).await, ["ObjectRemoved:Delete b/m s3 1"]);
        let names = [key("p"), key("none"), key("p")];
        rig.storage.delete_objects(&ctx, &b, &names).await.unwrap();
        assert_eq!(take(&rig).await, ["ObjectRemoved:Delete b/p s3 2"]);
        rig.put(&ctx, &b, "u", b"x").await.unwrap();
        take(&rig).await;
        rig.storage.empty_bucket(&during(&ctx, Operation::BucketEmpty), &b).await.unwrap();
        let wanted = ["ObjectRemoved:Delete b/t standard 2", "ObjectRemoved:Delete b/u standard 1"];
        assert_eq!(take(&rig).await, wanted);
    }
}

#[tokio::test]
async fn nothing_is_told_of_what_policies_or_conditions_kept() {
    let rig = telling().await;
    rig.sql(
        "CREATE POLICY look ON storage.objects FOR SELECT USING (true);
         CREATE POLICY make ON storage.objects FOR INSERT WITH CHECK (true);
         CREATE POLICY mine ON storage.objects FOR DELETE USING (owner_id = auth.uid()::text);
         CREATE POLICY buckets ON storage.buckets USING (true)",
    )
    .await;
    let b = rig.bucket("b").await;
    let (alice, bob) = (user(ALICE), user(BOB));
    for (ctx, name) in [(&alice, "a1"), (&alice, "a2"), (&bob, "b1"), (&bob, "b2")] {
        rig.put(ctx, &b, name, b"x").await.unwrap();
    }
    take(&rig).await;
    let nothing = Vec::<String>::new();

    let kept = rig.storage.delete_object(&alice, &b, &key("b1")).await.unwrap();
    assert_eq!(kept, DeleteOutcome::AccessDenied);
    assert_eq!(take(&rig).await, nothing);
    rig.storage.remove_object(&alice, &b, "b1").await.unwrap_err();
    assert_eq!(take(&rig).await, nothing);
    let exists = DeleteCondition::Exists;
    rig.storage.delete_object_if(&alice, &b, &key("b1"), &exists).await.unwrap();
    assert_eq!(take(&rig).await, nothing);
    rig.put(&alice, &b, "b1", b"y").await.unwrap_err();
    rig.put_if(&alice, &b, "b1", b"y", WriteCondition::Absent).await.unwrap_err();
    let moving = during(&alice, Operation::ObjectMove);
    rig.storage.move_object(&moving, move_to(&b, "b1", "b3")).await.unwrap_err();
    let stranger = caller("anon", None);
    rig.storage.delete_object(&stranger, &b, &key("a1")).await.unwrap();
    assert_eq!(take(&rig).await, nothing);

    let removed = rig.storage.remove_objects(&alice, &b, &["b1", "a1", "none"]).await.unwrap();
    assert_eq!(removed.len(), 1);
    assert_eq!(take(&rig).await, ["ObjectRemoved:Delete b/a1 s3 1"]);
    rig.storage.empty_bucket(&during(&alice, Operation::BucketEmpty), &b).await.unwrap();
    assert_eq!(take(&rig).await, ["ObjectRemoved:Delete b/a2 standard 1"]);
    assert_eq!(
        rig.text("SELECT string_agg(name, ',' ORDER BY name) FROM storage.objects").await,
        "b1,b2"
    );
}

#[tokio::test]
async fn nothing_is_told_of_what_triggers_kept_and_theirs_run_as_the_caller() {
    let rig = telling().await;
    rig.open_policy().await;
    let b = rig.bucket("b").await;
    rig.put(&service(), &b, "kept", b"x").await.unwrap();
    rig.put(&service(), &b, "goes", b"x").await.unwrap();
    take(&rig).await;
    rig.sql(
        "CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF TG_OP = 'DELETE' THEN RETURN CASE OLD.name WHEN 'kept' THEN NULL ELSE OLD END; END IF;
           RETURN CASE NEW.name WHEN 'never' THEN NULL ELSE NEW END; END $$;
         CREATE TRIGGER keep BEFORE INSERT OR DELETE ON storage.objects
           FOR EACH ROW EXECUTE FUNCTION public.keep();
         CREATE TABLE public.seen (line text);
         GRANT ALL ON public.seen TO PUBLIC;
         CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO public.seen VALUES (current_user || ' '
             || coalesce(current_setting('request.jwt.claim.sub', true), '')); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER see AFTER DELETE ON storage.objects
           DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.see()",
    )
    .await;
    let alice = user(ALICE);
    for condition in [WriteCondition::None, WriteCondition::Absent] {
        for ctx in [&service(), &alice] {
            let condition = condition.clone();
            rig.put_if(ctx, &b, "never", b"x", condition).await.unwrap_err();
        }
    }
    assert_eq!(take(&rig).await, Vec::<String>::new());
    rig.storage.delete_objects(&alice, &b, &[key("kept"), key("goes")]).await.unwrap();
    assert_eq!(take(&rig).await, ["ObjectRemoved:Delete b/goes s3 1"]);
    let seen = rig.texts("SELECT line FROM public.seen").await;
    assert_eq!(seen, [format!("authenticated {ALICE}")]);
}

#[tokio::test]
async fn a_row_that_changed_since_the_permit_is_told_of_once() {
    let rig = telling().await;
    rig.open_policy().await;
    let b = rig.bucket("b").await;
    let upload = rig.storage.begin_upload(&user(ALICE), new_object(&b, "a", 3)).await.unwrap();
    rig.put(&service(), &b, "a", b"22").await.unwrap();
    upload.receive(body(b"333"), Expected::default()).await.unwrap();
    let wanted = ["ObjectCreated:Post b/a s3 2", "ObjectCreated:Put b/a s3 3"];
    assert_eq!(take(&rig).await, wanted);
    let late = rig.put_if(&service(), &b, "a", b"4444", WriteCondition::Absent).await.unwrap_err();
    assert_eq!(name_of(&late), "PreconditionFailed");
    assert_eq!(take(&rig).await, Vec::<String>::new());
}

#[tokio::test]
async fn events_tell_of_the_request_and_nothing_of_the_users_own() {
    let rig = telling().await;
    let b = rig.bucket("b").await;
    let headers =
        r#"{"x-forwarded-host":"files.example","sb-request-id":"sb-1","authorization":"x"}"#;
    let request =
        RequestInfo { id: "req-1".into(), headers: headers.into(), ..RequestInfo::default() };
    let ctx = Context { request: Arc::new(request), ..service() };
    let mut new = new_object(&b, "a", 1);
    new.user_metadata.insert("secret".into(), "mine".into());
    new.extra.content_language = Some("de".into());
    let upload = rig.storage.begin_upload(&ctx, new).await.unwrap();
    upload.receive(body(b"x"), Expected::default()).await.unwrap();
    let events = rig.own_table("events");
    let origin = rig.text(&format!("SELECT origin::text FROM {events}")).await;
    let origin: serde_json::Value = serde_json::from_str(&origin).unwrap();
    let wanted = serde_json::json!({"host": "files.example", "reqId": "req-1",
        "sbReqId": "sb-1", "uploadType": "s3"});
    assert_eq!(origin, wanted);
    rig.storage.empty_bucket(&during(&ctx, Operation::BucketEmpty), &b).await.unwrap();
    let keys = format!(
        "SELECT DISTINCT string_agg(key, ',' ORDER BY key) FROM {events}, jsonb_object_keys(metadata) key GROUP BY id"
    );
    let wanted = "cacheControl,contentLength,eTag,httpStatusCode,lastModified,mimetype,size";
    assert_eq!(rig.texts(&keys).await, [wanted]);
}

#[tokio::test]
async fn nothing_is_written_where_nobody_is_told() {
    let rig = Rig::new().await;
    let b = rig.bucket("b").await;
    rig.put(&service(), &b, "a", b"x").await.unwrap();
    rig.storage.delete_object(&service(), &b, &key("a")).await.unwrap();
    assert_eq!(take(&rig).await, Vec::<String>::new());
}
