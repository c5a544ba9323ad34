//! Blobs that grow get on beside uploads that hold all memory and send next to nothing.

use crate::faults::bench;
use bytes::Bytes;
use rowlock_blobs::{BlobKey, BlobStore, Error, GrowingStore, suite};
use rowlock_blobs_s3::{S3Settings, S3Store};
use std::time::Duration;

const PART: usize = 5 << 20;
const BUCKET: &str = "room-bucket";

/// Whether it took no longer than what has room takes: those that find none wait for a minute.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(50), work).await.expect("no answer in time")
}

fn pieces(bytes: &Bytes, size: usize) -> impl Iterator<Item = Bytes> {
    (0..bytes.len()).step_by(size).map(move |at| bytes.slice(at..bytes.len().min(at + size)))
}

/// The life of a blob in one request.
async fn grow(store: &S3Store, blob: &BlobKey, bytes: &Bytes) -> Result<(), Error> {
    let length = Some(bytes.len() as u64);
    let created = store.create_growing(blob, &suite::attributes(), length, None).await?;
    let mut grower = store.grow(blob, &created).await?;
    for piece in pieces(bytes, 300_000) {
        grower.write(piece).await?;
    }
    let growth = grower.sync(true).await?;
    drop(grower);
    store.finish_growing(blob, &growth, &suite::attributes()).await?;
    let size = bytes.len() as u64;
    assert!(suite::get(store, blob, size, 0..size).await? == *bytes, "other bytes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_pause_behind_a_part_keep_nothing_from_others() {
    let bench = bench(|it| S3Settings { buffer_budget: 4 * PART, ..it }).await;
    let (store, bytes) = (&bench.store, suite::pattern(PART + 1000));
    let long = Some(1 << 30);
    let (mut growers, mut writers) = (Vec::new(), Vec::new());
    for n in 0..3 {
        let blob = suite::blob(BUCKET, &format!("grower/{n}"));
        let created = store.create_growing(&blob, &suite::attributes(), None, None).await.unwrap();
        let mut grower = store.grow(&blob, &created).await.unwrap();
        for piece in pieces(&bytes, 300_000) {
            soon(grower.write(piece)).await.unwrap();
        }
        growers.push(grower);
    }
    let others = suite::pattern(2 * PART + 1000);
    soon(grow(store, &suite::blob(BUCKET, "first"), &others)).await.unwrap();
    for n in 0..3 {
        let blob = suite::blob(BUCKET, &format!("writer/{n}"));
        let mut writer = store.writer(&blob, &suite::attributes(), long);
        for piece in pieces(&bytes, 300_000) {
            soon(writer.write(piece)).await.unwrap();
        }
        writers.push(writer);
    }
    soon(grow(store, &suite::blob(BUCKET, "second"), &others)).await.unwrap();
    // Those that paused go on.
    for mut grower in growers {
        for piece in pieces(&bytes, 300_000) {
            soon(grower.write(piece)).await.unwrap();
        }
        assert_eq!(soon(grower.sync(false)).await.unwrap().offset, 2 * bytes.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_grows_needs_no_room_that_others_hold() {
    let bench = bench(|it| S3Settings { buffer_budget: 3 * PART, ..it }).await;
    let store = &bench.store;
    // All room, and the turn of those that cannot pass through.
    let almost = suite::pattern(PART - 100_000);
    let mut slow = Vec::new();
    for (n, length) in [Some(PART as u64), Some(PART as u64), None].into_iter().enumerate() {
        let blob = suite::blob(BUCKET, &format!("slow/{n}"));
        let mut writer = store.writer(&blob, &suite::attributes(), length);
        for piece in pieces(&almost, 100_000) {
            soon(writer.write(piece)).await.unwrap();
        }
        slow.push(writer);
    }
    let blobs: Vec<_> = (0..3).map(|n| suite::blob(BUCKET, &format!("grows/{n}"))).collect();
    let bytes = suite::pattern(2 * PART + 1000);
    bench.proxy.next([]);
    let growing = blobs.iter().map(|blob| grow(store, blob, &bytes));
    for grown in soon(futures_util::future::join_all(growing)).await {
        grown.unwrap();
    }
    let tails = bench.proxy.seen().into_iter().filter(|it| it.contains("/.rowlock/growing/"));
    assert!(tails.count() > 20, "there was room");
}
