//! What every store must do with blobs that grow over several requests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::suite::{attributes, blob, get, pattern, put};
use crate::{BlobKey, BlobStore, Error, FoundKind, Grower, Grown, Growth};
use bytes::Bytes;
use futures_util::StreamExt;

/// Runs all of it; `part` as in [`crate::suite::all`].
pub(crate) async fn all(store: &dyn BlobStore, bucket: &str, part: usize) {
    round_trips(store, bucket, part).await;
    lost_attempts(store, bucket, part).await;
    one_grower_syncs_often(store, bucket, part).await;
    finished_again(store, bucket, part).await;
    begun_again(store, bucket).await;
    removed(store, bucket, part).await;
    refusals(store, bucket).await;
}

/// What is kept between two requests is text.
fn kept(growth: &Growth) -> Growth {
    serde_json::from_str(&serde_json::to_string(growth).unwrap()).unwrap()
}

async fn grower(store: &dyn BlobStore, blob: &BlobKey, growth: &Growth) -> Box<dyn Grower> {
    store.grow(blob, growth).await.unwrap()
}

async fn write(grower: &mut dyn Grower, bytes: &Bytes) {
    for at in (0..bytes.len()).step_by(300_001) {
        grower.write(bytes.slice(at..bytes.len().min(at + 300_001))).await.unwrap();
    }
}

/// One request.
async fn append(
    store: &dyn BlobStore,
    blob: &BlobKey,
    growth: &Growth,
    bytes: &Bytes,
    last: bool,
) -> Growth {
    let mut grower = grower(store, blob, growth).await;
    write(&mut *grower, bytes).await;
    let after = grower.sync(last).await.unwrap();
    assert_eq!(after.offset, growth.offset + bytes.len() as u64);
    kept(&after)
}

async fn finish(store: &dyn BlobStore, blob: &BlobKey, growth: &Growth, bytes: &Bytes) -> Grown {
    assert!(matches!(store.head(blob).await, Err(Error::NotFound)), "it is visible too early");
    assert!(growth.offset == 0 || traces(store, blob).await > 0, "it is not listed");
    let grown = store.finish_growing(blob, growth, &attributes()).await.unwrap();
    holds(store, blob, &grown, bytes).await;
    assert_eq!(traces(store, blob).await, 0, "something is left of {blob:?}");
    grown
}

async fn holds(store: &dyn BlobStore, blob: &BlobKey, grown: &Grown, bytes: &Bytes) {
    let size = bytes.len() as u64;
    assert_eq!(grown.size, size);
    assert!(get(store, blob, size, 0..size).await.unwrap() == *bytes, "other bytes");
    if store.has_etags() {
        assert!(!grown.etag.is_empty() && !grown.etag.contains('"'), "{}", grown.etag);
    } else {
        assert_eq!(grown.etag, hex::encode(rowlock_digest::md5(bytes)));
    }
}

/// How much lies in the store of the blob before it is finished.
async fn traces(store: &dyn BlobStore, blob: &BlobKey) -> usize {
    let (version, names) = (blob.version.unwrap().to_string(), store.names(blob));
    let list = store.list().map(Result::unwrap);
    list.filter(|found| {
        let is = match &found.kind {
            FoundKind::Growing { version: of } => *of == version,
            FoundKind::Upload { .. } => names.contains(&found.name),
            _ => false,
        };
        std::future::ready(is)
    })
    .count()
    .await
}

async fn delete(store: &dyn BlobStore, blob: BlobKey) {
    store.delete(&[blob]).await.remove(0).unwrap();
}

