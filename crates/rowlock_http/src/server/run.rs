use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::connection::{ConnectionInfo, Stage, serve};
use super::crowd::Crowd;
use super::listen::Listeners;
use super::settings::ServerSettings;

/// How long to wait before accepting again when the system is out of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How many bytes the kernel takes beyond what it could send at once. Without a limit it takes
/// megabytes for every client that is slow; with it, what is under way to a fast one is as much.
const UNSENT_BYTES: u32 = 128 * 1024;
/// How long cut connections get to drop what they hold.
const CUT_TIME: Duration = Duration::from_secs(1);

/// How a server's run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every running request was finished.
    All,
    /// Requests were still running when the grace was over, and were cut.
    Cut,
}

/// Serves connections until `shutdown` resolves, then closes the listeners, lets running
/// requests finish for [`ServerSettings::shutdown_grace`], and cuts the rest.
///
/// Above [`ServerSettings::max_connections`], new connections wait unaccepted until one ends.
pub async fn run<A, F>(
    listeners: Listeners,
    settings: ServerSettings,
    app: A,
    shutdown: impl Future<Output = ()> + Send,
) -> Drained
where
    A: Fn(Request<Body>, ConnectionInfo) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
    let total = settings.max_connections.clamp(1, most);
    let permits = Arc::new(Semaphore::new(total));
    let settings = Arc::new(settings);
    let (stage, watching) = watch::channel(Stage::Serving);
    let acceptor = Acceptor {
        sockets: listeners.sockets,
        permits: Arc::clone(&permits),
        settings: Arc::clone(&settings),
        crowd: Crowd::new(total),
        app,
        stage: watching,
    };
    tokio::spawn(acceptor.accept());
    shutdown.await;
    let everyone = u32::try_from(total).unwrap_or(u32::MAX);
    stage.send_replace(Stage::Draining);
    let drained = permits.acquire_many(everyone);
    if tokio::time::timeout(settings.shutdown_grace, drained).await.is_ok() {
        return Drained::All;
    }
    stage.send_replace(Stage::Cut);
    // Whether all were dropped in time changes nothing.
    let _ = tokio::time::timeout(CUT_TIME, permits.acquire_many(everyone)).await;
    Drained::Cut
}

struct Acceptor<A> {
    sockets: Vec<TcpListener>,
    permits: Arc<Semaphore>,
    settings: Arc<ServerSettings>,
    crowd: Arc<Crowd>,
    app: A,
    stage: watch::Receiver<Stage>,
}

impl<A, F> Acceptor<A>
where
    A: Fn(Request<Body>, ConnectionInfo) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    async fn accept(mut self) {
        loop {
            let accepted = tokio::select! {
                accepted = next(&self.permits, &self.sockets) => accepted,
                _ = self.stage.changed() => return,
            };
            match accepted {
                Ok((stream, info, permit)) => {
                    let serving = serve(
                        stream,
                        info,
                        self.crowd.join(),
                        Arc::clone(&self.settings),
                        self.app.clone(),
                        self.stage.clone(),
                    );
                    tokio::spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) if is_peers_fault(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn next(
    permits: &Arc<Semaphore>,
    sockets: &[TcpListener],
) -> io::Result<(TcpStream, ConnectionInfo, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let accepting = poll_fn(|cx| {
        let accepted = |socket: &TcpListener| match socket.poll_accept(cx) {
            Poll::Ready(accepted) => Some(accepted),
            Poll::Pending => None,
        };
        sockets.iter().find_map(accepted).map_or(Poll::Pending, Poll::Ready)
    });
    let (stream, peer) = accepting.await?;
    // Answers leave in one write; waiting for the peer's acknowledgement would only add 40 ms.
    stream.set_nodelay(true)?;
    // That the kernel takes no more does not matter, but for its memory.
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
    let local = stream.local_addr()?;
    Ok((stream, ConnectionInfo { peer, local }, permit))
}

fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | NotConnected | InvalidInput)
}
