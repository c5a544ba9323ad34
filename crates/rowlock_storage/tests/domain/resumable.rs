//! Resumable uploads: what they become, and what they refuse.

use crate::support::stores::{Hooked, Hooks};
use crate::support::{
    ALICE, BOB, Plan, Rig, anon, body, eventually, key, name_of, new_object, service, slow_body,
    user,
};
use bytes::Bytes;
use futures_util::StreamExt;
use rowlock_storage::{
    Append, BodyError, Context, Error, NewResumable, OwnMetadata, Resumable, ResumableId,
    UploadStream, WriteCondition,
};
use rowlock_types::BucketName;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The same body; and whether a chunk of it was taken.
pub(crate) fn seen_when_taken(body: UploadStream) -> (UploadStream, Arc<AtomicBool>) {
    let taken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&taken);
    (body.inspect(move |_| seen.store(true, Ordering::SeqCst)).boxed(), taken)
}

pub(crate) fn new(bucket: &BucketName, name: &str, length: Option<u64>) -> NewResumable {
    let mut object = new_object(bucket, name, 0);
    object.condition = WriteCondition::Create;
    NewResumable { object, own: OwnMetadata::default(), length, upload_metadata: "a YQ==".into() }
}

pub(crate) async fn begin(rig: &Rig, bucket: &BucketName, name: &str, length: u64) -> ResumableId {
    rig.storage.create_resumable(&service(), new(bucket, name, Some(length))).await.unwrap().id
}

pub(crate) fn at(offset: u64, bytes: &[u8]) -> Append {
    Append { offset, announced: Some(bytes.len() as u64), ..Append::default() }
}

pub(crate) async fn append(
    rig: &Rig,
    ctx: &Context,
    id: &ResumableId,
    offset: u64,
    bytes: &[u8],
) -> Result<Resumable, Error> {
    rig.storage.append_resumable(ctx, id, at(offset, bytes), body(bytes)).await
}

pub(crate) async fn offset(rig: &Rig, id: &ResumableId) -> u64 {
    rig.storage.find_resumable(id).await.unwrap().offset
}

/// What still grows.
pub(crate) fn growing(rig: &Rig) -> usize {
    let found = rig.files();
    found.iter().filter(|path| path.components().any(|c| c.as_os_str() == "growing")).count()
}

pub(crate) async fn rows(rig: &Rig) -> Vec<String> {
    let table = rig.own_table("resumable");
    rig.texts(&format!(
        "SELECT name || ' ' || received || '/' || coalesce(length::text, '?')
           || CASE WHEN holder IS NULL THEN '' ELSE ' held' END
           || CASE WHEN completed_at IS NULL THEN '' ELSE ' completed' END
         FROM {table} ORDER BY created_at"
    ))
    .await
}

pub(crate) fn refused(result: Result<Resumable, Error>) -> String {
    name_of(&result.unwrap_err())
}

