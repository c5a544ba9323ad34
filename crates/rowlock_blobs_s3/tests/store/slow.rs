//! Clients that are slow take neither the memory nor the sockets of those that are not.

use crate::servers::{Server, garage, moto, open, settings};
use bytes::Bytes;
use futures_util::StreamExt;
use rowlock_blobs::{BlobBody, BlobKey, BlobStore, BlobWriter, Error, MultipartBlob, suite};
use rowlock_blobs_s3::{Limits, S3Settings, S3Store};
use std::time::Duration;

const PART: usize = 5 << 20;
const BUCKET: &str = "slow-bucket";

async fn bench(change: impl FnOnce(S3Settings) -> S3Settings) -> (S3Store, Server) {
    let server = match garage() {
        Some(server) => server,
        None => moto().await,
    };
    let limits = Limits { first_byte: Duration::from_secs(3), ..Limits::default() };
    let store = open(change(S3Settings { limits, ..settings(server.port) })).await;
    (store, server)
}

/// Whether it took no longer than what has room takes: those that find none wait for a minute.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(40), work).await.expect("no answer in time")
}

fn blob(name: &str) -> BlobKey {
    suite::blob(BUCKET, name)
}

async fn send(writer: &mut Box<dyn BlobWriter>, bytes: &Bytes) -> Result<(), Error> {
    for at in (0..bytes.len()).step_by(100_000) {
        writer.write(bytes.slice(at..bytes.len().min(at + 100_000))).await?;
    }
    Ok(())
}

async fn put(store: &S3Store, name: &str, bytes: &Bytes, known: bool) -> BlobKey {
    let (blob, length) = (blob(name), bytes.len() as u64);
    let mut writer = store.writer(&blob, &suite::attributes(), known.then_some(length));
    send(&mut writer, bytes).await.unwrap();
    writer.finish().await.unwrap();
    is_there(store, &blob, bytes).await;
    blob
}

