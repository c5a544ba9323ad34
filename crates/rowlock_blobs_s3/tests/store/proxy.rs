//! A network that fails as it is told: an HTTP proxy in front of a server.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It goes through.
    None,
    /// It goes through after a while.
    Delay(Duration),
    /// The connection ends before anything is passed on.
    Reset,
    /// The server gets it, and its answer is lost.
    LoseAnswer,
    /// The answer's body ends after so many bytes.
    Truncate(usize),
    /// The answer stops coming after so many bytes, and the connection stays.
    Stall(usize),
    /// One byte of the answer's body, counted from 0, is another one.
    Flip(usize),
    /// The server hears nothing of the range that was asked for.
    IgnoreRange,
    /// This is the answer, and the server hears of nothing.
    Answer(u16, &'static str),
    /// Nobody ever answers.
    Hang,
    /// Nobody ever answers, and the server gets it when it is told to land.
    Late(Late),
}

/// When a request reaches the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Late {
    go: Arc<Notify>,
    landed: Arc<Notify>,
}

impl Late {
    pub(crate) async fn land(&self) {
        self.go.notify_one();
        self.landed.notified().await;
    }
}

pub(crate) const SLOW_DOWN: Fault = Fault::Answer(
    503,
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
);
pub(crate) const INTERNAL: Fault =
    Fault::Answer(500, "<Error><Code>InternalError</Code><Message>oops</Message></Error>");
pub(crate) const BARE_502: Fault = Fault::Answer(502, "<html>Bad Gateway</html>");
pub(crate) const NONSENSE: Fault = Fault::Answer(200, "this is no XML");

/// Faults for the requests to come, in their order; then `after` for all others.
#[derive(Debug, Default)]
struct Script {
    faults: VecDeque<Fault>,
    after: Option<Fault>,
    seen: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    script: Arc<Mutex<Script>>,
}

type Body = BoxBody<Bytes, io::Error>;

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::<Mutex<Script>>::default();
        let shared = Arc::clone(&script);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(|request| serve(Arc::clone(&script), server, request));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, script }
    }

    /// These faults for the next requests, then none.
    pub(crate) fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut script = self.script.lock().unwrap();
        *script = Script { faults: faults.into_iter().collect(), ..Script::default() };
    }

    /// This fault for every request to come.
    pub(crate) fn always(&self, fault: Fault) {
        let mut script = self.script.lock().unwrap();
        *script = Script { after: Some(fault), ..Script::default() };
    }

    /// Every fault that was asked for has happened.
    pub(crate) fn is_through(&self) -> bool {
        self.script.lock().unwrap().faults.is_empty()
    }

    /// The requests since the faults were set: method and target, and whether there is a word
    /// about the newer checksums in the headers.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.script.lock().unwrap().seen.clone()
    }
}

async fn serve(
    script: Arc<Mutex<Script>>,
    server: u16,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let fault = {
        let mut script = script.lock().unwrap();
        let newer = |name: &hyper::header::HeaderName| name.as_str().starts_with("x-amz-checksum");
        let summed = if request.headers().keys().any(newer) { " summed" } else { "" };
        script.seen.push(format!("{} {}{summed}", request.method(), request.uri()));
        let next = script.faults.pop_front().or_else(|| script.after.clone());
        next.unwrap_or(Fault::None)
    };
    match fault {
        Fault::None => forward(server, request, None).await,
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            forward(server, request, None).await
        }
        Fault::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        Fault::LoseAnswer => {
            forward(server, request, None).await?.into_body().collect().await?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Fault::Truncate(bytes) => forward(server, request, Some((bytes, false))).await,
        Fault::Stall(bytes) => forward(server, request, Some((bytes, true))).await,
        Fault::Flip(at) => {
            let (parts, body) = forward(server, request, None).await?.into_parts();
            let mut bytes = body.collect().await?.to_bytes().to_vec();
            bytes[at] ^= 1;
            let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed();
            Ok(Response::from_parts(parts, body))
        }
        Fault::IgnoreRange => {
            let mut request = request;
            // It is signed: the server has to be one that looks at no signature.
            request.headers_mut().remove("range");
            forward(server, request, None).await
        }
        Fault::Answer(status, text) => {
            // Read first: a client that is still sending would see a reset instead.
            request.into_body().collect().await.map_err(io::Error::other)?;
            let body = Full::new(Bytes::from_static(text.as_bytes()));
            let body = body.map_err(|never| match never {}).boxed();
            Ok(Response::builder().status(status).body(body).unwrap())
        }
        Fault::Hang => std::future::pending().await,
        Fault::Late(late) => {
            // In a task of its own: whoever asked goes away meanwhile.
            tokio::spawn(async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                late.go.notified().await;
                let request = Request::from_parts(parts, Full::new(body));
                forward(server, request, None).await.unwrap().into_body().collect().await.unwrap();
                late.landed.notify_one();
            });
            std::future::pending().await
        }
    }
}

async fn forward<B>(
    server: u16,
    request: Request<B>,
    cut: Option<(usize, bool)>,
) -> Result<Response<Body>, io::Error>
where
    B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let stream = TcpStream::connect(("127.0.0.1", server)).await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let (parts, body) = answer.into_parts();
    let body = body.map_err(io::Error::other);
    let Some((bytes, stalls)) = cut else {
        return Ok(Response::from_parts(parts, body.boxed()));
    };
    let whole = body.collect().await?.to_bytes();
    let first = Frame::data(whole.slice(..bytes.min(whole.len())));
    let stream = futures_util::stream::unfold(Some(first), move |left| async move {
        match left {
            Some(frame) => Some((Ok(frame), None)),
            None if stalls => std::future::pending().await,
            None => {
                // The frame before has to be on its way.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
            }
        }
    });
    Ok(Response::from_parts(parts, BodyExt::boxed(StreamBody::new(SyncStream(Box::pin(stream))))))
}

/// The stream is polled by one task only.
struct SyncStream<S>(std::pin::Pin<Box<S>>);

impl<S: futures_util::Stream + Send> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}
