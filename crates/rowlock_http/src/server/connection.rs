use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::body::{GivenUp, TimedBody};
use super::crowd::Member;
use super::guarded::{Exchange, GuardedStream, InFlight};
use super::settings::ServerSettings;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client, or the proxy in front of us.
    pub peer: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
}

/// What the running server asks of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    /// Finish what runs, then close.
    Draining,
    /// Close now.
    Cut,
}

/// Serves one connection to its end.
pub(super) async fn serve<S, A, F>(
    stream: S,
    info: ConnectionInfo,
    member: Member,
    settings: Arc<ServerSettings>,
    app: A,
    mut stage: watch::Receiver<Stage>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    A: Fn(Request<Body>, ConnectionInfo) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    let exchange = Arc::new(Exchange::new());
    let member = Arc::new(member);
    let stream = GuardedStream::new(stream, &settings, Arc::clone(&exchange), Arc::clone(&member));
    let service = service_fn(|request: Request<Incoming>| {
        let in_flight = exchange.begin();
        let never_told = waits_in_vain(&request);
        let member = Arc::clone(&member);
        let given_up = GivenUp::default();
        let limit = settings.body_idle_timeout;
        let request = request.map(|body| TimedBody::wrap(body, limit, given_up.clone()));
        // Boxed, so that an idle connection does not hold room for a running handler.
        let answer = Box::pin(AssertUnwindSafe(app(request, info)).catch_unwind());
        async move {
            let mut answer = answer.await.unwrap_or_else(|_| internal_error(info));
            // Whether hyper reads on behind a body that was given up is a matter of luck, and of
            // which the client has to be told.
            let refused = answer.status().is_client_error() || answer.status().is_server_error();
            if never_told || member.is_full() || refused && given_up.is_so() {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer.map(|body| AnswerBody { body, in_flight, given_at: None }))
        }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(settings.max_head_bytes)
        .max_buf_size(settings.max_buffer_bytes.max(settings.max_head_bytes))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %info.peer, %error, "connection ended");
                }
                return;
            }
            stage = next_stage(&mut stage) => match stage {
                Stage::Serving => {}
                Stage::Draining => connection.as_mut().graceful_shutdown(),
                Stage::Cut => return,
            },
        }
    }
}

/// Whether the client asked to be told to go on with a body of no bytes, to which hyper answers
/// no `100 Continue`. botocore then takes the status of this answer for the next one's too, and
/// waits for the end of the connection with it: it gets that end at once instead.
fn waits_in_vain(request: &Request<Incoming>) -> bool {
    request.body().is_end_stream() && request.headers().contains_key(header::EXPECT)
}

/// The answer where a handler panicked. What it shared with others stays as it was left, so every
/// lock and pool behind it must bear that; the connection is not used again.
fn internal_error(info: ConnectionInfo) -> Response<Body> {
    tracing::error!(peer = %info.peer, "a handler panicked");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn next_stage(stage: &mut watch::Receiver<Stage>) -> Stage {
    match stage.changed().await {
        Ok(()) => *stage.borrow_and_update(),
        Err(_) => Stage::Cut,
    }
}

/// An answer's body, with the mark that its request is still running.
///
/// hyper would collect pieces of it up to its largest buffer, however slow the client is. This
/// gives the next one once the socket has taken the one before.
struct AnswerBody {
    body: Body,
    in_flight: InFlight,
    /// How often the socket had taken something when the last piece was given.
    given_at: Option<usize>,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if let Some(writes) = this.given_at {
            ready!(this.in_flight.poll_room(writes, cx));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let given = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(|data| !data.is_empty());
        if frame.as_ref().is_some_and(|frame| frame.as_ref().is_ok_and(given)) {
            this.given_at = Some(this.in_flight.writes());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