async fn round_trips(store: &dyn BlobStore, bucket: &str, part: usize) {
    let requests: [&[usize]; 10] = [
        &[],
        &[0],
        &[1],
        &[part],
        &[part + 1],
        &[1, 0, part - 1, 3],
        &[part - 1, 1, part, part + 7, 100],
        // Clients that send as much each time.
        &[part + 1_000_000, part + 1_000_000, part + 1_000_000, 17],
        &[part / 2 + 1; 5],
        &[300_000, 2 * part, 1],
    ];
    for (requests, known) in requests.iter().zip([true, false].iter().cycle()) {
        let key = format!("grow//{} ü/{}", requests.len(), "k".repeat(300));
        // Services keep no longer ones, file systems no longer segments.
        let blob = blob(bucket, &key);
        let bytes = pattern(requests.iter().sum());
        let length = known.then_some(bytes.len() as u64);
        let mut growth =
            kept(&store.create_growing(&blob, &attributes(), length, None).await.unwrap());
        assert_eq!(growth.offset, 0);
        for size in *requests {
            let at = usize::try_from(growth.offset).unwrap();
            // Of an unknown length nobody says that this is the end.
            let last = *known && at + size == bytes.len();
            growth = append(store, &blob, &growth, &bytes.slice(at..at + size), last).await;
        }
        finish(store, &blob, &growth, &bytes).await;
        delete(store, blob).await;
    }
}

/// What nobody kept the growth of is overwritten, whatever became of it.
async fn lost_attempts(store: &dyn BlobStore, bucket: &str, part: usize) {
    let (blob, bytes) = (blob(bucket, "grow/lost"), pattern(2 * part + 1000));
    let wrong = pattern(part + 2000);
    let length = Some(bytes.len() as u64);
    let mut growth = store.create_growing(&blob, &attributes(), length, None).await.unwrap();
    for end in [1000, part, part + 1, bytes.len()] {
        // Cut off, synced and forgotten, both.
        for syncs in 0..3 {
            let mut lost = grower(store, &blob, &growth).await;
            write(&mut *lost, &wrong).await;
            if syncs > 0 {
                lost.sync(false).await.unwrap();
            }
            if syncs > 1 {
                write(&mut *lost, &wrong.slice(..part / 2)).await;
            }
            drop(lost);
            // The write that was cut off may still be under way.
            settled(store, &blob, &growth).await;
        }
        let at = usize::try_from(growth.offset).unwrap();
        growth = append(store, &blob, &growth, &bytes.slice(at..end), end == bytes.len()).await;
    }
    finish(store, &blob, &growth, &bytes).await;
    delete(store, blob).await;
}

/// Waits until nobody lets it grow any more.
pub(crate) async fn settled(store: &dyn BlobStore, blob: &BlobKey, growth: &Growth) {
    for _ in 0..200 {
        match store.grow(blob, growth).await {
            Err(Error::Busy { .. }) => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            other => return drop(other.unwrap()),
        }
    }
    panic!("it is never let go");
}

/// A long body, and what is known in its course.
async fn one_grower_syncs_often(store: &dyn BlobStore, bucket: &str, part: usize) {
    let (blob, bytes) = (blob(bucket, "grow/often"), pattern(3 * part + 1000));
    for (steps, between) in [(part / 3, false), (part / 3, true), (part, false)] {
        let created = store.create_growing(&blob, &attributes(), None, None).await.unwrap();
        let mut one = grower(store, &blob, &created).await;
        assert_eq!(one.sync(false).await.unwrap(), created);
        assert_eq!(one.checkpoint().await.unwrap(), created);
        let (mut known, mut at) = (created, 0);
        while at < bytes.len() {
            let end = bytes.len().min(at + steps);
            write(&mut *one, &bytes.slice(at..end)).await;
            at = end;
            let checked = kept(&one.checkpoint().await.unwrap());
            assert!(checked.offset >= known.offset && checked.offset <= at as u64);
            known = checked;
            if between {
                known = kept(&one.sync(false).await.unwrap());
                assert_eq!(known.offset, at as u64);
            }
        }
        // Whatever was known last, it can be gone on from there.
        drop(one);
        settled(store, &blob, &known).await;
        let from = usize::try_from(known.offset).unwrap();
        let growth = append(store, &blob, &known, &bytes.slice(from..), false).await;
        finish(store, &blob, &growth, &bytes).await;
        delete(store, blob.clone()).await;
    }
}

