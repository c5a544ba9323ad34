//! What every store must do: one set of tests against the trait, to be run over each of them.
//!
//! Each function panics when the store is at fault. They use the bucket given and leave it empty,
//! so that several may run over one store at a time, each in a bucket of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{BlobAttributes, BlobBody, BlobKey, BlobStore, Error, MultipartBlob, PartInfo};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use rowlock_types::{BucketName, KeyRules, ObjectKey, Version};
use std::ops::Range;
use std::sync::Arc;

/// Runs all of it. `part` is the smallest part that the store takes other than as the last one
/// (S3: 5 MiB); some parts and blobs will be a little longer than that.
pub async fn all(store: Arc<dyn BlobStore>, bucket: &str, part: usize) {
    round_trips(&*store, bucket).await;
    visibility(&*store, bucket).await;
    keys(&*store, bucket).await;
    lengths(&*store, bucket).await;
    deletes(&*store, bucket).await;
    copies(&*store, bucket).await;
    round_trips_of_known_length(&*store, bucket).await;
    multipart(&*store, bucket, part).await;
    multipart_faults(&*store, bucket, part).await;
    copied_parts(&*store, bucket, part).await;
    unfinished(&*store, bucket, part).await;
    crate::suite_growing::all(&*store, bucket, part).await;
    crate::suite_listing::all(&*store, bucket).await;
    crowds(store, bucket).await;
}

/// A blob with a new version.
pub fn blob(bucket: &str, key: &str) -> BlobKey {
    BlobKey {
        bucket: BucketName::existing(bucket).unwrap(),
        key: ObjectKey::new(key, KeyRules::Utf8).unwrap(),
        version: Some(Version::random()),
    }
}

/// Bytes in which every place is recognisable.
pub fn pattern(length: usize) -> Bytes {
    let mut state = length as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 17).to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// Some attributes.
pub fn attributes() -> BlobAttributes {
    BlobAttributes {
        content_type: Some("text/plain; charset=utf-8".into()),
        cache_control: Some("max-age=60".into()),
    }
}

/// Writes a whole blob in chunks of `chunk` bytes.
pub async fn put(store: &dyn BlobStore, blob: &BlobKey, bytes: &Bytes, chunk: usize) {
    // Some clients say the length beforehand.
    let length = Some(bytes.len() as u64).filter(|length| length % 3 != 1);
    put_with(store, blob, bytes, chunk, length).await;
}

async fn put_with(
    store: &dyn BlobStore,
    blob: &BlobKey,
    bytes: &Bytes,
    chunk: usize,
    length: Option<u64>,
) {
    let mut writer = store.writer(blob, &attributes(), length);
    for at in (0..bytes.len()).step_by(chunk.max(1)) {
        writer.write(bytes.slice(at..bytes.len().min(at + chunk))).await.unwrap();
    }
    writer.finish().await.unwrap();
}

/// All bytes of a body.
pub async fn collect(body: BlobBody) -> Result<Bytes, Error> {
    match body {
        BlobBody::Bytes(bytes) => Ok(bytes),
        BlobBody::Stream(mut stream) => {
            let mut all = Vec::new();
            while let Some(chunk) = stream.next().await {
                let chunk = chunk?;
                assert!(!chunk.is_empty() && chunk.len() <= 512 << 10, "{} bytes", chunk.len());
                all.extend_from_slice(&chunk);
            }
            Ok(all.into())
        }
    }
}

/// Reads a range of a blob of `size` bytes.
pub async fn get(
    store: &dyn BlobStore,
    blob: &BlobKey,
    size: u64,
    range: Range<u64>,
) -> Result<Bytes, Error> {
    collect(store.read(blob, size, range).await?).await
}

/// Blobs whose length is said beforehand, for stores that make something of it.
pub async fn round_trips_of_known_length(store: &dyn BlobStore, bucket: &str) {
    for size in [0, 1, 700_000, (5 << 20) - 1, 5 << 20, (5 << 20) + 1, 16 << 20] {
        let (blob, bytes) = (blob(bucket, "round/known.bin"), pattern(size));
        put_with(store, &blob, &bytes, 300_001, Some(size as u64)).await;
        assert_holds(store, &blob, &bytes).await;
        // Given up before its end, it was never there.
        let other = self::blob(bucket, "round/cut.bin");
        let mut writer = store.writer(&other, &attributes(), Some(size as u64));
        writer.write(bytes.slice(..size / 2)).await.unwrap();
        drop(writer);
        assert_absent(store, &other).await;
        remove(store, &[blob]).await;
    }
}

