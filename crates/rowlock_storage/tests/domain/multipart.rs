//! Multipart uploads: parts that meet, Completes that meet, aborts, lists.

use crate::support::stores::{Hooked, Hooks};
use crate::support::{
    ALICE, BOB, Plan, Rig, Wrap, anon, body, eventually, key, name_of, new_object, service,
    slow_body, user,
};
use bytes::Bytes;
use rowlock_storage::{
    CompletePart, Completed, Context, Error, Expected, ListUploadsQuery, UploadsEntry,
    WriteCondition,
};
use rowlock_types::{BucketName, Operation, UploadId};
use std::sync::Arc;

const MIN_PART: usize = 5 << 20;

async fn begin(rig: &Rig, ctx: &Context, bucket: &BucketName, name: &str) -> UploadId {
    rig.storage.create_multipart(ctx, new_object(bucket, name, 0)).await.unwrap()
}

async fn put_part(
    rig: &Rig,
    ctx: &Context,
    at: (&BucketName, &str, &UploadId),
    number: u32,
    bytes: &[u8],
) -> Result<CompletePart, Error> {
    let length = Some(bytes.len() as u64);
    let part = rig.storage.begin_part(ctx, at.0, &key(at.1), at.2, number, length).await?;
    let part = part.receive(body(bytes), Expected::default()).await?;
    Ok(CompletePart { number, etag: part.etag.to_string() })
}

async fn complete(
    rig: &Rig,
    ctx: &Context,
    at: (&BucketName, &str, &UploadId),
    parts: &[CompletePart],
) -> Result<Completed, Error> {
    let none = WriteCondition::None;
    rig.storage.complete_multipart(ctx, at.0, &key(at.1), at.2, parts.to_vec(), none).await
}

/// A whole upload of one part.
pub(crate) async fn upload(
    rig: &Rig,
    ctx: &Context,
    bucket: &BucketName,
    name: &str,
    bytes: &[u8],
) -> Result<Completed, Error> {
    let id = rig.storage.create_multipart(ctx, new_object(bucket, name, 0)).await?;
    let part = put_part(rig, ctx, (bucket, name, &id), 1, bytes).await?;
    complete(rig, ctx, (bucket, name, &id), &[part]).await
}

/// A whole upload, each step under its own operation's name.
pub(crate) async fn upload_in_steps(
    rig: &Rig,
    ctx: impl Fn(Operation) -> Context,
    bucket: &BucketName,
    name: &str,
    bytes: &[u8],
) -> Result<Completed, Error> {
    let create = ctx(Operation::S3MultipartCreate);
    let id = rig.storage.create_multipart(&create, new_object(bucket, name, 0)).await?;
    let at = (bucket, name, &id);
    let done = match put_part(rig, &ctx(Operation::S3MultipartPart), at, 1, bytes).await {
        Ok(part) => complete(rig, &ctx(Operation::S3MultipartComplete), at, &[part]).await,
        Err(error) => Err(error),
    };
    if done.is_err() {
        rig.storage.abort_multipart(&service(), bucket, &key(name), &id).await.unwrap();
    }
    done
}

fn big(byte: u8) -> Vec<u8> {
    vec![byte; MIN_PART]
}

