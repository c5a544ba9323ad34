//! The way to the service: a bound on requests under way, and on every wait in them.
//!
//! The client's own time limits count from the beginning of a request: they would cut a large
//! upload over a slow line. These count from the last byte that moved.

use crate::connection::Connections;
use crate::settings::Limits;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
pub(crate) struct Transport {
    connections: Connections,
    sockets: Arc<Semaphore>,
    limits: Limits,
}

impl Transport {
    pub(crate) fn new(max_sockets: usize, limits: Limits) -> Result<Self, rustls::Error> {
        let connections = Connections::new(limits.connect, max_sockets)?;
        Ok(Self { connections, sockets: Arc::new(Semaphore::new(max_sockets.max(1))), limits })
    }
}

impl HttpClient for Transport {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Guarded {
            inner: self.connections.clone(),
            sockets: Arc::clone(&self.sockets),
            for_socket: self.limits.first_byte,
            // Operations that the service works long at say so.
            first_byte: settings.read_timeout().unwrap_or(self.limits.first_byte),
            progress: self.limits.progress,
        })
    }
}

#[derive(Debug)]
struct Guarded {
    inner: Connections,
    sockets: Arc<Semaphore>,
    for_socket: Duration,
    first_byte: Duration,
    progress: Duration,
}

impl HttpConnector for Guarded {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let inner = self.inner.clone();
        let sockets = Arc::clone(&self.sockets);
        let (for_socket, first_byte, progress) = (self.for_socket, self.first_byte, self.progress);
        HttpConnectorFuture::new(async move {
            let socket = tokio::time::timeout(for_socket, sockets.acquire_owned()).await;
            let Ok(Ok(socket)) = socket else {
                return Err(ConnectorError::timeout("no socket was free in time".into()));
            };
            let pulse = Arc::new(Pulse::new());
            let body = std::mem::replace(request.body_mut(), SdkBody::taken());
            *request.body_mut() =
                SdkBody::from_body_1_x(Watched { body, pulse: Arc::clone(&pulse) });
            let call = inner.call(request);
            tokio::pin!(call);
            loop {
                let patience = if pulse.ended() { first_byte } else { progress };
                // A client's pause is not the service's.
                let from = if pulse.waits() { Instant::now() } else { pulse.last() };
                let until = from + patience;
                tokio::select! {
                    answer = &mut call => {
                        let limit = first_byte.max(progress);
                        return answer.map(|answer| hold(answer, socket, limit));
                    }
                    () = tokio::time::sleep_until(until) => {}
                }
                let patience = if pulse.ended() { first_byte } else { progress };
                if !pulse.waits() && pulse.last() + patience <= Instant::now() {
                    return Err(ConnectorError::timeout("no byte moved in time".into()));
                }
            }
        })
    }
}

/// Keeps the socket's permit until the answer's body is read or dropped, and ends a body of which
/// no byte comes for longer than `limit`.
fn hold(mut answer: HttpResponse, socket: OwnedSemaphorePermit, limit: Duration) -> HttpResponse {
    let body = answer.take_body();
    let waiting = None;
    *answer.body_mut() = SdkBody::from_body_1_x(Held { body, limit, waiting, _socket: socket });
    answer
}

/// When the last byte of a request's body was taken.
#[derive(Debug)]
struct Pulse {
    began: Instant,
    millis: AtomicU64,
    ended: AtomicBool,
    /// There are no bytes to be taken.
    waits: AtomicBool,
}

impl Pulse {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            millis: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            waits: AtomicBool::new(false),
        }
    }

    fn beat(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }
}

struct Watched {
    body: SdkBody,
    pulse: Arc<Pulse>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.pulse.waits.store(polled.is_pending(), Ordering::Relaxed);
        if polled.is_ready() {
            self.pulse.beat();
            let ended = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
            self.pulse.ended.store(ended, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let ended = Body::is_end_stream(&self.body);
        if ended {
            self.pulse.ended.store(true, Ordering::Relaxed);
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}

struct Held {
    body: SdkBody,
    limit: Duration,
    /// Set while somebody waits for bytes.
    waiting: Option<Pin<Box<Sleep>>>,
    _socket: OwnedSemaphorePermit,
}

impl Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.waiting = None;
        Poll::Ready(Some(Err("no byte of the answer came in time".into())))
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}