async fn assert_holds(store: &dyn BlobStore, blob: &BlobKey, bytes: &Bytes) {
    let size = bytes.len() as u64;
    let read = get(store, blob, size, 0..size).await.unwrap_or_else(|e| panic!("{blob:?}: {e}"));
    assert!(read == *bytes, "{blob:?} holds other bytes than were written");
}

async fn assert_absent(store: &dyn BlobStore, blob: &BlobKey) {
    assert!(matches!(store.head(blob).await, Err(Error::NotFound)), "{blob:?} is there");
    let read = store.read(blob, 1, 0..1).await;
    assert!(matches!(read, Err(Error::NotFound)), "{blob:?}: {read:?}");
}

async fn remove(store: &dyn BlobStore, blobs: &[BlobKey]) {
    for answer in store.delete(blobs).await {
        answer.unwrap();
    }
}

/// What is written is read, in whole and in ranges, whatever its length and its chunks.
pub async fn round_trips(store: &dyn BlobStore, bucket: &str) {
    const K: usize = 1024;
    let sizes =
        [0, 1, 10 * K, 256 * K - 1, 256 * K, 256 * K + 1, 512 * K, 3 * K * K + 7, 9 * K * K];
    for (size, chunk) in
        sizes.into_iter().zip([1, 1, 333, 64 * K, 256 * K, 1000, 128 * K, 77_777, 512 * K])
    {
        let blob = blob(bucket, "round/trip.bin");
        let bytes = pattern(size);
        put(store, &blob, &bytes, chunk).await;
        let size = size as u64;
        assert_eq!(store.head(&blob).await.unwrap(), size);
        assert_holds(store, &blob, &bytes).await;
        let half = size / 2;
        for range in [
            0..0,
            size..size,
            0..size.min(1),
            half..half,
            half..size,
            size.saturating_sub(1)..size,
            size / 3..half,
        ] {
            let want = bytes
                .slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
            let read = get(store, &blob, size, range.clone()).await.unwrap();
            assert!(read == want, "{range:?} of {size} bytes");
        }
        remove(store, &[blob]).await;
    }
}

/// A blob appears when it is finished, and not before; versions do not meet.
pub async fn visibility(store: &dyn BlobStore, bucket: &str) {
    for size in [10, 600 << 10] {
        let (old, new) = (blob(bucket, "seen"), blob(bucket, "seen"));
        put(store, &old, &pattern(5), 5).await;
        let mut writer = store.writer(&new, &BlobAttributes::default(), None);
        writer.write(pattern(size)).await.unwrap();
        writer.write(pattern(size)).await.unwrap();
        assert_absent(store, &new).await;
        drop(writer);
        assert_absent(store, &new).await;

        put(store, &new, &pattern(size), 200 << 10).await;
        assert_holds(store, &old, &pattern(5)).await;
        assert_holds(store, &new, &pattern(size)).await;
        remove(store, std::slice::from_ref(&old)).await;
        assert_absent(store, &old).await;
        assert_holds(store, &new, &pattern(size)).await;
        remove(store, &[new]).await;
    }
}