#[tokio::test]
async fn the_last_version_of_a_part_counts() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    for ctx in [service(), user(ALICE)] {
        let id = begin(&rig, &ctx, &bucket, "k").await;
        let at = (&bucket, "k", &id);
        let old = put_part(&rig, &ctx, at, 1, &big(b'a')).await.unwrap();
        let first = put_part(&rig, &ctx, at, 1, &big(b'b')).await.unwrap();
        let last = put_part(&rig, &ctx, at, 7, b"end").await.unwrap();
        let refused = complete(&rig, &ctx, at, &[old, last.clone()]).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidPart(1)), "{refused:?}");
        let order = complete(&rig, &ctx, at, &[last.clone(), first.clone()]).await.unwrap_err();
        assert!(matches!(order, Error::InvalidPartOrder), "{order:?}");
        let small = put_part(&rig, &ctx, at, 2, b"small").await.unwrap();
        let named = [first.clone(), small, last.clone()];
        let refused = complete(&rig, &ctx, at, &named).await.unwrap_err();
        assert!(matches!(refused, Error::PartTooSmall { number: 2, size: 5, .. }), "{refused:?}");

        let page = rig.storage.list_parts(&ctx, &bucket, &key("k"), &id, 0, 2).await.unwrap();
        let listed: Vec<_> = page.parts.iter().map(|p| (p.number, p.size)).collect();
        assert_eq!((listed, page.truncated), (vec![(1, MIN_PART as u64), (2, 5)], true));
        let page = rig.storage.list_parts(&ctx, &bucket, &key("k"), &id, 2, 2).await.unwrap();
        assert_eq!(page.parts.iter().map(|p| p.number).collect::<Vec<_>>(), [7]);
        assert!(!page.truncated);

        let done = complete(&rig, &ctx, at, &[first.clone(), last.clone()]).await.unwrap();
        assert_eq!(done.size as usize, MIN_PART + 3);
        let stored = rig.get(&ctx, &bucket, "k").await.unwrap();
        assert!(stored[..MIN_PART].iter().all(|byte| *byte == b'b') && stored.ends_with(b"bend"));
        // Once more, by a client that did not hear the answer.
        let again = complete(&rig, &ctx, at, &[first, last]).await.unwrap();
        assert_eq!((again.etag, again.version), (done.etag, done.version));
        let late = put_part(&rig, &ctx, at, 3, b"late").await.unwrap_err();
        assert!(matches!(late, Error::NoSuchUpload), "{late:?}");
    }
    rig.drain().await;
    assert_eq!(rig.files().len(), 1, "{:?}", rig.files());
}

#[tokio::test]
async fn writers_of_one_part_leave_the_bytes_and_the_row_of_the_same_one() {
    let rig = Arc::new(Rig::new().await);
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    for _ in 0..10 {
        let id = begin(&rig, &user(ALICE), &bucket, "k").await;
        let tasks: Vec<_> = (0..8_u8)
            .map(|i| {
                let (rig, bucket, id) = (Arc::clone(&rig), bucket.clone(), id.clone());
                tokio::spawn(async move {
                    let bytes = vec![i; 1000 + usize::from(i)];
                    put_part(&rig, &user(ALICE), (&bucket, "k", &id), 1, &bytes).await.unwrap()
                })
            })
            .collect();
        let mut tags = Vec::new();
        for task in tasks {
            tags.push(task.await.unwrap().etag);
        }
        let page = rig.storage.list_parts(&user(ALICE), &bucket, &key("k"), &id, 0, 10).await;
        let parts = page.unwrap().parts;
        assert_eq!(parts.len(), 1);
        let winner = tags.iter().position(|tag| *tag == parts[0].etag.to_string()).unwrap();
        let part = CompletePart { number: 1, etag: tags[winner].clone() };
        complete(&rig, &user(ALICE), (&bucket, "k", &id), &[part]).await.unwrap();
        let stored = rig.get(&user(ALICE), &bucket, "k").await.unwrap();
        assert_eq!(stored, vec![winner as u8; 1000 + winner]);
    }
    rig.drain().await;
    assert_eq!(rig.files().len(), 1, "{:?}", rig.files());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn completes_at_once_make_one_object_and_give_one_answer() {
    let rig = Arc::new(Rig::new().await);
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    // Parts vanish while slower Completes are still at them.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(rig.storage.clone().run_worker(async {
        let _ = stopped.await;
    }));
    for round in 0..20 {
        let name = format!("k{round}");
        let id = begin(&rig, &user(ALICE), &bucket, &name).await;
        let part = put_part(&rig, &user(ALICE), (&bucket, &name, &id), 1, b"once").await.unwrap();
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let (rig, bucket, id) = (Arc::clone(&rig), bucket.clone(), id.clone());
                let (name, part) = (name.clone(), part.clone());
                tokio::spawn(async move {
                    complete(&rig, &user(ALICE), (&bucket, &name, &id), &[part]).await
                })
            })
            .collect();
        let mut answers = std::collections::HashSet::new();
        for task in tasks {
            let done = task.await.unwrap().unwrap();
            answers.insert((done.etag, done.version, done.size));
        }
        assert_eq!(answers.len(), 1);
        assert_eq!(rig.get(&user(ALICE), &bucket, &name).await.unwrap(), b"once");
    }
    let _ = stop.send(());
    worker.await.unwrap();
    rig.drain().await;
    let clean = || async { rig.blob_files(&bucket) == rig.row_files(&bucket).await };
    rig.work_until("one blob each", clean).await;
    assert_eq!(rig.files().len(), 20, "{:?}", rig.files());
}