#[tokio::test]
async fn an_upload_in_pieces_becomes_an_object_like_any_other() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let mut asked = new(&bucket, "a/ü.txt", Some(10));
    asked.object.cache_control = Some("max-age=77".into());
    asked.own.user_metadata = Some(serde_json::json!({"t": "1", "n": [1]}));
    asked.own.robots = Some("none".into());
    let begun = rig.storage.create_resumable(&user(ALICE), asked.clone()).await;
    assert_eq!(refused(begun), "42501", "row-level security is on");
    rig.open_policy().await;
    let begun = rig.storage.create_resumable(&user(ALICE), asked).await.unwrap();
    assert_eq!((begun.offset, begun.length, begun.done), (0, Some(10), false));
    let id = begun.id.clone();
    assert_eq!(rig.storage.find_resumable(&id).await.unwrap(), begun);
    assert_eq!(begun.upload_metadata, "a YQ==");

    let more = append(&rig, &user(ALICE), &id, 0, b"abcd").await.unwrap();
    assert_eq!((more.offset, more.done), (4, false));
    assert!(more.expires_at > begun.expires_at, "progress puts the expiry off");
    assert!(rig.row_files(&bucket).await.is_empty() && rig.blob_files(&bucket).is_empty());
    let none = append(&rig, &user(ALICE), &id, 4, b"").await.unwrap();
    assert_eq!((none.offset, none.expires_at), (4, more.expires_at), "nothing is no progress");
    assert_eq!(refused(append(&rig, &user(ALICE), &id, 0, b"zz").await), "OffsetConflict");
    assert_eq!(refused(append(&rig, &user(ALICE), &id, 5, b"zz").await), "OffsetConflict");
    assert_eq!(refused(append(&rig, &user(ALICE), &id, 4, b"efghijk").await), "EntityTooLarge");

    let done = append(&rig, &user(BOB), &id, 4, b"efghij").await.unwrap();
    assert_eq!((done.offset, done.done), (10, true));
    assert_eq!(rig.storage.find_resumable(&id).await.unwrap(), done);
    assert_eq!(rig.get(&user(ALICE), &bucket, "a/ü.txt").await.unwrap(), b"abcdefghij");
    let written = format!("a/ü.txt/{}", id.version);
    assert_eq!(rig.blob_files(&bucket), [written].into());
    assert_eq!(rig.row_files(&bucket).await, rig.blob_files(&bucket));
    assert_eq!(growing(&rig), 0);
    assert_eq!(
        rig.text("SELECT owner_id || ' ' || user_metadata::text FROM storage.objects").await,
        format!("{BOB} {{\"n\": [1], \"t\": \"1\"}}")
    );
    let metadata = rig.text("SELECT (metadata - 'lastModified')::text FROM storage.objects").await;
    assert_eq!(
        metadata,
        r#"{"eTag": "\"a925576942e94b2ef57a066101b48876\"", "size": 10, "mimetype": "text/plain", "xRobotsTag": "none", "cacheControl": "max-age=77", "contentLength": 10, "httpStatusCode": 200}"#
    );
    assert_eq!(rows(&rig).await, ["a/ü.txt 10/10 completed"]);
    assert_eq!(rig.outbox_rows().await, Vec::<String>::new());

    // A client that did not hear the answer asks again.
    assert_eq!(append(&rig, &user(ALICE), &id, 10, b"").await.unwrap(), done);
    assert_eq!(append(&rig, &user(ALICE), &id, 9, b"j").await.unwrap(), done);
    assert_eq!(refused(append(&rig, &user(ALICE), &id, 4, b"efghij").await), "OffsetConflict");
    let gone = rig.storage.terminate_resumable(&user(ALICE), &id).await;
    assert_eq!(name_of(&gone.unwrap_err()), "UploadCompleted");
}

#[tokio::test]
async fn an_empty_upload_is_finished_at_once_and_a_length_may_come_late() {
    let rig = Rig::with(Plan { max_object_bytes: Some(8), ..Plan::default() }).await;
    let bucket = rig.bucket("b").await;
    let empty = rig.storage.create_resumable(&service(), new(&bucket, "empty", Some(0))).await;
    let empty = empty.unwrap();
    assert_eq!((empty.offset, empty.done), (0, true));
    assert_eq!(rig.get(&service(), &bucket, "empty").await.unwrap(), b"");

    for name in ["late", "last"] {
        let late = rig.storage.create_resumable(&service(), new(&bucket, name, None)).await;
        let late = late.unwrap();
        assert_eq!(late.length, None);
        assert_eq!(append(&rig, &service(), &late.id, 0, b"abc").await.unwrap().length, None);
        let too_short = Append { length: Some(2), ..at(3, b"") };
        let refusal =
            rig.storage.append_resumable(&service(), &late.id, too_short, body(b"")).await;
        assert_eq!(refused(refusal), "LengthConflict");
        let too_long = Append { length: Some(9), ..at(3, b"") };
        let refusal = rig.storage.append_resumable(&service(), &late.id, too_long, body(b"")).await;
        assert_eq!(refused(refusal), "EntityTooLarge");
        assert_eq!(
            refused(append(&rig, &service(), &late.id, 3, b"defghi").await),
            "EntityTooLarge"
        );
        // Without bytes, before the last, or with them.
        if name == "late" {
            let said = Append { length: Some(6), ..at(3, b"") };
            let said = rig.storage.append_resumable(&service(), &late.id, said, body(b"")).await;
            assert_eq!(said.unwrap().length, Some(6));
            let other = Append { length: Some(5), ..at(3, b"") };
            let other = rig.storage.append_resumable(&service(), &late.id, other, body(b"")).await;
            assert_eq!(refused(other), "LengthConflict");
        }
        let last = Append { length: Some(6), ..at(3, b"def") };
        let done = rig.storage.append_resumable(&service(), &late.id, last, body(b"def")).await;
        assert!(done.unwrap().done);
        assert_eq!(rig.get(&service(), &bucket, name).await.unwrap(), b"abcdef");
    }
    let whole =
        rig.storage.create_resumable(&service(), new(&bucket, "whole", None)).await.unwrap();
    append(&rig, &service(), &whole.id, 0, b"abc").await.unwrap();
    let all = Append { length: Some(3), ..at(3, b"") };
    let all = rig.storage.append_resumable(&service(), &whole.id, all, body(b"")).await.unwrap();
    assert!(all.done, "no byte was missing when the length came");
    assert_eq!(growing(&rig), 0);
}

