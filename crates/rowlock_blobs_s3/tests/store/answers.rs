//! Answers that are not what was asked for, not the service's, or that stop half way.

use crate::faults::{Bench, bench, bench_before, in_time, write};
use crate::proxy::Fault;
use crate::servers::garage;
use crate::servers::{open, settings};
use crate::suite::needs_garage;
use bytes::Bytes;
use futures_util::TryStreamExt;
use rowlock_blobs::{BlobKey, BlobStore, Error, MultipartBlob, suite};
use rowlock_blobs_s3::{Checksums, S3Settings};

const BUCKET: &str = "answer-bucket";
const FOREIGN_404: Fault = Fault::Answer(404, "<html>default backend - 404</html>");

async fn put(bench: &Bench, name: &str, bytes: &Bytes) -> BlobKey {
    bench.proxy.next([]);
    let blob = suite::blob(BUCKET, name);
    suite::put(&bench.store, &blob, bytes, 300_000).await;
    blob
}

async fn is_there(bench: &Bench, blob: &BlobKey, bytes: &Bytes) {
    bench.proxy.next([]);
    let size = bytes.len() as u64;
    assert!(suite::get(&bench.store, blob, size, 0..size).await.unwrap() == *bytes);
}

/// A failure that a client may try again after, or a success: what a repeated request had.
fn passes<T>(doing: &str, result: Result<T, Error>) {
    match result {
        Ok(_) | Err(Error::Unavailable { .. }) => {}
        Err(error) => panic!("{doing}: {error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_stop_half_way_keep_nobody() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(6 << 20);
    let (size, attributes) = (bytes.len() as u64, suite::attributes());
    let blob = put(&bench, "stalls", &bytes).await;
    let stall = || bench.proxy.always(Fault::Stall(20));
    stall();
    let created = in_time(bench.store.create_multipart(&blob, &attributes)).await;
    passes("beginning", created);
    stall();
    let to = suite::blob(BUCKET, "copy");
    passes("copying", in_time(bench.store.copy(&blob, size, &to, &attributes)).await);
    bench.proxy.next([]);
    let id = bench.store.create_multipart(&blob, &attributes).await.unwrap();
    let upload = MultipartBlob { upload_id: id, blob: blob.clone() };
    stall();
    let part = in_time(bench.store.copy_part(&blob, size, 0..size, &upload, 1)).await;
    passes("copying a part", part.map(drop));
    stall();
    passes("listing", in_time(bench.store.list().try_collect::<Vec<_>>()).await.map(drop));
    stall();
    let other = suite::blob(BUCKET, "other");
    let deleted = in_time(bench.store.delete(std::slice::from_ref(&other))).await;
    passes("deleting", deleted.into_iter().next().unwrap());
    bench.proxy.next([]);
    bench.store.remove_unfinished(&blob).await.unwrap();
    bench.store.delete(&[other, to]).await.into_iter().for_each(|it| it.unwrap());
    is_there(&bench, &blob, &bytes).await;
    // One that is slow is waited for.
    bench.proxy.next([Fault::Delay(std::time::Duration::from_secs(1))]);
    bench.store.create_multipart(&blob, &attributes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_that_is_not_the_services_means_nothing() {
    let bench = bench(|it| it).await;
    let (few, many) = (suite::pattern(1000), suite::pattern(6 << 20));
    let blob = put(&bench, "foreign", &few).await;
    let (new, to) = (suite::blob(BUCKET, "new"), suite::blob(BUCKET, "to"));
    let away = |doing: &str, result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Unavailable { .. })), "{doing}: {result:?}");
    };
    bench.proxy.always(FOREIGN_404);
    let (store, attributes) = (&bench.store, suite::attributes());
    away("reading", suite::get(store, &blob, 1000, 0..1000).await.map(drop));
    away("writing", write(store, &new, &few).await);
    away("writing parts", write(store, &new, &many).await);
    away("copying", store.copy(&blob, 1000, &to, &attributes).await.map(drop));
    away("beginning", store.create_multipart(&new, &attributes).await.map(drop));
    away("deleting", store.delete(std::slice::from_ref(&blob)).await.remove(0));
    let never = rowlock_types::UploadId::random();
    let upload = MultipartBlob { upload_id: never, blob: blob.clone() };
    away("aborting", store.remove_multipart(&upload).await);
    is_there(&bench, &blob, &few).await;
    // The service's own word does.
    bench.proxy.next([]);
    let none = suite::blob(BUCKET, "none");
    assert!(matches!(suite::get(store, &none, 5, 0..5).await, Err(Error::NotFound)));
    assert!(matches!(store.head(&none).await, Err(Error::NotFound)));
    store.delete(&[blob, none]).await.into_iter().for_each(|it| it.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_do_not_fit_their_checksum_are_not_handed_on() {
    let checked = |it| S3Settings { response_checksums: Checksums::WhenSupported, ..it };
    // moto's server keeps no checksums.
    let Some(server) = garage() else {
        return needs_garage("bytes that do not fit their checksum are not handed on");
    };
    let bench = bench_before(Some(server), checked).await;
    for size in [10_000, 2_000_000] {
        let bytes = suite::pattern(size);
        let blob = put(&bench, "sum", &bytes).await;
        is_there(&bench, &blob, &bytes).await;
        for at in [0, size / 2, size - 1] {
            bench.proxy.next([Fault::Flip(at)]);
            let read = suite::get(&bench.store, &blob, size as u64, 0..size as u64).await;
            assert!(matches!(read, Err(Error::Unavailable { .. })), "{size} {at}: {read:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_range_than_was_asked_for_is_not_handed_on() {
    // moto's server looks at no signature.
    let bench = bench_before(None, |it| it).await;
    let bytes = suite::pattern(2_000_000);
    let blob = put(&bench, "range", &bytes).await;
    for range in [100..200, 500_000..1_500_000, 0..1_000_000] {
        bench.proxy.next([Fault::IgnoreRange]);
        let read = suite::get(&bench.store, &blob, 2_000_000, range.clone()).await;
        assert!(matches!(read, Err(Error::Unavailable { .. })), "{range:?}: {read:?}");
        bench.proxy.next([]);
        let read = suite::get(&bench.store, &blob, 2_000_000, range.clone()).await.unwrap();
        assert!(read == bytes.slice(range.start as usize..range.end as usize));
    }
    // What is read on after a break is what was missing.
    bench.proxy.next([Fault::Truncate(700_000), Fault::IgnoreRange]);
    let read = suite::get(&bench.store, &blob, 2_000_000, 0..2_000_000).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    // Something that is no object.
    bench.proxy.next([Fault::Answer(200, "<html>it works</html>")]);
    let read = suite::get(&bench.store, &blob, 2_000_000, 0..2_000_000).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_that_are_not_told_apart_have_all_failed() {
    let bench = bench(|it| it).await;
    let blobs = [suite::blob(BUCKET, "one"), suite::blob(BUCKET, "two")];
    for key in ["", "<Key>some other key</Key>"] {
        let body = format!(
            "<DeleteResult><Error>{key}<Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
        );
        bench.proxy.next([Fault::Answer(200, body.leak())]);
        for answer in bench.store.delete(&blobs).await {
            assert!(matches!(answer, Err(Error::Unavailable { .. })), "{key}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_something_about_batches_is_asked_once() {
    let blobs = [suite::blob(BUCKET, "one"), suite::blob(BUCKET, "two")];
    // How B2 refuses the newer checksums; how something refuses the operation.
    let unsupported = "<Error><Code>InvalidRequest</Code><Message>Unsupported header \
        'x-amz-sdk-checksum-algorithm' received for this API call.</Message></Error>";
    let unknown = "<Error><Code>NotImplemented</Code><Message>no</Message></Error>";
    for (status, refusal, then) in [(400, unsupported, 1), (501, unknown, 6)] {
        let bench = bench(|it| it).await;
        bench.proxy.next([Fault::Answer(status, refusal)]);
        bench.store.delete(&blobs).await.into_iter().for_each(|it| it.unwrap());
        assert_eq!(bench.proxy.seen().len(), 1 + then, "{:?}", bench.proxy.seen());
        bench.proxy.next([]);
        bench.store.delete(&blobs).await.into_iter().for_each(|it| it.unwrap());
        let seen = bench.proxy.seen();
        assert_eq!(seen.len(), then, "{seen:?}");
        let summed = |request: &&String| request.ends_with(" summed");
        assert_eq!(seen.iter().filter(summed).count(), 0, "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_service_does_not_take_is_the_names_fault() {
    let bench = bench(|it| it).await;
    let refusal = "<Error><Code>XMinioInvalidObjectName</Code><Message>Object name contains \
        unsupported characters.</Message></Error>";
    let (blob, to) = (suite::blob(BUCKET, "folder/"), suite::blob(BUCKET, "to"));
    bench.proxy.always(Fault::Answer(400, refusal));
    let refused = |doing: &str, result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::UnsupportedKey(_))), "{doing}: {result:?}");
    };
    refused("writing", write(&bench.store, &blob, &suite::pattern(10)).await);
    let attributes = suite::attributes();
    refused("copying", bench.store.copy(&to, 10, &blob, &attributes).await.map(drop));
    refused("beginning", bench.store.create_multipart(&blob, &attributes).await.map(drop));
    // Nothing lies there, and nothing is left to be done.
    bench.store.delete(std::slice::from_ref(&blob)).await.remove(0).unwrap();
    bench.store.remove_unfinished(&blob).await.unwrap();
}

/// Whatever the service offers, each request has a connection of its own.
#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_not_spoken() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Some(format!("https://localhost:{port}"));
    let store = open(S3Settings { endpoint, ..settings(port) }).await;
    let look = tokio::spawn(async move { store.problem().await });
    let (stream, _) = listener.accept().await.unwrap();
    let hello = tokio_rustls::LazyConfigAcceptor::new(Default::default(), stream).await.unwrap();
    let offered: Vec<Vec<u8>> =
        hello.client_hello().alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
    assert!(!offered.contains(&b"h2".to_vec()), "{offered:?}");
    drop((hello, listener));
    assert!(in_time(look).await.unwrap().is_some(), "nobody was there");
}
