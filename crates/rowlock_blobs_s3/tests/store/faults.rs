//! What a failing network does to reads and writes: they succeed, or fail in time, and never give
//! other bytes than were written.

use crate::proxy::{BARE_502, Fault, INTERNAL, NONSENSE, Proxy, SLOW_DOWN};
use crate::servers::{Server, garage, moto, open, settings};
use rowlock_blobs::{BlobStore, Error, MultipartBlob, PartInfo, suite};
use rowlock_blobs_s3::{Checksums, Limits, S3Settings, S3Store};
use std::time::Duration;

const PART: usize = 5 << 20;
const BUCKET: &str = "fault-bucket";

pub(crate) struct Bench {
    pub(crate) proxy: Proxy,
    pub(crate) store: S3Store,
    _server: Server,
}

/// A store behind the proxy whose patience is short.
pub(crate) async fn bench(change: impl FnOnce(S3Settings) -> S3Settings) -> Bench {
    bench_before(garage(), change).await
}

pub(crate) async fn bench_before(
    server: Option<Server>,
    change: impl FnOnce(S3Settings) -> S3Settings,
) -> Bench {
    let server = match server {
        Some(server) => server,
        None => moto().await,
    };
    let proxy = Proxy::start(server.port).await;
    let limits = Limits {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(3),
        progress: Duration::from_secs(3),
    };
    let store = open(change(S3Settings { limits, ..settings(proxy.port) })).await;
    Bench { proxy, store, _server: server }
}

/// Whatever is decided is decided within this time: the store's own limits are far shorter.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("no answer in time")
}