/// Two Completes with different parts: whatever the order of their steps, the object is what the
/// one that was answered has named.
#[tokio::test]
async fn a_late_complete_does_not_write_over_the_object_of_an_earlier_one() {
    let hooks = Arc::new(Hooks::default());
    let shared = Arc::clone(&hooks);
    let wrap: Wrap = Box::new(|inner| Arc::new(Hooked { inner, hooks: shared }));
    let rig = Arc::new(Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await);
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &service(), &bucket, "k").await;
    let at = (&bucket, "k", &id);
    let one = put_part(&rig, &service(), at, 1, &big(b'1')).await.unwrap();
    let two = put_part(&rig, &service(), at, 2, b"two").await.unwrap();
    // The Complete of one part waits after its join until the one of both has joined too.
    let (joined, wait) = tokio::sync::watch::channel(0);
    let joined = Arc::new(joined);
    *hooks.joined.lock() = Some(Box::new(move |parts| {
        let (joined, mut wait) = (Arc::clone(&joined), wait.clone());
        Box::pin(async move {
            joined.send_modify(|count| *count += 1);
            if parts == 1 {
                let _ = wait.wait_for(|count| *count >= 2).await;
            } else {
                // And the one of both commits last.
                let _ = wait.wait_for(|count| *count >= 3).await;
            }
        })
    }));
    let both = tokio::spawn({
        let (rig, bucket, id, parts) =
            (Arc::clone(&rig), bucket.clone(), id.clone(), [one.clone(), two]);
        async move { complete(&rig, &service(), (&bucket, "k", &id), &parts).await }
    });
    let first = complete(&rig, &service(), at, &[one]).await.unwrap();
    let last = hooks.joined.lock().as_mut().map(|hook| hook(1)).unwrap();
    last.await;
    let second = both.await.unwrap();
    let stored = rig.get(&service(), &bucket, "k").await.unwrap();
    assert_eq!((first.size as usize, stored.len()), (MIN_PART, MIN_PART));
    if let Ok(second) = second {
        assert_eq!(second.version, first.version);
    }
    rig.drain().await;
    let clean = || async { rig.blob_files(&bucket) == rig.row_files(&bucket).await };
    rig.work_until("one blob", clean).await;
}

/// A part that is stored again between the join and the commit.
#[tokio::test]
async fn a_part_that_changed_during_complete_is_invalid() {
    let hooks = Arc::new(Hooks::default());
    let shared = Arc::clone(&hooks);
    let wrap: Wrap = Box::new(|inner| Arc::new(Hooked { inner, hooks: shared }));
    let rig = Arc::new(Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await);
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &service(), &bucket, "k").await;
    let one = put_part(&rig, &service(), (&bucket, "k", &id), 1, b"one").await.unwrap();
    let (weak, other, upload) = (Arc::downgrade(&rig), bucket.clone(), id.clone());
    *hooks.joined.lock() = Some(Box::new(move |_| {
        let (weak, other, upload) = (weak.clone(), other.clone(), upload.clone());
        Box::pin(async move {
            let rig = weak.upgrade().unwrap();
            put_part(&rig, &service(), (&other, "k", &upload), 1, b"other").await.unwrap();
        })
    }));
    let changed = complete(&rig, &service(), (&bucket, "k", &id), &[one]).await.unwrap_err();
    assert!(matches!(changed, Error::InvalidPart(_)), "{changed:?}");
    *hooks.joined.lock() = None;
    assert!(rig.texts("SELECT name FROM storage.objects").await.is_empty());
    let page = rig.storage.list_parts(&service(), &bucket, &key("k"), &id, 0, 10).await.unwrap();
    let part = CompletePart { number: 1, etag: page.parts[0].etag.to_string() };
    complete(&rig, &service(), (&bucket, "k", &id), &[part]).await.unwrap();
    assert_eq!(rig.get(&service(), &bucket, "k").await.unwrap(), b"other");
    rig.drain().await;
    let clean = || async { rig.blob_files(&bucket) == rig.row_files(&bucket).await };
    rig.work_until("one blob", clean).await;
}

