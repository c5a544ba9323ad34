//! Joining parts twice.

use crate::servers::{garage, moto, open, settings};
use crate::suite::needs_garage;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rowlock_blobs::{BlobStore, Error, MultipartBlob, PartInfo, suite};
use rowlock_blobs_s3::S3Store;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

async fn part(store: &S3Store, upload: &MultipartBlob, byte: u8) -> PartInfo {
    let bytes = bytes::Bytes::from(vec![byte; 1000]);
    let mut writer = store.part_writer(upload, 1, Some(1000));
    writer.write(bytes.clone()).await.unwrap();
    let tag = hex::encode(rowlock_digest::md5(&bytes));
    let etag = writer.stage(&tag).await.unwrap().publish().await.unwrap().unwrap();
    PartInfo { number: 1, etag, size: 1000 }
}

async fn of_two_requests_with_other_parts_one_wins(store: S3Store) {
    for name in ["first", "second"] {
        let blob = suite::blob("join-bucket", name);
        let id = store.create_multipart(&blob, &suite::attributes()).await.unwrap();
        let upload = MultipartBlob { upload_id: id, blob: blob.clone() };
        let lost = part(&store, &upload, 1).await;
        let won = part(&store, &upload, 2).await;
        let join = |part: &PartInfo| {
            let (store, upload, part) = (store.clone(), upload.clone(), part.clone());
            async move { store.complete_multipart(&upload, &[part], &suite::attributes()).await }
        };
        let first = join(&won).await.unwrap();
        // The same request again has the same answer; one with other parts of the same size has not.
        assert_eq!(join(&won).await.unwrap().etag, first.etag);
        let late = join(&lost).await;
        assert!(matches!(late, Err(Error::Unavailable { .. })), "{name}: {late:?}");
        let read = suite::get(&store, &blob, 1000, 0..1000).await.unwrap();
        assert!(read.iter().all(|byte| *byte == 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_with_other_parts_one_wins_in_garage() {
    let Some(server) = garage() else {
        return needs_garage("of two requests with other parts one wins");
    };
    of_two_requests_with_other_parts_one_wins(open(settings(server.port)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_with_other_parts_one_wins_in_moto() {
    let server = moto().await;
    of_two_requests_with_other_parts_one_wins(open(settings(server.port)).await).await;
}

/// How a service of ours answers who joins parts.
#[derive(Clone, Copy)]
enum Joining {
    /// By AWS's rule.
    Ruled,
    /// With a tag of its own making, as where keys of KMS's encrypt.
    Kms,
    /// As [`Joining::Kms`], but the answer is lost: the upload is gone, and the object there.
    KmsUnheard,
    /// With a tag that is of other parts.
    Others,
}

const OWN_TAG: &str = "\"00112233445566778899aabbccddeeff-1\"";

/// A service for uploads of a single part.
async fn service(joining: Arc<Mutex<Joining>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let part_md5 = Arc::new(Mutex::new([0; 16]));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (joining, part_md5) = (Arc::clone(&joining), Arc::clone(&part_md5));
            tokio::spawn(async move {
                let service = service_fn(|request: Request<hyper::body::Incoming>| {
                    let (joining, part_md5) = (*joining.lock().unwrap(), Arc::clone(&part_md5));
                    async move { answer(request, joining, &part_md5).await }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    joining: Joining,
    part_md5: &Mutex<[u8; 16]>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let begins = request.uri().query().is_some_and(|query| query.contains("uploads"));
    let method = request.method().clone();
    let body = request.into_body().collect().await?.to_bytes();
    let quoted = |md5: &[u8], end: &str| format!("\"{}{end}\"", hex::encode(md5));
    let kms = |text: &str| {
        let answer = Response::builder().header("x-amz-server-side-encryption", "aws:kms");
        (answer.header("etag", OWN_TAG), text.replace("TAG", OWN_TAG))
    };
    let joined = "<CompleteMultipartUploadResult><ETag>TAG</ETag></CompleteMultipartUploadResult>";
    let (answer, text) = match (method, joining) {
        (Method::POST, _) if begins => {
            let text = "<InitiateMultipartUploadResult><UploadId>u</UploadId>\
                        </InitiateMultipartUploadResult>";
            (Response::builder(), text.to_owned())
        }
        (Method::PUT, _) => {
            let md5 = rowlock_digest::md5(&body);
            *part_md5.lock().unwrap() = md5;
            (Response::builder().header("etag", quoted(&md5, "")), String::new())
        }
        (Method::POST, Joining::Ruled) => {
            let tag = quoted(&rowlock_digest::md5(&*part_md5.lock().unwrap()), "-1");
            (Response::builder(), joined.replace("TAG", &tag))
        }
        (Method::POST, Joining::Others) => (Response::builder(), joined.replace("TAG", OWN_TAG)),
        (Method::POST, Joining::Kms) => kms(joined),
        (Method::POST, Joining::KmsUnheard) => {
            let text = "<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>";
            (Response::builder().status(404), text.to_owned())
        }
        (Method::HEAD, _) => {
            let (answer, _) = kms("");
            (answer.header("content-length", "1000"), String::new())
        }
        _ => (Response::builder().status(501), String::new()),
    };
    Ok(answer.body(Full::new(Bytes::from(text))).unwrap())
}

/// A bucket may be set to KMS's keys at any time: from then on, no tag is the one foretold.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_begins_to_encrypt_fails_nothing() {
    for (then, joins) in
        [(Joining::Kms, true), (Joining::KmsUnheard, true), (Joining::Others, false)]
    {
        let joining = Arc::new(Mutex::new(Joining::Ruled));
        let store = open(settings(service(Arc::clone(&joining)).await)).await;
        for (name, how, joins) in [("one", Joining::Ruled, true), ("two", then, joins)] {
            *joining.lock().unwrap() = how;
            let blob = suite::blob("join-bucket", name);
            let id = store.create_multipart(&blob, &suite::attributes()).await.unwrap();
            let upload = MultipartBlob { upload_id: id, blob };
            let part = part(&store, &upload, 1).await;
            let joined = store.complete_multipart(&upload, &[part], &suite::attributes()).await;
            assert_eq!(joined.is_ok(), joins, "{joined:?}");
        }
    }
}
