//! How the service is addressed and requests are signed: hosts by bucket, what refusals are told.

use crate::servers::{BUCKET, KEY, REGION, garage, open, settings};
use crate::suite::needs_garage;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rowlock_blobs::{BlobStore, suite};
use rowlock_blobs_s3::{Problem, S3Settings};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An S3 service that keeps nothing: it notes host, path and authorization, and answers a list.
pub(crate) async fn listener() -> (u16, Arc<Mutex<Vec<(String, String, String)>>>) {
    let seen = Arc::<Mutex<Vec<_>>>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let seen = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = service_fn(|request: Request<hyper::body::Incoming>| {
                    let header = |name: &str| {
                        let value = request.headers().get(name);
                        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
                    };
                    let path = request.uri().path().to_owned();
                    seen.lock().unwrap().push((header("host"), path, header("authorization")));
                    async {
                        let list = "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>";
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(list))))
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_hosts_unless_paths_are_forced() {
    let (port, seen) = listener().await;
    // `<bucket>.localhost` is this machine on every system (RFC 6761).
    let by_host = S3Settings {
        endpoint: Some(format!("http://localhost:{port}")),
        force_path_style: false,
        ..settings(port)
    };
    assert_eq!(open(by_host.clone()).await.problem().await, None);
    let by_path = S3Settings { force_path_style: true, ..by_host };
    assert_eq!(open(by_path).await.problem().await, None);
    let seen = seen.lock().unwrap();
    let scope = format!("AWS4-HMAC-SHA256 Credential={KEY}/");
    assert_eq!((&*seen[0].0, &*seen[0].1), (&*format!("{BUCKET}.localhost:{port}"), "/"));
    assert_eq!(
        (&*seen[1].0, &*seen[1].1),
        (&*format!("localhost:{port}"), &*format!("/{BUCKET}/"))
    );
    for (_, _, authorization) in &*seen {
        assert!(authorization.starts_with(&scope), "{authorization}");
        assert!(authorization.contains(&format!("/{REGION}/s3/aws4_request")), "{authorization}");
        assert!(authorization.contains("SignedHeaders=host;"), "{authorization}");
    }
}

/// A service that checks signatures takes those of hosts by bucket.
#[tokio::test(flavor = "multi_thread")]
async fn signatures_of_hosts_by_bucket_are_right() {
    let Some(server) = garage() else {
        return needs_garage("signatures of hosts by bucket");
    };
    let by_host = S3Settings {
        endpoint: Some(format!("http://s3.localhost:{}", server.port)),
        force_path_style: false,
        ..settings(server.port)
    };
    let store = open(by_host).await;
    assert_eq!(store.problem().await, None);
    let (blob, bytes) =
        (suite::blob("host-bucket", "ünï/a b+c&d=e?.txt"), suite::pattern(11 << 20));
    suite::put(&store, &blob, &bytes, 300_000).await;
    let copy = suite::blob("host-bucket", "copy %2F");
    store.copy(&blob, bytes.len() as u64, &copy, &suite::attributes()).await.unwrap();
    let size = bytes.len() as u64;
    assert!(suite::get(&store, &copy, size, 0..size).await.unwrap() == bytes);
    for answer in store.delete(&[blob, copy]).await {
        answer.unwrap();
    }
}

/// What services say whose settings do not fit (S3 API reference, "Error responses").
#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_says_is_told_in_its_own_words() {
    const DATE: &str = "Tue, 24 Nov 2026 08:00:00 GMT";
    let error = |code: &str, more: &str| {
        format!("<Error><Code>{code}</Code><Message>so it is</Message>{more}</Error>")
    };
    let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization \
        header is malformed; the region 'a' is wrong; expecting 'eu-west-1'</Message></Error>";
    let garages = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>Authorization header \
        malformed, unexpected scope: &apos;20261124/a/s3/aws4_request&apos;, expected: \
        &apos;20261124/garage/s3/aws4_request&apos;</Message><Region>garage</Region></Error>";
    let nginx = "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title>\
        </head></html>";
    let go = "Client sent an HTTP request to an HTTPS server.\n";
    let tls = Problem::Endpoint("what listens there speaks TLS: https:// is its scheme".into());
    let old =
        "<Error><Code>InvalidRequest</Code><Message>Bad request: Date is too old</Message></Error>";
    let clock = Problem::Clock(Some(DATE.into()));
    for (status, body, wanted) in [
        (403, error("RequestTimeTooSkewed", "<ServerTime>x</ServerTime>"), clock.clone()),
        (400, old.into(), clock),
        (404, error("NoSuchBucket", ""), Problem::Bucket),
        (403, error("InvalidAccessKeyId", ""), Problem::AccessKey("InvalidAccessKeyId".into())),
        (400, error("ExpiredToken", ""), Problem::AccessKey("ExpiredToken".into())),
        (403, error("SignatureDoesNotMatch", ""), Problem::Secret),
        (400, malformed.into(), Problem::Region(Some("eu-west-1".into()))),
        (400, garages.into(), Problem::Region(Some("garage".into()))),
        (301, error("PermanentRedirect", ""), Problem::Region(Some("eu-north-1".into()))),
        (403, error("AccessDenied", ""), Problem::Denied),
        (200, "<html>It works!</html>".into(), Problem::NotS3("status 200".into())),
        (404, "<html>Not found</html>".into(), Problem::NotS3("status 404".into())),
        (400, nginx.into(), tls.clone()),
        (400, go.into(), tls),
        (503, error("SlowDown", ""), Problem::Other("SlowDown, status 503".into())),
    ] {
        let port = saying(status, body.clone(), DATE).await;
        let told = open(settings(port)).await.problem().await;
        assert_eq!(told, Some(wanted), "{status} {body}");
    }
}

/// What listens there reads one scheme's words in the other one.
#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_scheme_is_told() {
    const ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x46";
    let plain = "what listens there speaks no TLS: http:// is its scheme";
    let maybe = "what listens there gives no HTTP answer: if it speaks TLS, https:// is its scheme";
    for (scheme, answer, wanted) in [
        ("https", &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], plain),
        ("http", ALERT, maybe),
        // Python's and OpenSSL's way.
        ("http", b"", maybe),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 8192];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(answer).await;
            }
        });
        let endpoint = Some(format!("{scheme}://127.0.0.1:{port}"));
        let told = open(S3Settings { endpoint, ..settings(port) }).await.problem().await;
        assert_eq!(told, Some(Problem::Endpoint(wanted.into())), "{scheme} {answer:?}");
    }
    // What gives no answer over TLS either.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    });
    let endpoint = Some(format!("https://127.0.0.1:{port}"));
    let told = open(S3Settings { endpoint, ..settings(port) }).await.problem().await;
    let Some(Problem::Endpoint(why)) = told else { panic!("{told:?}") };
    assert!(!why.contains("scheme"), "{why}");
}

/// A service that has one answer, in the region `eu-north-1` where it redirects.
async fn saying(status: u16, body: String, date: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let body = body.clone();
            tokio::spawn(async move {
                let service = service_fn(|_: Request<hyper::body::Incoming>| {
                    let mut answer = Response::builder().status(status).header("date", date);
                    if status == 301 {
                        answer = answer.header("x-amz-bucket-region", "eu-north-1");
                    }
                    let answer = answer.body(Full::new(Bytes::from(body.clone()))).unwrap();
                    async { Ok::<_, Infallible>(answer) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}