#[tokio::test]
async fn limits_and_types_are_the_buckets() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.sql("UPDATE storage.buckets SET file_size_limit = 5, allowed_mime_types = '{text/*}'")
        .await;
    let ask = async |length, kind: &str| {
        let mut asked = new(&bucket, "x", length);
        asked.object.content_type = Some(kind.into());
        rig.storage.create_resumable(&service(), asked).await
    };
    assert_eq!(refused(ask(Some(6), "text/plain").await), "EntityTooLarge");
    assert_eq!(refused(ask(Some(5), "image/png").await), "InvalidMimeType");
    let id = ask(None, "text/plain").await.unwrap().id;
    // Nobody says how much comes; what fits is not kept either where more comes with it.
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"abcdef"))).unwrap();
    drop(send);
    let unsaid = rig.storage.append_resumable(&service(), &id, Append::default(), chunks).await;
    assert_eq!(refused(unsaid), "EntityTooLarge");
    assert_eq!(offset(&rig, &id).await, 0);
    append(&rig, &service(), &id, 0, b"abc").await.unwrap();
    assert_eq!(refused(append(&rig, &service(), &id, 3, b"def").await), "EntityTooLarge");
    // A limit that came later binds what is yet to come.
    let id = ask(Some(5), "text/plain").await.unwrap().id;
    append(&rig, &service(), &id, 0, b"abc").await.unwrap();
    rig.sql("UPDATE storage.buckets SET file_size_limit = 4").await;
    assert_eq!(refused(append(&rig, &service(), &id, 3, b"de").await), "EntityTooLarge");
    let missing = new(&BucketName::existing("nope").unwrap(), "x", Some(1));
    assert_eq!(refused(rig.storage.create_resumable(&service(), missing).await), "NoSuchBucket");
    assert_eq!(rows(&rig).await.len(), 2);
}

async fn hooked(hooks: &Arc<Hooks>) -> Rig {
    let shared = Arc::clone(hooks);
    let wrap: crate::support::Wrap =
        Box::new(move |inner| Arc::new(Hooked { inner, hooks: shared }));
    Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await
}

#[tokio::test]
async fn what_the_store_could_not_remove_at_the_end_goes_with_the_row() {
    let hooks = Arc::<Hooks>::default();
    let rig = hooked(&hooks).await;
    let (bucket, table) = (rig.bucket("b").await, rig.own_table("resumable"));
    let mut left = Vec::new();
    for leaves in [false, true] {
        *hooks.leaves.lock() = leaves;
        let id = begin(&rig, &bucket, &format!("{leaves}"), 3).await;
        append(&rig, &service(), &id, 0, b"abc").await.unwrap();
        if leaves {
            left.push(id.version);
        }
    }
    rig.sql(&format!("UPDATE {table} SET expires_at = now() - interval '1 second'")).await;
    rig.work_until("both forgotten", async || rows(&rig).await.is_empty()).await;
    let removed = hooks.unfinished.lock();
    assert_eq!(removed.iter().filter_map(|blob| blob.version).collect::<Vec<_>>(), left);
}