/// Every key has a place of its own, and lives beside every other.
pub async fn keys(store: &dyn BlobStore, bucket: &str) {
    let long = "s".repeat(256);
    let keys = [
        "a",
        "a/b",
        "a/b/c",
        "a//b",
        "a/",
        "/a",
        "/",
        "//",
        "a/b/",
        ".rowlock/tmp/x",
        ".rowlock",
        "...",
        "...x/..y",
        "sp ace/+&=@;:,?$'()*!",
        "100%/%2F%",
        "back\\slash",
        "ünï/日本/😀.txt",
        "e\u{301}/é",
        "a.json",
        "a.info",
        "multiparts/x",
        "part-1",
        "metadata.json",
        "~",
        "A",
        &long,
        &format!("x/{long}"),
        &format!("x/{long}/y"),
        &format!("{long}/z"),
        &"d/".repeat(511),
        &"é".repeat(512),
    ]
    .map(|key| blob(bucket, key));
    for (n, blob) in keys.iter().enumerate() {
        put(store, blob, &pattern(n + 1), 1000).await;
    }
    for (n, blob) in keys.iter().enumerate() {
        assert_holds(store, blob, &pattern(n + 1)).await;
        let other = BlobKey { version: Some(Version::random()), ..blob.clone() };
        assert_absent(store, &other).await;
        assert_absent(store, &BlobKey { version: None, ..blob.clone() }).await;
    }
    let (gone, left) = keys.split_at(keys.len() / 2);
    remove(store, gone).await;
    for (n, blob) in left.iter().enumerate() {
        assert_holds(store, blob, &pattern(gone.len() + n + 1)).await;
    }
    for blob in gone {
        assert_absent(store, blob).await;
    }
    remove(store, left).await;
}

/// A blob that is not as long as its row says is refused as a whole.
pub async fn lengths(store: &dyn BlobStore, bucket: &str) {
    let blob = blob(bucket, "length");
    assert_absent(store, &blob).await;
    put(store, &blob, &pattern(100), 100).await;
    for (size, range) in [(99, 0..99), (101, 0..50), (0, 0..0), (1 << 20, 0..1 << 20)] {
        match get(store, &blob, size, range).await {
            Err(Error::WrongLength { expected, found: 100 }) => assert_eq!(expected, size),
            other => panic!("{other:?}"),
        }
    }
    remove(store, &[blob]).await;
}

/// Deletes say yes to what is not there, and answer in order.
pub async fn deletes(store: &dyn BlobStore, bucket: &str) {
    assert!(store.delete(&[]).await.is_empty());
    let blobs: Vec<_> = (0..1100).map(|n| blob(bucket, &format!("del/{n}"))).collect();
    for blob in blobs.iter().step_by(100) {
        put(store, blob, &pattern(3), 3).await;
    }
    let answers = store.delete(&blobs).await;
    assert_eq!(answers.len(), blobs.len());
    assert!(answers.iter().all(Result::is_ok));
    for blob in blobs.iter().step_by(100) {
        assert_absent(store, blob).await;
    }
}

/// Copies are blobs of their own.
pub async fn copies(store: &dyn BlobStore, bucket: &str) {
    let missing = store.copy(&blob(bucket, "c/none"), 1, &blob(bucket, "c/x"), &attributes()).await;
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
    for size in [0, 10, 20 << 20] {
        let (from, to) = (blob(bucket, "c/from"), blob(bucket, "c/to/there"));
        put(store, &from, &pattern(size), 512 << 10).await;
        let etag = store.copy(&from, size as u64, &to, &BlobAttributes::default()).await.unwrap();
        assert_eq!(etag.is_some(), store.has_etags());
        remove(store, std::slice::from_ref(&from)).await;
        assert_absent(store, &from).await;
        assert_holds(store, &to, &pattern(size)).await;
        remove(store, &[to]).await;
    }
}

async fn stage(
    store: &dyn BlobStore,
    upload: &MultipartBlob,
    number: u32,
    bytes: &Bytes,
) -> (PartInfo, Box<dyn crate::StagedPart>) {
    let etag = hex::encode(rowlock_digest::md5(bytes));
    let length = Some(bytes.len() as u64).filter(|length| length % 3 != 1);
    let mut writer = store.part_writer(upload, number, length);
    for at in (0..bytes.len()).step_by(300_000) {
        writer.write(bytes.slice(at..bytes.len().min(at + 300_000))).await.unwrap();
    }
    let staged = writer.stage(&etag).await.unwrap();
    (PartInfo { number, etag, size: bytes.len() as u64 }, staged)
}