async fn uploads_left(bench: &Bench, blob: &rowlock_blobs::BlobKey) -> usize {
    bench.proxy.next([]);
    bench.store.remove_unfinished(blob).await.unwrap();
    bench.proxy.seen().iter().filter(|request| request.starts_with("DELETE")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_where_they_broke_off() {
    let bench = bench(|it| it).await;
    let (blob, bytes) = (suite::blob(BUCKET, "read"), suite::pattern(3_000_000));
    suite::put(&bench.store, &blob, &bytes, 300_000).await;
    let size = bytes.len() as u64;
    for faults in [
        vec![Fault::Delay(Duration::from_millis(300))],
        vec![Fault::Reset, SLOW_DOWN, INTERNAL],
        vec![BARE_502, Fault::LoseAnswer],
        vec![Fault::Truncate(0), Fault::Truncate(1), Fault::Truncate(1_000_000), SLOW_DOWN],
        vec![Fault::Truncate(2_999_999), Fault::Reset],
        vec![Fault::Stall(700_000)],
        vec![Fault::Hang],
    ] {
        let hangs = matches!(faults[0], Fault::Hang);
        bench.proxy.next(faults.clone());
        let read = in_time(suite::get(&bench.store, &blob, size, 0..size)).await;
        if hangs {
            // The time in which a client has to hear something is over.
            assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
        } else {
            assert!(read.unwrap() == bytes, "other bytes after {faults:?}");
        }
        assert!(bench.proxy.is_through(), "{faults:?}");
        // A small range is read whole before it is answered.
        if !hangs && !matches!(faults[0], Fault::Stall(_) | Fault::Truncate(_)) {
            bench.proxy.next(faults.clone());
            let read = in_time(suite::get(&bench.store, &blob, size, 5..100_005)).await.unwrap();
            assert!(read == bytes.slice(5..100_005), "other bytes after {faults:?}");
        }
    }
    // Something else under the same address is no blob.
    bench.proxy.next([NONSENSE]);
    let other = in_time(suite::get(&bench.store, &blob, size, 0..size)).await;
    assert!(matches!(other, Err(Error::Unavailable { .. })), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_succeed_or_leave_nothing() {
    let bench = bench(|it| it).await;
    // One PUT, and three parts.
    for size in [100_000, 2 * PART + 1000] {
        let bytes = suite::pattern(size);
        for fault in [Fault::Reset, SLOW_DOWN, INTERNAL, BARE_502, Fault::LoseAnswer] {
            // At each request of the write in turn.
            for at in 0..if size > PART { 5 } else { 1 } {
                let blob = suite::blob(BUCKET, "write");
                let quiet = std::iter::repeat_n(Fault::None, at);
                bench.proxy.next(quiet.chain([fault.clone()]));
                let written = in_time(write(&bench.store, &blob, &bytes)).await;
                let seen = bench.proxy.seen();
                assert!(written.is_ok(), "{fault:?} at {at}: {written:?} {seen:?}");
                assert!(bench.proxy.is_through(), "{fault:?} at {at}");
                let read = suite::get(&bench.store, &blob, size as u64, 0..size as u64).await;
                assert!(read.unwrap() == bytes, "other bytes after {fault:?} at {at}");
                assert_eq!(uploads_left(&bench, &blob).await, 0, "{fault:?} at {at}");
                bench.store.delete(&[blob]).await.remove(0).unwrap();
            }
        }
    }
    // An answer that is none is not believed.
    let (blob, bytes) = (suite::blob(BUCKET, "nonsense"), suite::pattern(2 * PART));
    bench.proxy.next([NONSENSE, Fault::None, Fault::None, NONSENSE]);
    in_time(suite::put(&bench.store, &blob, &bytes, 300_000)).await;
    let read = suite::get(&bench.store, &blob, bytes.len() as u64, 0..bytes.len() as u64).await;
    assert!(read.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stays_away_is_told_in_time() {
    let bench = bench(|it| it).await;
    let blob = suite::blob(BUCKET, "away");
    let bytes = suite::pattern(PART + 1);
    let few = bytes.slice(..10);
    for fault in [Fault::Reset, Fault::Hang, SLOW_DOWN, INTERNAL, BARE_502] {
        bench.proxy.always(fault.clone());
        let away = |result: Result<(), Error>, what| {
            assert!(matches!(result, Err(Error::Unavailable { .. })), "{what}: {result:?}");
        };
        let (read, head, small, large, deleted) = in_time(async {
            tokio::join!(
                suite::get(&bench.store, &blob, 10, 0..10),
                bench.store.head(&blob),
                write(&bench.store, &blob, &few),
                write(&bench.store, &blob, &bytes),
                bench.store.delete(std::slice::from_ref(&blob)),
            )
        })
        .await;
        away(read.map(drop), "read");
        away(head.map(drop), "head");
        away(small, "small write");
        away(large, "large write");
        away(deleted.into_iter().next().unwrap(), "delete");
    }
    // It comes back, and so does everything else.
    bench.proxy.next([]);
    suite::put(&bench.store, &blob, &bytes, 300_000).await;
    assert_eq!(bench.store.head(&blob).await.unwrap(), bytes.len() as u64);
}

pub(crate) async fn write(
    store: &S3Store,
    blob: &rowlock_blobs::BlobKey,
    bytes: &bytes::Bytes,
) -> Result<(), Error> {
    let mut writer = store.writer(blob, &suite::attributes(), Some(bytes.len() as u64));
    for at in (0..bytes.len()).step_by(300_000) {
        writer.write(bytes.slice(at..bytes.len().min(at + 300_000))).await?;
    }
    writer.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_the_bytes_that_pass_through_can_be_sent_again() {
    let bench = bench(|it| S3Settings { buffer_budget: 0, ..it }).await;
    for (size, at) in [(100_000, 0), (900_000, 0), (2 * PART + 100_000, 3)] {
        let bytes = suite::pattern(size);
        for fault in [Fault::Reset, SLOW_DOWN, INTERNAL, Fault::LoseAnswer] {
            let blob = suite::blob(BUCKET, "pass");
            let quiet = std::iter::repeat_n(Fault::None, at);
            bench.proxy.next(quiet.chain([fault.clone(), fault.clone()]));
            in_time(write(&bench.store, &blob, &bytes)).await.unwrap();
            assert!(bench.proxy.is_through(), "{fault:?}");
            let read = suite::get(&bench.store, &blob, size as u64, 0..size as u64).await;
            assert!(read.unwrap() == bytes, "other bytes after {fault:?}");
            assert_eq!(uploads_left(&bench, &blob).await, 0, "{fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_passed_through_fails_whole_and_as_a_store_that_is_away() {
    let bench = bench(|it| S3Settings { buffer_budget: 0, ..it }).await;
    for size in [4_000_000, 2 * PART] {
        let bytes = suite::pattern(size);
        for fault in [SLOW_DOWN, INTERNAL, Fault::LoseAnswer] {
            let blob = suite::blob(BUCKET, "pass");
            // The answer comes when all bytes have gone: the client has to send them again.
            let at = usize::from(size > PART);
            bench.proxy.next(std::iter::repeat_n(Fault::None, at).chain([fault.clone()]));
            let failed = in_time(write(&bench.store, &blob, &bytes)).await;
            assert!(matches!(failed, Err(Error::Unavailable { .. })), "{fault:?}: {failed:?}");
            assert!(bench.proxy.is_through(), "{fault:?}");
            // The upload that was begun goes by itself; what a lost answer has written is removed
            // by its note in the ledger.
            if !matches!(fault, Fault::LoseAnswer) || size > PART {
                assert!(matches!(bench.store.head(&blob).await, Err(Error::NotFound)), "{fault:?}");
            }
            in_time(write(&bench.store, &blob, &bytes)).await.unwrap();
            let read = suite::get(&bench.store, &blob, size as u64, 0..size as u64).await;
            assert!(read.unwrap() == bytes, "other bytes after {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_large_part_fails_whole_and_is_taken_the_next_time() {
    let bench = bench(|it| it).await;
    let blob = suite::blob(BUCKET, "part");
    let id = bench.store.create_multipart(&blob, &suite::attributes()).await.unwrap();
    let upload = MultipartBlob { upload_id: id, blob: blob.clone() };
    // Larger than what is held; its first bytes can be sent again, all of them cannot.
    let bytes = suite::pattern(PART + 4_000_000);
    for fault in [Fault::Reset, SLOW_DOWN, Fault::LoseAnswer] {
        bench.proxy.next([fault.clone()]);
        let failed = in_time(send_part(&bench.store, &upload, &bytes)).await;
        if !matches!(fault, Fault::Reset) {
            assert!(matches!(failed, Err(Error::Unavailable { .. })), "{fault:?}: {failed:?}");
        }
        assert!(bench.proxy.is_through(), "{fault:?}");
    }
    let etag = in_time(send_part(&bench.store, &upload, &bytes)).await.unwrap();
    let size = bytes.len() as u64;
    let parts = [PartInfo { number: 1, etag, size }];
    bench.store.complete_multipart(&upload, &parts, &suite::attributes()).await.unwrap();
    assert!(suite::get(&bench.store, &blob, size, 0..size).await.unwrap() == bytes);
}

async fn send_part(
    store: &S3Store,
    upload: &MultipartBlob,
    bytes: &bytes::Bytes,
) -> Result<String, Error> {
    let mut writer = store.part_writer(upload, 1, Some(bytes.len() as u64));
    for at in (0..bytes.len()).step_by(300_000) {
        writer.write(bytes.slice(at..bytes.len().min(at + 300_000))).await?;
    }
    let tag = hex::encode(rowlock_digest::md5(bytes));
    let given = writer.stage(&tag).await?.publish().await?;
    Ok(given.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_deletion_has_its_own_answer() {
    let bench = bench(|it| it).await;
    let blobs = [suite::blob(BUCKET, "one"), suite::blob(BUCKET, "two"), suite::blob(BUCKET, "x")];
    for blob in &blobs {
        suite::put(&bench.store, blob, &suite::pattern(5), 5).await;
    }
    let key = format!("ten/{BUCKET}/two/{}", blobs[1].version.unwrap());
    let body = format!(
        "<DeleteResult><Error><Key>{key}</Key><Code>InternalError</Code><Message>no</Message></Error></DeleteResult>"
    );
    bench.proxy.next([Fault::Answer(200, body.leak())]);
    let answers = bench.store.delete(&blobs).await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(answers[1], Err(Error::Unavailable { .. })), "{:?}", answers[1]);
    // A service without batches gets one request for each.
    let unknown = "<Error><Code>NotImplemented</Code><Message>no</Message></Error>";
    bench.proxy.next([Fault::Answer(501, unknown)]);
    for answer in bench.store.delete(&blobs).await {
        answer.unwrap();
    }
    for blob in &blobs {
        assert!(matches!(bench.store.head(blob).await, Err(Error::NotFound)));
    }
}

const REFUSAL: Fault = Fault::Answer(
    400,
    "<Error><Code>InvalidRequest</Code><Message>x-amz-checksum is unknown</Message></Error>",
);

fn summed(bench: &Bench) -> usize {
    bench.proxy.seen().iter().filter(|request| request.ends_with(" summed")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_given_up_where_they_are_refused() {
    // One PUT; or the beginning, a part, and the end of an upload. The last two by a service that
    // had no ear for the beginning, as moto's has none.
    let large = 2 * PART + 1000;
    for (size, refused_at) in [(1000, 0), (large, 0), (large, 2), (large, 4)] {
        let server = if refused_at == 0 { garage() } else { None };
        let bench = bench_before(server, |it| it).await;
        let (blob, bytes) = (suite::blob(BUCKET, "sum"), suite::pattern(size));
        bench.proxy.next(std::iter::repeat_n(Fault::None, refused_at).chain([REFUSAL]));
        in_time(write(&bench.store, &blob, &bytes)).await.unwrap();
        assert!(bench.proxy.is_through() && summed(&bench) > 0, "{:?}", bench.proxy.seen());
        let read = suite::get(&bench.store, &blob, size as u64, 0..size as u64).await;
        assert!(read.unwrap() == bytes, "other bytes after a refusal at {refused_at}");
        // It is not asked again.
        bench.proxy.next([]);
        in_time(write(&bench.store, &blob, &bytes)).await.unwrap();
        assert_eq!(summed(&bench), 0, "{:?}", bench.proxy.seen());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_sent_unless_they_are_switched_off() {
    let bench = bench(|it| it).await;
    let (small, large) = (suite::pattern(1000), suite::pattern(2 * PART + 1000));
    let blob = suite::blob(BUCKET, "switch");
    write(&bench.store, &blob, &small).await.unwrap();
    write(&bench.store, &blob, &large).await.unwrap();
    // The PUT, the beginning, and three parts.
    assert_eq!(summed(&bench), 5, "{:?}", bench.proxy.seen());
    // Of empty parts an object is made as any other is.
    let upload_id = bench.store.create_multipart(&blob, &suite::attributes()).await.unwrap();
    let upload = MultipartBlob { upload_id, blob: blob.clone() };
    bench.proxy.next([]);
    bench.store.complete_multipart(&upload, &[], &suite::attributes()).await.unwrap();
    assert_eq!(summed(&bench), 1, "{:?}", bench.proxy.seen());
    let off =
        S3Settings { request_checksums: Checksums::WhenRequired, ..settings(bench.proxy.port) };
    let off = open(off).await;
    bench.proxy.next([]);
    write(&off, &blob, &small).await.unwrap();
    write(&off, &blob, &large).await.unwrap();
    assert_eq!(summed(&bench), 0, "{:?}", bench.proxy.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_began_with_memory_go_on_with_it() {
    // Room for three parts, and four uploads at a time: none may wait for another for ever, and
    // each is either held, and its faults made good, or passed through whole.
    let bench = bench(|it| S3Settings { buffer_budget: 3 * PART, ..it }).await;
    let bytes = suite::pattern(4 * PART + 1000);
    let blobs: Vec<_> = (0..4).map(|n| suite::blob(BUCKET, &format!("room/{n}"))).collect();
    let writes = blobs.iter().map(|blob| write(&bench.store, blob, &bytes));
    for written in in_time(futures_util::future::join_all(writes)).await {
        written.unwrap();
    }
    for blob in &blobs {
        let read = suite::get(&bench.store, blob, bytes.len() as u64, 0..bytes.len() as u64).await;
        assert!(read.unwrap() == bytes);
    }
}

/// Whoever sends a part can send it again, and must not wait longer than for anything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_client_waits_no_longer_than_anything_else() {
    let bench = bench(|it| it).await;
    let blob = suite::blob(BUCKET, "part");
    let id = bench.store.create_multipart(&blob, &suite::attributes()).await.unwrap();
    let upload = MultipartBlob { upload_id: id, blob };
    bench.proxy.always(Fault::Hang);
    let mut writer = bench.store.part_writer(&upload, 1, Some(10));
    writer.write(suite::pattern(10)).await.unwrap();
    let staged = in_time(writer.stage("")).await;
    assert!(matches!(staged, Err(Error::Unavailable { .. })), "{:?}", staged.err());
    assert_eq!(bench.proxy.seen().len(), 1);
}