#[tokio::test]
async fn an_abort_during_a_part_leaves_nothing() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    for ctx in [service(), user(ALICE)] {
        let id = begin(&rig, &ctx, &bucket, "k").await;
        put_part(&rig, &ctx, (&bucket, "k", &id), 1, b"one").await.unwrap();
        let part = rig.storage.begin_part(&ctx, &bucket, &key("k"), &id, 2, None).await.unwrap();
        let (send, slow) = slow_body();
        send.send(Ok(Bytes::from_static(b"half"))).unwrap();
        let receiving = tokio::spawn(part.receive(slow, Expected::default()));
        rig.storage.abort_multipart(&ctx, &bucket, &key("k"), &id).await.unwrap();
        drop(send);
        let gone = receiving.await.unwrap().unwrap_err();
        assert!(matches!(gone, Error::NoSuchUpload), "{gone:?}");
        let again = rig.storage.abort_multipart(&ctx, &bucket, &key("k"), &id).await.unwrap_err();
        assert!(matches!(again, Error::NoSuchUpload), "{again:?}");
    }
    rig.drain().await;
    assert!(eventually(|| async { rig.files().is_empty() }).await, "{:?}", rig.files());
}

#[tokio::test]
async fn uploads_of_others_are_invisible() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let (alice, bob) = (user(ALICE), user(BOB));
    let theirs = begin(&rig, &alice, &bucket, "k").await;
    let part = put_part(&rig, &alice, (&bucket, "k", &theirs), 1, b"one").await.unwrap();
    let services = begin(&rig, &service(), &bucket, "secret-name").await;
    put_part(&rig, &service(), (&bucket, "secret-name", &services), 1, b"one").await.unwrap();
    let query = ListUploadsQuery {
        bucket: bucket.clone(),
        prefix: String::new(),
        delimiter: String::new(),
        key_marker: String::new(),
        upload_id_marker: String::new(),
        max_uploads: 10,
    };
    for other in [&bob, &anon()] {
        for (name, id) in [("k", &theirs), ("secret-name", &services)] {
            let at = (&bucket, name, id);
            let refused = [
                put_part(&rig, other, at, 1, b"x").await.map(drop),
                complete(&rig, other, at, std::slice::from_ref(&part)).await.map(drop),
                rig.storage.abort_multipart(other, &bucket, &key(name), id).await,
                rig.storage.list_parts(other, &bucket, &key(name), id, 0, 10).await.map(drop),
            ];
            for answer in refused {
                assert!(matches!(answer, Err(Error::NoSuchUpload)), "{answer:?}");
            }
        }
        assert!(rig.storage.list_uploads(other, &query).await.unwrap().entries.is_empty());
    }
    // The id alone is not enough either: bucket and key are part of the address.
    let wrong = put_part(&rig, &alice, (&bucket, "k2", &theirs), 1, b"x").await.unwrap_err();
    assert_eq!(name_of(&wrong), "NoSuchUpload");
    assert_eq!(rig.storage.list_uploads(&alice, &query).await.unwrap().entries.len(), 1);
    assert_eq!(rig.storage.list_uploads(&service(), &query).await.unwrap().entries.len(), 2);
    complete(&rig, &alice, (&bucket, "k", &theirs), &[part]).await.unwrap();
}

#[tokio::test]
async fn a_deleted_bucket_takes_its_pending_uploads_along() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &user(ALICE), &bucket, "k").await;
    let part = put_part(&rig, &user(ALICE), (&bucket, "k", &id), 1, b"one").await.unwrap();
    // Without the right to delete the bucket, the uploads stay.
    let refused = rig.storage.delete_bucket(&user(BOB), &bucket).await.unwrap_err();
    assert_eq!(name_of(&refused), "NoSuchBucket");
    assert_eq!(rig.texts("SELECT id FROM storage.s3_multipart_uploads").await.len(), 1);
    rig.storage.delete_bucket(&service(), &bucket).await.unwrap();
    let gone = complete(&rig, &user(ALICE), (&bucket, "k", &id), &[part]).await.unwrap_err();
    assert_eq!(name_of(&gone), "NoSuchUpload");
    rig.drain().await;
    assert!(rig.files().is_empty(), "{:?}", rig.files());
}

