//! What a look at the service costs, and what it makes of a service that has a bad moment.

use crate::servers::{BUCKET, open, settings};
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rowlock_blobs_s3::Problem;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::RwLock;

/// What a service of ours answers: a status and a code, or nothing, so that the connection ends.
type Answer = Option<(u16, &'static str)>;
const GOOD: Answer = Some((200, ""));
const DENIED: Answer = Some((403, "AccessDenied"));
const BUSY: Answer = Some((503, "SlowDown"));

type Asked = Arc<Mutex<Vec<String>>>;

/// A service that answers by method and path, given the requests before; and what it was asked.
async fn service(
    answer: impl Fn(&str, &[String]) -> Answer + Clone + Send + Sync + 'static,
) -> (u16, Asked) {
    slow_service(answer, Arc::default()).await
}

/// As [`service`]; one that answers no PUT while `hold` is held.
async fn slow_service(
    answer: impl Fn(&str, &[String]) -> Answer + Clone + Send + Sync + 'static,
    hold: Arc<RwLock<()>>,
) -> (u16, Asked) {
    let asked = Asked::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shared = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (asked, answer, hold) = (Arc::clone(&shared), answer.clone(), Arc::clone(&hold));
            tokio::spawn(async move {
                let service = service_fn(|request: Request<hyper::body::Incoming>| {
                    let request = format!("{} {}", request.method(), request.uri().path());
                    let is_put = request.starts_with("PUT");
                    let mut asked = asked.lock().unwrap();
                    let answer = answer(&request, &asked);
                    asked.push(request);
                    let hold = Arc::clone(&hold);
                    async move {
                        if is_put {
                            drop(hold.read().await);
                        }
                        let (status, code) = answer.ok_or("the connection ends")?;
                        let body = if code.is_empty() {
                            "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>".to_owned()
                        } else {
                            format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>")
                        };
                        let answer = Response::builder().status(status).header("etag", "\"x\"");
                        Ok::<_, &str>(answer.body(Full::new(Bytes::from(body))).unwrap())
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_moment_is_no_problem() {
    for bad in [BUSY, None] {
        let (port, asked) =
            service(move |_, before| if before.is_empty() { bad } else { GOOD }).await;
        assert_eq!(open(settings(port)).await.problem().await, None, "{bad:?}");
        assert_eq!(asked.lock().unwrap().len(), 2, "{bad:?}");
    }
}

/// Whoever asks for health waits ten seconds: what a service that says nothing is, has to be told
/// before, with the usual limits too.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_says_nothing_is_told_by_its_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(listener.local_addr().unwrap().port());
    settings.limits = rowlock_blobs_s3::Limits::default();
    let store = open(settings).await;
    let problem = tokio::time::timeout(Duration::from_secs(25), store.problem()).await;
    assert!(matches!(problem, Ok(Some(Problem::Endpoint(_)))), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_list_writes_one_trial() {
    let away = Arc::new(Mutex::new(false));
    let switch = Arc::clone(&away);
    let (port, asked) = service(move |request, _| match request {
        _ if *switch.lock().unwrap() => Some((403, "InvalidAccessKeyId")),
        request if request.starts_with("GET") => DENIED,
        _ => GOOD,
    })
    .await;
    let store = open(settings(port)).await;
    let trials = || {
        let mut asked = asked.lock().unwrap();
        std::mem::take(&mut *asked).into_iter().filter(|it| !it.starts_with("GET")).collect()
    };
    let trial = |method| format!("{method} /{BUCKET}/.rowlock/check/ten");
    let all = vec![trial("PUT"), trial("DELETE")];
    for written in [all.clone(), vec![], vec![]] {
        assert_eq!(store.problem().await, None);
        let trials: Vec<String> = trials();
        assert_eq!(trials, written);
    }
    *away.lock().unwrap() = true;
    assert!(matches!(store.problem().await, Some(Problem::AccessKey(_))));
    *away.lock().unwrap() = false;
    assert_eq!(store.problem().await, None);
    let again: Vec<String> = trials();
    assert_eq!(again, all, "after a bad answer");
}

/// Each would stay where nothing may be deleted, and each would be a version where those are kept.
#[tokio::test(flavor = "multi_thread")]
async fn trials_do_not_pile_up_where_nothing_may_be_deleted() {
    let (port, asked) =
        service(|request, _| if request.starts_with("PUT") { GOOD } else { DENIED }).await;
    let store = open(settings(port)).await;
    for _ in 0..3 {
        assert_eq!(store.problem().await, Some(Problem::Denied));
    }
    let puts = asked.lock().unwrap().iter().filter(|it| it.starts_with("PUT")).count();
    assert_eq!(puts, 1);
}

/// Whoever asks for health may be gone before the service answers.
#[tokio::test(flavor = "multi_thread")]
async fn looks_that_are_given_up_write_one_trial() {
    let hold = Arc::<RwLock<()>>::default();
    let answer = |request: &str, _: &[String]| match request {
        request if request.starts_with("GET") => DENIED,
        _ => GOOD,
    };
    let (port, asked) = slow_service(answer, Arc::clone(&hold)).await;
    let store = open(settings(port)).await;
    let count = |method| asked.lock().unwrap().iter().filter(|it| it.starts_with(method)).count();
    let held = hold.write().await;
    for looks in 1..=3 {
        let store = store.clone();
        let look = tokio::spawn(async move { store.problem().await });
        while count("GET") < looks || count("PUT") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Time for what a look does after its first answer.
        tokio::time::sleep(Duration::from_millis(200)).await;
        look.abort();
        assert!(look.await.is_err_and(|error| error.is_cancelled()));
    }
    drop(held);
    assert_eq!(store.problem().await, None);
    assert_eq!((count("PUT"), count("DELETE")), (1, 1));
}