#[tokio::test]
async fn what_is_longer_than_the_store_can_keep_never_begins() {
    let hooks = Arc::<Hooks>::default();
    *hooks.longest.lock() = Some(5);
    let rig = hooked(&hooks).await;
    let bucket = rig.bucket("b").await;
    let ask =
        async |length| rig.storage.create_resumable(&service(), new(&bucket, "x", length)).await;
    for length in [6, 9 * 10_u64.pow(17)] {
        assert_eq!(refused(ask(Some(length)).await), "EntityTooLarge");
    }
    assert_eq!(rows(&rig).await, Vec::<String>::new());
    let id = ask(Some(5)).await.unwrap().id;
    append(&rig, &service(), &id, 0, b"abcde").await.unwrap();
    // Nor does it when that is told later.
    let id = rig.storage.create_resumable(&service(), new(&bucket, "y", None)).await.unwrap().id;
    append(&rig, &service(), &id, 0, b"abc").await.unwrap();
    let tell = async |length| {
        let told = Append { length: Some(length), ..at(3, b"") };
        rig.storage.append_resumable(&service(), &id, told, body(b"")).await
    };
    assert_eq!(refused(tell(6).await), "EntityTooLarge");
    assert_eq!(rig.storage.find_resumable(&id).await.unwrap().length, None);
    assert_eq!(tell(5).await.unwrap().length, Some(5));
}

#[tokio::test]
async fn an_empty_upload_that_is_refused_leaves_nothing() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    // At its commit, not before.
    rig.sql(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN IF NEW.version <> '1' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON storage.objects
           FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    )
    .await;
    let refused = rig.storage.create_resumable(&service(), new(&bucket, "x", Some(0))).await;
    assert!(refused.is_err(), "{refused:?}");
    rig.work_until("nothing left", async || {
        rows(&rig).await.is_empty() && rig.blob_files(&bucket).is_empty()
    })
    .await;
}

#[tokio::test]
async fn each_request_is_asked_of_the_policies() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    // The right to insert is all that a new object takes.
    rig.sql(
        "CREATE POLICY own ON storage.objects FOR INSERT TO authenticated WITH CHECK
           (name LIKE (current_setting('request.jwt.claims')::json->>'sub') || '/%'
            AND owner_id = current_setting('request.jwt.claims')::json->>'sub')",
    )
    .await;
    let name = format!("{ALICE}/x");
    let asked = || new(&bucket, &name, Some(6));
    for other in [anon(), user(BOB)] {
        assert_eq!(refused(rig.storage.create_resumable(&other, asked()).await), "42501");
    }
    let id = rig.storage.create_resumable(&user(ALICE), asked()).await.unwrap().id;
    append(&rig, &user(ALICE), &id, 0, b"abc").await.unwrap();
    for other in [anon(), user(BOB)] {
        assert_eq!(refused(append(&rig, &other, &id, 3, b"def").await), "42501");
        let given_up = rig.storage.terminate_resumable(&other, &id).await;
        assert_eq!(name_of(&given_up.unwrap_err()), "42501");
    }
    assert_eq!(offset(&rig, &id).await, 3);
    assert!(append(&rig, &user(ALICE), &id, 3, b"def").await.unwrap().done);
    assert_eq!(rig.get(&service(), &bucket, &name).await.unwrap(), b"abcdef");

    // To replace it takes more.
    let mut again = asked();
    assert_eq!(
        refused(rig.storage.create_resumable(&user(ALICE), again.clone()).await),
        "PreconditionFailed"
    );
    again.object.condition = WriteCondition::None;
    assert_eq!(refused(rig.storage.create_resumable(&user(ALICE), again.clone()).await), "42501");
    rig.sql("CREATE POLICY all_own ON storage.objects TO authenticated USING (owner_id = current_setting('request.jwt.claims')::json->>'sub')").await;
    let id = rig.storage.create_resumable(&user(ALICE), again).await.unwrap().id;
    append(&rig, &user(ALICE), &id, 0, b"new").await.err().map(|e| name_of(&e)).unwrap();
    let with = |offset, bytes: &[u8]| Append { upsert: true, ..at(offset, bytes) };
    let storage = &rig.storage;
    storage.append_resumable(&user(ALICE), &id, with(0, b"new"), body(b"new")).await.unwrap();
    // A right that was taken away meanwhile ends it.
    rig.sql("DROP POLICY all_own ON storage.objects").await;
    let late = storage.append_resumable(&user(ALICE), &id, with(3, b"est"), body(b"est")).await;
    assert_eq!(refused(late), "42501");
    assert_eq!(rig.get(&service(), &bucket, &name).await.unwrap(), b"abcdef");
    let last = storage.append_resumable(&service(), &id, with(3, b"est"), body(b"est")).await;
    assert!(last.unwrap().done);
    assert_eq!(rig.get(&service(), &bucket, &name).await.unwrap(), b"newest");
    rig.drain().await;
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await, "the old version is gone");
}

