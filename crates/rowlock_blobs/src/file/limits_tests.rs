//! What clients share: memory for those who are slow, and files where few may be open.

use super::tests::{get, named, slash};
use super::*;
use crate::suite;
use bytes::Bytes;
use futures_util::StreamExt;
use rowlock_types::Version;
use std::fs;

/// Bytes that a test sees in their place.
fn numbered(size: usize) -> Bytes {
    (0..size).map(|at| (at / 7 % 251) as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn where_much_is_held_readers_get_smaller_chunks_of_the_same_bytes() {
    let (_dir, store) = slash();
    let bytes = numbered(3 << 20);
    let blob = named("large", Some(Version::random()));
    suite::put(&store, &blob, &bytes, 100_000).await;
    let size = bytes.len() as u64;
    let stream = async |range: Range<u64>| match store.read(&blob, size, range).await.unwrap() {
        BlobBody::Stream(stream) => stream,
        BlobBody::Bytes(bytes) => panic!("{} bytes in memory", bytes.len()),
    };
    let mut slow = stream(0..size).await;
    let first = slow.next().await.unwrap().unwrap();
    assert_eq!(first.len(), 256 << 10);
    // Others hold nearly everything; what is small is read in pieces then, too.
    let all = store.0.held_for_readers.share(usize::MAX, FOR_READERS);
    for range in [0..size, 1_000_000..1_200_000] {
        let mut all = Vec::new();
        let mut pieces = stream(range.clone()).await;
        while let Some(piece) = pieces.next().await {
            let piece = piece.unwrap();
            assert!(piece.len() <= read::LEAST, "a chunk of {}", piece.len());
            all.extend_from_slice(&piece);
        }
        assert!(all == bytes[range.start as usize..range.end as usize]);
    }
    drop((all, first));
    let rest: Vec<Bytes> = slow.map(Result::unwrap).collect().await;
    assert!(rest.concat() == bytes[256 << 10..]);
    drop(rest);
    assert_eq!(store.0.held_for_readers.take(FOR_READERS, 0).unwrap().amount(), FOR_READERS);
}

#[tokio::test]
async fn where_much_is_held_small_uploads_go_to_a_file_at_once() {
    let (dir, store) = slash();
    let tmp = dir.path().join("stub/.rowlock/tmp");
    let written = async |bytes: &Bytes| {
        let blob = named("small", Some(Version::random()));
        let mut writer = store.writer(&blob, &BlobAttributes::default(), None);
        for chunk in bytes.chunks(3000) {
            writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        (blob, writer)
    };
    let bytes = numbered(100_000);
    for (held, files) in [(0, 0), (FOR_WRITERS - 1000, 1)] {
        let others = store.0.held_for_writers.take(held, 0).unwrap();
        let (blob, writer) = written(&bytes).await;
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), files);
        writer.finish().await.unwrap();
        assert!(get(&store, &blob, bytes.len()).await == bytes);
        drop(others);
    }
    // What is tiny never does, and nothing is counted once it is written.
    let others = store.0.held_for_writers.take(FOR_WRITERS, 0).unwrap();
    let (_, writer) = written(&bytes.slice(..4000)).await;
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
    writer.finish().await.unwrap();
    drop(others);
    assert!(store.0.held_for_writers.take(FOR_WRITERS, 0).is_some());
}

#[tokio::test(start_paused = true)]
async fn files_are_kept_open_for_so_many_clients_only() {
    let (_dir, store) = slash();
    let bytes = numbered(1 << 20);
    let blob = named("large", Some(Version::random()));
    suite::put(&store, &blob, &bytes, 100_000).await;
    store.limit_open_files(0);
    let busy = |error: Error| matches!(error, Error::Busy { .. });
    let size = bytes.len() as u64;
    let attributes = BlobAttributes::default();
    let begin = || store.writer(&named("new", Some(Version::random())), &attributes, None);
    let first = store.read(&blob, size, 0..size).await.unwrap();
    let _second = store.read(&blob, size, 0..size).await.unwrap();
    assert!(busy(store.read(&blob, size, 0..size).await.unwrap_err()));
    // What is small needs no file for longer than it is read or written.
    assert!(suite::get(&store, &blob, size, 0..1000).await.unwrap() == bytes[..1000]);
    suite::put(&store, &named("small", Some(Version::random())), &bytes.slice(..1000), 100).await;
    let copy = named("copy", Some(Version::random()));
    store.copy(&blob, size, &copy, &attributes).await.unwrap();
    let long = SHORT_COPY + 1;
    assert!(busy(store.copy(&blob, long, &copy, &attributes).await.unwrap_err()));
    let mut writer = begin();
    assert!(busy(writer.write(bytes.clone()).await.unwrap_err()));
    assert!(writer.write(bytes.slice(..1)).await.is_err(), "a failed writer stays failed");
    // Whoever waits gets the next one.
    let mut writer = begin();
    let (written, ()) = tokio::join!(writer.write(bytes.clone()), async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        drop(first);
    });
    written.unwrap();
    assert!(busy(store.read(&blob, size, 0..size).await.unwrap_err()));
    writer.finish().await.unwrap();
    assert!(store.read(&blob, size, 0..size).await.is_ok());
    // A part is closed once it is whole, however long it waits for its place.
    let upload_id = store.create_multipart(&blob, &attributes).await.unwrap();
    let upload = MultipartBlob { upload_id, blob };
    let mut waiting = Vec::new();
    for number in 1..4 {
        let mut part = store.part_writer(&upload, number, None);
        part.write(bytes.clone()).await.unwrap();
        waiting.push(part.stage("").await.unwrap());
    }
    for part in waiting {
        part.publish().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn large_uploads_that_wait_for_a_file_take_no_memory_from_small_ones() {
    let (dir, store) = slash();
    let tmp = dir.path().join("stub/.rowlock/tmp");
    store.limit_open_files(0);
    let bytes = numbered(200_000);
    let attributes = BlobAttributes::default();
    let new = |length| store.writer(&named("new", Some(Version::random())), &attributes, length);
    // Both files are taken: by the first bytes, since more are to come than stay in memory.
    let mut served = [new(Some(1 << 20)), new(Some(1 << 20))];
    for writer in &mut served {
        writer.write(bytes.slice(..1000)).await.unwrap();
        // The second waits for the first to be on disk.
        writer.write(bytes.slice(..1000)).await.unwrap();
    }
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 2);
    // More of either kind than there is memory for.
    let mut waiting = Vec::new();
    for length in [Some(1 << 20), None] {
        for _ in 0..200 {
            let (mut writer, bytes) = (new(length), bytes.clone());
            waiting.push(async move { writer.write(bytes).await.map(|()| writer) });
        }
    }
    let all = futures_util::future::join_all(waiting);
    let small = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let mut many = Vec::new();
        for _ in 0..100 {
            let mut writer = new(None);
            writer.write(bytes.slice(..10_000)).await.unwrap();
            many.push(writer);
        }
        for writer in many {
            writer.finish().await.unwrap();
        }
    };
    let (all, ()) = tokio::join!(all, small);
    assert!(all.iter().filter(|it| it.is_err()).count() >= 200, "there was room for all");
}