async fn is_there(store: &S3Store, blob: &BlobKey, bytes: &Bytes) {
    let size = bytes.len() as u64;
    let read = suite::get(store, blob, size, 0..size).await.unwrap();
    assert!(read == *bytes, "other bytes than were written");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_hold_what_they_have_sent_and_no_more() {
    let (store, _server) = bench(|it| S3Settings { buffer_budget: 4 * PART, ..it }).await;
    let blob_of_parts = blob("parts");
    let id = store.create_multipart(&blob_of_parts, &suite::attributes()).await.unwrap();
    let upload = MultipartBlob { upload_id: id, blob: blob_of_parts };
    // Far more of them than whole pieces have room: of unknown length, of known, and parts.
    let some = suite::pattern(100_000);
    let mut slow = Vec::new();
    for n in 0..60 {
        let long = Some(PART as u64);
        let mut writer = match n % 3 {
            0 => store.writer(&blob(&format!("slow/{n}")), &suite::attributes(), None),
            1 => store.writer(&blob(&format!("slow/{n}")), &suite::attributes(), long),
            _ => store.part_writer(&upload, n, long),
        };
        soon(send(&mut writer, &some)).await.unwrap();
        slow.push(writer);
    }
    let bytes = suite::pattern(3_000_000);
    soon(put(&store, "fast/known", &bytes, true)).await;
    soon(put(&store, "fast/unknown", &bytes, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_lets_pass_what_can_pass_and_takes_the_rest_in_turn() {
    let (store, _server) = bench(|it| S3Settings { buffer_budget: 2 * PART, ..it }).await;
    // All but the room that is set apart for turns.
    let almost = suite::pattern(PART - 100_000);
    let hog = blob("hog");
    let mut slow = store.writer(&hog, &suite::attributes(), Some(PART as u64));
    soon(send(&mut slow, &almost)).await.unwrap();

    let bytes = suite::pattern(2 * PART + 1000);
    soon(put(&store, "passes/large", &bytes, true)).await;
    let small = bytes.slice(..1_000_000);
    soon(put(&store, "passes/small", &small, true)).await;
    let turns: Vec<String> = (0..6).map(|n| format!("turn/{n}")).collect();
    let turns = turns.iter().map(|name| put(&store, name, &bytes, false));
    soon(futures_util::future::join_all(turns)).await;
    soon(put(&store, "turn/small", &small, false)).await;

    soon(send(&mut slow, &suite::pattern(100_000))).await.unwrap();
    soon(slow.finish()).await.unwrap();
    let whole = [almost, suite::pattern(100_000)].concat().into();
    is_there(&store, &hog, &whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_passes_first_when_there_is_no_more_room() {
    let (store, _server) = bench(|it| S3Settings { buffer_budget: PART, ..it }).await;
    // No room at all beside the turn: each begins uncounted, and passes in the middle.
    for (name, size) in [("one", 1_000_000), ("parts", 2 * PART + 1000)] {
        soon(async {
            let bytes = suite::pattern(size);
            let blob = blob(name);
            let mut writer = store.writer(&blob, &suite::attributes(), Some(size as u64));
            for at in (0..size).step_by(5_000) {
                writer.write(bytes.slice(at..size.min(at + 5_000))).await.unwrap();
            }
            writer.finish().await.unwrap();
            is_there(&store, &blob, &bytes).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_leave_sockets_to_what_is_done_soon() {
    let (store, _server) = bench(|it| S3Settings { max_sockets: 4, ..it }).await;
    let bytes = suite::pattern(20_000_000);
    let (read, size) = (put(&store, "read", &bytes, true).await, bytes.len() as u64);
    let mut slow = Vec::new();
    for _ in 0..3 {
        let body = soon(store.read(&read, size, 0..size)).await.unwrap();
        let BlobBody::Stream(mut body) = body else { panic!("read whole") };
        body.next().await.unwrap().unwrap();
        slow.push(body);
    }
    let late = soon(store.read(&read, size, 0..size)).await;
    assert!(matches!(late, Err(Error::Busy { .. })), "{late:?}");
    let few = soon(suite::get(&store, &read, size, 5..1000)).await.unwrap();
    assert!(few == bytes.slice(5..1000));
    soon(put(&store, "small", &bytes.slice(..100_000), true)).await;
    // One that takes nothing for a while makes room, and those that come back get their bytes.
    tokio::time::sleep(Duration::from_secs(5)).await;
    soon(is_there(&store, &read, &bytes)).await;
    for body in slow {
        let rest = soon(body.map(|chunk| chunk.unwrap()).collect::<Vec<_>>()).await;
        assert!(bytes.ends_with(&rest.concat()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_pass_leave_sockets_to_readers() {
    let (store, _server) = bench(|it| S3Settings { max_sockets: 4, ..it }).await;
    let bytes = suite::pattern(2_000_000);
    let read = put(&store, "read", &bytes, true).await;
    let blob_of_parts = blob("parts");
    let id = store.create_multipart(&blob_of_parts, &suite::attributes()).await.unwrap();
    let upload = MultipartBlob { upload_id: id, blob: blob_of_parts };
    // Larger than what is held. Those that have sent next to nothing hold no socket at all.
    let part = |number| store.part_writer(&upload, number, Some(6 << 20));
    let mut slow = Vec::new();
    for number in 1..20 {
        let mut writer = part(number);
        soon(writer.write(bytes.slice(..1000))).await.unwrap();
        slow.push(writer);
    }
    for writer in &mut slow[..2] {
        soon(send(writer, &bytes)).await.unwrap();
    }
    // Two of the three that go at a client's pace are the most for writers.
    let late = soon(slow[2].write(bytes.slice(..100_000))).await;
    assert!(matches!(late, Err(Error::Busy { .. })), "{late:?}");
    soon(is_there(&store, &read, &bytes)).await;
    slow.clear();
    let mut writer = part(1);
    let whole = suite::pattern(6 << 20);
    soon(send(&mut writer, &whole)).await.unwrap();
    let tag = hex::encode(rowlock_digest::md5(&whole));
    soon(writer.stage(&tag)).await.unwrap().publish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_pause_is_not_the_services() {
    let limits = Limits {
        first_byte: Duration::from_secs(2),
        progress: Duration::from_secs(2),
        ..Limits::default()
    };
    let (_, server) = bench(|it| it).await;
    let store = open(S3Settings { limits, buffer_budget: 0, ..settings(server.port) }).await;
    let bytes = suite::pattern(1_000_000);
    let blob = blob("pause");
    let mut writer = store.writer(&blob, &suite::attributes(), Some(1_000_000));
    soon(writer.write(bytes.slice(..500_000))).await.unwrap();
    soon(writer.write(bytes.slice(500_000..600_000))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    soon(writer.write(bytes.slice(600_000..))).await.unwrap();
    soon(writer.finish()).await.unwrap();
    is_there(&store, &blob, &bytes).await;
}