#[tokio::test]
async fn what_came_before_a_cut_is_kept() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &bucket, "x", 9).await;
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"ab"))).unwrap();
    send.send(Ok(Bytes::from_static(b"c"))).unwrap();
    send.send(Err(BodyError("cut".into()))).unwrap();
    let cut = rig.storage.append_resumable(&service(), &id, at(0, b"abcdefghi"), chunks).await;
    assert_eq!(refused(cut), "Body");
    assert_eq!(offset(&rig, &id).await, 3);
    // And after the handler went with its client.
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"def"))).unwrap();
    let storage = rig.storage.clone();
    let asked = id.clone();
    let handler = tokio::spawn(async move {
        storage.append_resumable(&service(), &asked, at(3, b"defghi"), chunks).await
    });
    assert!(eventually(async || rows(&rig).await == ["x 3/9 held"]).await);
    handler.abort();
    drop(send);
    assert!(eventually(async || rows(&rig).await == ["x 6/9"]).await);
    // A cut behind the last byte takes nothing away.
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"ghi"))).unwrap();
    send.send(Err(BodyError("cut".into()))).unwrap();
    let done = rig.storage.append_resumable(&service(), &id, at(6, b"ghi"), chunks).await;
    assert!(done.unwrap().done);
    assert_eq!(rig.get(&service(), &bucket, "x").await.unwrap(), b"abcdefghi");
}

#[tokio::test]
async fn bytes_beyond_the_length_are_refused_with_all_that_came_with_them() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &bucket, "x", 4).await;
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"abcdE"))).unwrap();
    drop(send);
    let more = rig.storage.append_resumable(&service(), &id, Append::default(), chunks).await;
    assert_eq!(refused(more), "EntityTooLarge");
    assert_eq!(offset(&rig, &id).await, 0);
    // After a pause the first ones are there, and the object is not made of them.
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"abcd"))).unwrap();
    let (chunks, taken) = seen_when_taken(chunks);
    let storage = rig.storage.clone();
    let asked = id.clone();
    let running = tokio::spawn(async move {
        storage.append_resumable(&service(), &asked, Append::default(), chunks).await
    });
    assert!(eventually(async || taken.load(Ordering::SeqCst)).await, "nobody takes its bytes");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(!running.is_finished());
    send.send(Ok(Bytes::from_static(b"E"))).unwrap();
    drop(send);
    assert_eq!(refused(running.await.unwrap()), "EntityTooLarge");
    assert_eq!(offset(&rig, &id).await, 3, "the last byte may come again");
    assert!(append(&rig, &service(), &id, 3, b"d").await.unwrap().done);
    assert_eq!(rig.get(&service(), &bucket, "x").await.unwrap(), b"abcd");
}