/// Writes a part and returns what Complete has to be told about it.
pub async fn put_part(
    store: &dyn BlobStore,
    upload: &MultipartBlob,
    number: u32,
    bytes: &Bytes,
) -> PartInfo {
    let (mut info, staged) = stage(store, upload, number, bytes).await;
    let given = staged.publish().await.unwrap();
    assert_eq!(given.is_some(), store.has_etags());
    info.etag = given.unwrap_or(info.etag);
    info
}

/// Begins a multipart upload.
pub async fn begin(store: &dyn BlobStore, blob: BlobKey) -> MultipartBlob {
    let upload_id = store.create_multipart(&blob, &attributes()).await.unwrap();
    MultipartBlob { upload_id, blob }
}

/// Parts become a blob; the last of several with one number counts.
pub async fn multipart(store: &dyn BlobStore, bucket: &str, part: usize) {
    let long = format!("m/{}/x", "l".repeat(300));
    for key in ["m/up.bin", "m/up//bin/", &long] {
        let upload = begin(store, blob(bucket, key)).await;
        let (one, two, four) = (pattern(part), pattern(part + 9), pattern(11));
        // In any order, two uploads of one key at a time, one part uploaded twice.
        let other = begin(store, blob(bucket, key)).await;
        let info_four = put_part(store, &upload, 4, &four).await;
        put_part(store, &other, 4, &pattern(77)).await;
        put_part(store, &upload, 2, &pattern(part)).await;
        let info_two = put_part(store, &upload, 2, &two).await;
        let info_one = put_part(store, &upload, 1, &one).await;
        // Not named at the end, so it is left out.
        put_part(store, &upload, 3, &pattern(part + 3)).await;
        assert_absent(store, &upload.blob).await;

        let parts = [info_one, info_two, info_four];
        let joined = store.complete_multipart(&upload, &parts, &attributes()).await.unwrap();
        let whole = Bytes::from([&one[..], &two, &four].concat());
        assert_eq!(joined.size, whole.len() as u64);
        assert_eq!(joined.etag.is_some(), store.has_etags());
        // Whoever did not hear the answer asks again.
        let again = store.complete_multipart(&upload, &parts, &attributes()).await.unwrap();
        assert_eq!((again.size, &again.etag), (joined.size, &joined.etag));
        let (first, second) = (upload.whole(&joined), upload.whole(&again));
        assert_holds(store, &first, &whole).await;
        assert_holds(store, &second, &whole).await;
        store.remove_multipart(&upload).await.unwrap();
        store.remove_multipart(&upload).await.unwrap();
        assert_holds(store, &first, &whole).await;

        store.remove_multipart(&other).await.unwrap();
        assert_absent(store, &other.blob).await;
        remove(store, &[first, second]).await;
    }
    // One part alone may be of any length, none too.
    for size in [0, 5] {
        let upload = begin(store, blob(bucket, "m/single")).await;
        let info = put_part(store, &upload, 10_000, &pattern(size)).await;
        let joined = store.complete_multipart(&upload, &[info], &attributes()).await.unwrap();
        store.remove_multipart(&upload).await.unwrap();
        assert_holds(store, &upload.whole(&joined), &pattern(size)).await;
        remove(store, &[upload.whole(&joined)]).await;
    }
}

/// What is missing or changed fails Complete, and what fails leaves no blob.
pub async fn multipart_faults(store: &dyn BlobStore, bucket: &str, part: usize) {
    let upload = begin(store, blob(bucket, "m/fault")).await;
    let one = pattern(part);
    let info = put_part(store, &upload, 1, &one).await;
    let absent = PartInfo { number: 2, ..info.clone() };
    let failed = store.complete_multipart(&upload, &[info.clone(), absent], &attributes()).await;
    assert!(matches!(failed, Err(Error::PartNotFound(2))), "{failed:?}");
    assert_absent(store, &upload.blob).await;

    // Dropped before it was finished, or before it was published: it never was.
    let mut writer = store.part_writer(&upload, 1, Some(500_000));
    writer.write(pattern(400_000)).await.unwrap();
    drop(writer);
    let whole = store.complete_multipart(&upload, &[info], &attributes()).await.unwrap();
    assert_eq!(whole.size, one.len() as u64);
    let whole = upload.whole(&whole);
    assert_holds(store, &whole, &one).await;
    store.remove_multipart(&upload).await.unwrap();

    let never =
        MultipartBlob { upload_id: rowlock_types::UploadId::random(), blob: upload.blob.clone() };
    store.remove_multipart(&never).await.unwrap();
    assert_holds(store, &whole, &one).await;
    remove(store, &[whole]).await;
}

