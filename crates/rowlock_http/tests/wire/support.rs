use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use rowlock_http::server::{
    ConnectionInfo, Drained, ServerSettings, bind, is_stalled, refuse_early, run,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Long enough for anything here on a busy machine; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; stops when told to, or with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
}

impl Server {
    pub(crate) fn start<A, F>(settings: ServerSettings, app: A) -> Self
    where
        A: Fn(Request<Body>, ConnectionInfo) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listeners = bind(&settings).unwrap();
        let address = listeners.addresses()[0];
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let ended = tokio::spawn(run(listeners, settings, app, shutdown));
        Self { address, stop, ended }
    }

    pub(crate) fn begin_stop(self) -> JoinHandle<Drained> {
        let _ = self.stop.send(());
        self.ended
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::to(self.address).await
    }

    /// Sends the bytes on a connection of its own, and reads until the server closes it.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.read_to_end().await
    }
}

/// A client that knows nothing of HTTP but where an answer ends.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// All that comes before the server closes; a reset counts as the end.
    pub(crate) async fn read_to_end(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    /// The next answer's head and body.
    pub(crate) async fn answer(&mut self) -> (String, Vec<u8>) {
        let head = loop {
            if let Some(at) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                let rest = self.unread.split_off(at + 4);
                break std::mem::replace(&mut self.unread, rest);
            }
            assert!(self.more().await, "closed in a head: {:?}", self.unread.escape_ascii());
        };
        let head = String::from_utf8(head).unwrap();
        let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
        while self.unread.len() < length {
            assert!(self.more().await, "closed in a body after {head}");
        }
        let rest = self.unread.split_off(length);
        (head, std::mem::replace(&mut self.unread, rest))
    }

    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece));
        let length = read.await.expect("the server neither answered nor closed").unwrap_or(0);
        self.unread.extend_from_slice(&piece[..length]);
        length > 0
    }
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

pub(crate) fn status(head: &str) -> u16 {
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no answer: {head:?}"))
}

/// What the tiny app saw.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

/// Echoes bodies, refuses some, and never answers others.
pub(crate) fn tiny_app(
    seen: Seen,
) -> impl Fn(Request<Body>, ConnectionInfo) -> futures_util::future::BoxFuture<'static, Response<Body>>
+ Clone
+ Send
+ Sync
+ 'static {
    move |request, _| {
        seen.note(format!("{} {}", request.method(), request.uri()));
        let seen = seen.clone();
        Box::pin(async move { tiny_answer(request, seen).await })
    }
}

async fn tiny_answer(request: Request<Body>, seen: Seen) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match parts.uri.path() {
        "/refuse" => refuse_early(body, answer(StatusCode::FORBIDDEN, "refused")),
        // What came of the body by chance, but not its end.
        "/let-go" => {
            let mut body = body;
            let _ = body.frame().await;
            answer(StatusCode::FORBIDDEN, "refused")
        }
        "/read-and-refuse" => match body.collect().await {
            Ok(_) => answer(StatusCode::FORBIDDEN, "refused"),
            Err(_) => answer(StatusCode::BAD_REQUEST, "broken body"),
        },
        "/big" => Response::new(Body::from(vec![b'x'; 8 * 1024 * 1024])),
        "/never" => {
            let _left = OnDrop(seen);
            pending().await
        }
        "/panic" => panic!("on purpose"),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(700)).await;
            answer(StatusCode::OK, "slow")
        }
        _ => match body.collect().await {
            Ok(body) => Response::new(Body::from(body.to_bytes())),
            Err(error) if is_stalled(&error) => answer(StatusCode::REQUEST_TIMEOUT, "stalled"),
            Err(error) => {
                seen.note(format!("error {error}"));
                answer(StatusCode::BAD_REQUEST, "broken body")
            }
        },
    }
}

fn answer(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

struct OnDrop(Seen);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.note("dropped".to_owned());
    }
}

/// Waits until the condition holds.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it never came true");
}