#[tokio::test]
async fn a_terminated_upload_is_gone() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &bucket, "x", 9).await;
    append(&rig, &service(), &id, 0, b"abc").await.unwrap();
    assert_eq!(growing(&rig), 1);
    // An object that came in between is no reason to keep it, and stays.
    rig.put(&service(), &bucket, "x", b"other").await.unwrap();
    // A request that writes to it is stopped.
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"def"))).unwrap();
    let (storage, asked) = (rig.storage.clone(), id.clone());
    let running = tokio::spawn(async move {
        let append = Append { upsert: true, ..at(3, b"defghi") };
        storage.append_resumable(&service(), &asked, append, chunks).await
    });
    assert!(eventually(async || rows(&rig).await == ["x 3/9 held"]).await);
    rig.storage.terminate_resumable(&service(), &id).await.unwrap();
    assert_eq!(refused(running.await.unwrap()), "UploadLocked");
    drop(send);
    assert_eq!(name_of(&rig.storage.find_resumable(&id).await.unwrap_err()), "NoSuchUpload");
    assert_eq!(refused(append(&rig, &service(), &id, 6, b"ghi").await), "NoSuchUpload");
    let again = rig.storage.terminate_resumable(&service(), &id).await;
    assert_eq!(name_of(&again.unwrap_err()), "NoSuchUpload");
    assert_eq!((growing(&rig), rows(&rig).await.len()), (0, 0));
    rig.drain().await;
    assert_eq!(rig.get(&service(), &bucket, "x").await.unwrap(), b"other");
    // One to which nothing came has nothing to remove.
    let id = begin(&rig, &bucket, "y", 9).await;
    rig.storage.terminate_resumable(&service(), &id).await.unwrap();
}

#[tokio::test]
async fn an_upload_dies_with_its_bucket_and_not_by_emptying_it() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "old", b"old").await.unwrap();
    let id = begin(&rig, &bucket, "x", 6).await;
    append(&rig, &service(), &id, 0, b"abc").await.unwrap();
    rig.storage.empty_bucket(&service(), &bucket).await.unwrap();
    rig.drain().await;
    assert!(rig.row_files(&bucket).await.is_empty());
    assert_eq!(offset(&rig, &id).await, 3);

    rig.storage.delete_bucket(&service(), &bucket).await.unwrap();
    let gone = async |why: &str| {
        let found = rig.storage.find_resumable(&id).await;
        assert_eq!(name_of(&found.unwrap_err()), "NoSuchUpload", "{why}");
        assert_eq!(refused(append(&rig, &service(), &id, 3, b"def").await), "NoSuchUpload");
        let ended = rig.storage.terminate_resumable(&service(), &id).await;
        assert_eq!(name_of(&ended.unwrap_err()), "NoSuchUpload");
    };
    gone("the bucket is deleted").await;
    rig.bucket("b").await;
    gone("it is another bucket").await;
    rig.storage.find_object(&service(), &bucket, &key("x")).await.unwrap_err();
}

#[tokio::test]
async fn a_bucket_that_goes_while_bytes_come_takes_the_upload_along() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &bucket, "x", 6).await;
    let (send, chunks) = slow_body();
    send.send(Ok(Bytes::from_static(b"abc"))).unwrap();
    let (storage, asked) = (rig.storage.clone(), id.clone());
    let running = tokio::spawn(async move {
        storage.append_resumable(&service(), &asked, at(0, b"abcdef"), chunks).await
    });
    assert!(eventually(async || rows(&rig).await == ["x 0/6 held"]).await);
    rig.storage.delete_bucket(&service(), &bucket).await.unwrap();
    send.send(Ok(Bytes::from_static(b"def"))).unwrap();
    drop(send);
    assert_eq!(refused(running.await.unwrap()), "NoSuchUpload");
    assert_eq!(rows(&rig).await, ["x 6/6"]);
    // What it had come to goes when it expires.
    let table = rig.own_table("resumable");
    rig.sql(&format!("UPDATE {table} SET expires_at = now() - interval '1 second'")).await;
    rig.work_until("the upload given up", async || rows(&rig).await.is_empty()).await;
    rig.drain().await;
    assert!(rig.blob_files(&bucket).is_empty());
    assert_eq!(growing(&rig), 0);
}