/// Ranges of blobs become parts where the store can do that.
pub async fn copied_parts(store: &dyn BlobStore, bucket: &str, part: usize) {
    let source = blob(bucket, "m/source +ü%/&?.bin");
    let bytes = pattern(part + 1000);
    put(store, &source, &bytes, 300_000).await;
    let upload = begin(store, blob(bucket, "m/copied")).await;
    let mut parts = Vec::new();
    let whole = bytes.len() as u64;
    for (number, range) in [(1, 0..part + 1000), (2, 10..20)] {
        let size = range.len() as u64;
        let wide = range.start as u64..range.end as u64;
        let copied = store.copy_part(&source, whole, wide, &upload, number).await.unwrap();
        let Some(staged) = copied else {
            assert!(!store.has_etags());
            store.remove_multipart(&upload).await.unwrap();
            return remove(store, &[source]).await;
        };
        parts.push(PartInfo { number, etag: staged.publish().await.unwrap().unwrap(), size });
    }
    // Of small ones services copy no range, of some that are tiny nothing, nor of empty ones.
    for (size, range) in [(100_000, 0..10), (1000, 0..1000), (0, 0..0)] {
        let copied = store.copy_part(&source, size, range, &upload, 3).await.unwrap();
        assert!(copied.is_none());
    }
    let missing = store.copy_part(&blob(bucket, "m/none"), whole, 0..whole, &upload, 3).await;
    assert!(matches!(missing, Err(Error::NotFound)), "{:?}", missing.map(|_| ()));
    let joined = store.complete_multipart(&upload, &parts, &attributes()).await.unwrap();
    let whole = Bytes::from([&bytes[..], &bytes[10..20]].concat());
    assert_holds(store, &upload.whole(&joined), &whole).await;
    remove(store, &[source, upload.whole(&joined)]).await;
}

/// What a dead process left of a write can be removed by the blob's name alone.
pub async fn unfinished(store: &dyn BlobStore, bucket: &str, part: usize) {
    let (done, left) = (blob(bucket, "u"), blob(bucket, "u"));
    put(store, &done, &pattern(9), 9).await;
    let upload = begin(store, left.clone()).await;
    let info = put_part(store, &upload, 1, &pattern(part)).await;
    store.remove_unfinished(&left).await.unwrap();
    store.remove_unfinished(&done).await.unwrap();
    assert_holds(store, &done, &pattern(9)).await;
    if store.writes_in_place() {
        let late = store.complete_multipart(&upload, &[info], &attributes()).await;
        assert!(late.is_err(), "{late:?}");
        assert_absent(store, &left).await;
    }
    store.remove_multipart(&upload).await.unwrap();
    remove(store, &[done]).await;
}

/// Many writers, readers and deleters under the same few folders.
pub async fn crowds(store: Arc<dyn BlobStore>, bucket: &str) {
    let keys = ["crowd", "crowd/a", "crowd/a/b", "crowd/a/b/c", "crowd//a"];
    let tasks = (0..50_usize).map(|task| {
        let (store, bucket) = (Arc::clone(&store), bucket.to_owned());
        tokio::spawn(async move {
            let mut last = None;
            for turn in 0..12_usize {
                let blob = blob(&bucket, keys[(task + turn) % keys.len()]);
                let bytes = pattern(1 + task * 31 + turn);
                put(&*store, &blob, &bytes, 4096).await;
                assert_holds(&*store, &blob, &bytes).await;
                if let Some(old) = last.replace(blob) {
                    remove(&*store, &[old]).await;
                }
            }
            last.unwrap()
        })
    });
    let left: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    for (task, blob) in left.iter().enumerate() {
        assert_holds(&*store, blob, &pattern(1 + task * 31 + 11)).await;
    }
    remove(&*store, &left).await;
}