/// Buckets that go while parts and Completes come: everyone gets a clear answer.
#[tokio::test]
async fn a_bucket_is_deleted_while_parts_arrive() {
    let rig = Arc::new(Rig::new().await);
    for round in 0..20 {
        let bucket = rig.bucket(&format!("b{round}")).await;
        let mut tasks = Vec::new();
        for i in 0..4_u32 {
            let (rig, bucket) = (Arc::clone(&rig), bucket.clone());
            let name = format!("k{i}");
            let id = begin(&rig, &service(), &bucket, &name).await;
            let first = put_part(&rig, &service(), (&bucket, &name, &id), 1, b"x").await.unwrap();
            tasks.push(tokio::spawn(async move {
                let at = (&bucket, name.as_str(), &id);
                put_part(&rig, &service(), at, 2, b"y").await?;
                complete(&rig, &service(), at, &[first]).await.map(drop)
            }));
        }
        let deleted = rig.storage.delete_bucket(&service(), &bucket).await;
        if let Err(error) = &deleted {
            assert!(matches!(error, Error::BucketNotEmpty), "{error:?}");
        }
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => assert!(deleted.is_err()),
                Err(Error::NoSuchUpload | Error::NoSuchBucket) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    rig.drain().await;
}

/// All entries that a list should have, in order.
fn model(uploads: &[(String, String)], query: &ListUploadsQuery) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for (name, id) in uploads {
        let Some(rest) = name.strip_prefix(query.prefix.as_str()) else { continue };
        let folded = match rest.find(&query.delimiter) {
            Some(at) if !query.delimiter.is_empty() => {
                Some(name[..query.prefix.len() + at + query.delimiter.len()].to_owned())
            }
            _ => None,
        };
        let marker = &query.key_marker;
        let behind = match &folded {
            _ if marker.is_empty() => true,
            Some(prefix) if prefix == marker => false,
            _ => {
                name > marker
                    || name == marker
                        && !query.upload_id_marker.is_empty()
                        && *id > query.upload_id_marker
            }
        };
        if behind {
            let entry = folded.map_or((name.clone(), id.clone()), |prefix| (prefix, String::new()));
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
    }
    entries
}

#[tokio::test]
async fn lists_of_uploads_are_the_models() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let names =
        ["a", "a", "a", "a/", "a/b", "a/b", "a/c/d", "a0", "a-", "b//c", "b/", "ü/x", "ü/y", "zz"];
    let mut uploads = Vec::new();
    for name in names {
        uploads.push((name.to_owned(), begin(&rig, &service(), &bucket, name).await.to_string()));
    }
    uploads.sort();
    let mut lists = 0;
    for prefix in ["", "a", "a/", "b/", "ü", "none"] {
        for delimiter in ["", "/", "b", "//"] {
            for page_size in [1, 2, 3, 1000] {
                let mut query = ListUploadsQuery {
                    bucket: bucket.clone(),
                    prefix: prefix.into(),
                    delimiter: delimiter.into(),
                    key_marker: String::new(),
                    upload_id_marker: String::new(),
                    max_uploads: page_size,
                };
                let expected = model(&uploads, &query);
                let mut seen = Vec::new();
                loop {
                    let page = rig.storage.list_uploads(&service(), &query).await.unwrap();
                    lists += 1;
                    let entries: Vec<_> = page.entries.iter().map(pair).collect();
                    let mut rest = model(&uploads, &query);
                    assert_eq!(page.truncated, rest.len() > page_size, "{query:?}");
                    rest.truncate(page_size);
                    assert_eq!(entries, rest, "{query:?}");
                    seen.extend(entries);
                    if !page.truncated {
                        break;
                    }
                    let (name, id) = seen.last().unwrap().clone();
                    (query.key_marker, query.upload_id_marker) = (name, id);
                }
                assert_eq!(seen, expected);
            }
        }
    }
    assert!(lists > 200);
    // Markers that no page gave.
    for marker in ["a", "a/", "a/b", "a/bb", "0", "b/", "b//", "zz", "ü/x"] {
        for delimiter in ["", "/"] {
            let query = ListUploadsQuery {
                bucket: bucket.clone(),
                prefix: String::new(),
                delimiter: delimiter.into(),
                key_marker: marker.into(),
                upload_id_marker: String::new(),
                max_uploads: 1000,
            };
            let page = rig.storage.list_uploads(&service(), &query).await.unwrap();
            let entries: Vec<_> = page.entries.iter().map(pair).collect();
            assert_eq!(entries, model(&uploads, &query), "{query:?}");
        }
    }
}

fn pair(entry: &UploadsEntry) -> (String, String) {
    match entry {
        UploadsEntry::Upload(upload) => (upload.key.clone(), upload.upload_id.clone()),
        UploadsEntry::Prefix(prefix) => (prefix.clone(), String::new()),
    }
}