async fn finished_again(store: &dyn BlobStore, bucket: &str, part: usize) {
    let blob = blob(bucket, "grow/again");
    for (size, last) in [(0, true), (5, true), (5, false), (part + 5, false)] {
        let bytes = pattern(size);
        let length = Some(size as u64);
        let created = store.create_growing(&blob, &attributes(), length, None).await.unwrap();
        let growth = append(store, &blob, &created, &bytes, last).await;
        let first = finish(store, &blob, &growth, &bytes).await;
        for _ in 0..2 {
            let again = store.finish_growing(&blob, &growth, &attributes()).await.unwrap();
            assert_eq!((again.size, &again.etag), (first.size, &first.etag));
            // What is removed is no finished blob.
            store.remove_growing(&blob, Some(&growth)).await.unwrap();
            store.remove_growing(&blob, None).await.unwrap();
            holds(store, &blob, &again, &bytes).await;
        }
        delete(store, blob.clone()).await;
        if size > 0 {
            is_gone(store, &blob, &growth).await;
        }
    }
}

/// It can never be finished.
async fn is_gone(store: &dyn BlobStore, blob: &BlobKey, growth: &Growth) {
    let gone = store.finish_growing(blob, growth, &attributes()).await;
    // moto's server stumbles over uploads that are gone: HTTP 500.
    let stumbled = |why: &str| store.has_etags() && why.ends_with("500");
    match gone {
        Err(Error::NotFound | Error::UploadNotFound) => {}
        Err(Error::Unavailable { why, .. }) if stumbled(&why) => {}
        other => panic!("{other:?}"),
    }
}

async fn begun_again(store: &dyn BlobStore, bucket: &str) {
    let (blob, bytes) = (blob(bucket, "grow/anew"), pattern(700_000));
    let created = store.create_growing(&blob, &attributes(), None, None).await.unwrap();
    append(store, &blob, &created, &pattern(900_000), false).await;
    let created = store.create_growing(&blob, &attributes(), None, None).await.unwrap();
    let growth = append(store, &blob, &created, &bytes, true).await;
    let grown = store.finish_growing(&blob, &growth, &attributes()).await.unwrap();
    holds(store, &blob, &grown, &bytes).await;
    // The first beginning is nobody's any more.
    store.remove_growing(&blob, None).await.unwrap();
    assert_eq!(traces(store, &blob).await, 0);
    holds(store, &blob, &grown, &bytes).await;
    delete(store, blob).await;
}

async fn removed(store: &dyn BlobStore, bucket: &str, part: usize) {
    // A neighbour whose name begins alike, and a blob beside it.
    let neighbour = blob(bucket, "grow/gone/not");
    put(store, &neighbour, &pattern(10), 10).await;
    for (size, known) in [(0, true), (10, true), (10, false), (part + 10, true), (part + 10, false)]
    {
        let blob = blob(bucket, "grow/gone");
        let created = store.create_growing(&blob, &attributes(), None, None).await.unwrap();
        let growth = append(store, &blob, &created, &pattern(size), false).await;
        assert!(traces(store, &blob).await > 0);
        for _ in 0..2 {
            store.remove_growing(&blob, Some(&growth).filter(|_| known)).await.unwrap();
            assert_eq!(traces(store, &blob).await, 0, "{size} bytes");
        }
        if size > 0 {
            is_gone(store, &blob, &growth).await;
        }
        assert!(matches!(store.head(&blob).await, Err(Error::NotFound)));
    }
    assert_eq!(store.head(&neighbour).await.unwrap(), 10);
    delete(store, neighbour).await;
}

async fn refusals(store: &dyn BlobStore, bucket: &str) {
    let with = blob(bucket, "grow/odd");
    let without = BlobKey { version: None, ..with.clone() };
    let refused = store.create_growing(&without, &attributes(), None, None).await;
    assert!(matches!(refused, Err(Error::UnsupportedKey(_))), "{refused:?}");
    let created = store.create_growing(&with, &attributes(), None, None).await.unwrap();
    let odd = [
        Growth { offset: 1, ..created.clone() },
        Growth { offset: 0, inner: serde_json::json!(null) },
        Growth { offset: 0, inner: serde_json::json!({ "other": "store" }) },
    ];
    for odd in odd {
        let refused = store.grow(&with, &odd).await.map(drop);
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
        let refused = store.finish_growing(&with, &odd, &attributes()).await;
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    }
    // What cannot be read must not keep it from being removed.
    let unread = Growth { offset: 0, inner: serde_json::json!(7) };
    store.remove_growing(&with, Some(&unread)).await.unwrap();
    assert_eq!(traces(store, &with).await, 0);
}
