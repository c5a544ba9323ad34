//! A logged-in connection without its driver, for those who speak the protocol themselves.
//!
//! The driver logs in on a stream that is only lent to it, TLS and all, and gives it back.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

use super::tls::{Handshake, RustlsStream};
use super::{ConnectError, Connector};

/// What bytes go through.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that is logged in, and at the beginning of a statement.
pub struct RawConnection(Box<dyn Duplex>);

impl std::fmt::Debug for RawConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawConnection").finish_non_exhaustive()
    }
}

impl RawConnection {
    pub(crate) fn into_stream(self) -> Box<dyn Duplex> {
        self.0
    }
}

/// How a log-in ends: ReadyForQuery, outside of a transaction.
const READY: [u8; 6] = *b"Z\0\0\0\x05I";

impl Connector {
    /// Opens a connection and leaves the protocol to the caller. `None` where the URL names
    /// several hosts, among which only the driver knows how to choose.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_raw(&self) -> Result<Option<RawConnection>, ConnectError> {
        let [host] = self.config.get_hosts() else { return Ok(None) };
        if self.config.get_hostaddrs().len() > 1 {
            return Ok(None);
        }
        let opening = async {
            let error = match self.log_in(host, &self.config).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            if !self.works_plain(&error) {
                return Err(error);
            }
            let mut plain = Config::clone(&self.config);
            plain.ssl_mode(SslMode::Disable);
            self.log_in(host, &plain).await
        };
        match tokio::time::timeout(self.timeout, opening).await {
            Ok(connection) => connection.map(Some),
            Err(_) => Err(ConnectError::Timeout(self.timeout)),
        }
    }

    async fn log_in(&self, host: &Host, config: &Config) -> Result<RawConnection, ConnectError> {
        let failed = |error: io::Error| ConnectError::Unreachable(error.to_string());
        let (socket, name) = open_socket(host, config).await.map_err(failed)?;
        let socket = Lent::new(socket);
        let handshake = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls.clone(), &name)
            .map_err(|error| ConnectError::Tls { reason: error.to_string() })?;
        let secured = Arc::new(Mutex::new(None));
        let tls = LendingTls { handshake, secured: Arc::clone(&secured) };
        let driven = config.connect_raw(socket.clone(), tls).await;
        // Neither says a word when it goes: only a driver that runs would.
        drop(driven.map_err(ConnectError::from_driver)?);
        let lost = || failed(io::Error::other("the log-in did not end as it should"));
        let inside = secured.lock().take();
        match inside {
            Some(secured) => Ok(RawConnection(Box::new(secured.take_back().ok_or_else(lost)?))),
            None => Ok(RawConnection(Box::new(socket.take_back().ok_or_else(lost)?))),
        }
    }
}

/// What a connection begins with.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn stream(&mut self) -> Pin<&mut dyn Duplex> {
        match self {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Unix(stream) => Pin::new(stream),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

/// Opens the socket, and tells the name that a certificate must carry.
async fn open_socket(host: &Host, config: &Config) -> io::Result<(Socket, String)> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let name = match host {
        Host::Unix(folder) => {
            let stream = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?;
            return Ok((Socket::Unix(stream), String::new()));
        }
        Host::Tcp(name) => name.clone(),
    };
    let stream = match config.get_hostaddrs().first() {
        Some(address) => TcpStream::connect((*address, port)).await?,
        None => TcpStream::connect((name.as_str(), port)).await?,
    };
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
    if config.get_keepalives() {
        let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
        if let Some(interval) = config.get_keepalives_interval() {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(retries) = config.get_keepalives_retries() {
            keepalive = keepalive.with_retries(retries);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    Ok((Socket::Tcp(stream), name))
}

/// A stream that somebody uses for a while.
struct Lent<S>(Arc<Mutex<Loan<S>>>);

struct Loan<S> {
    stream: Option<S>,
    /// The last bytes that were read.
    tail: [u8; READY.len()],
}

impl<S> Clone for Lent<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Lent<S> {
    fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Loan { stream: Some(stream), tail: [0; READY.len()] })))
    }

    /// The stream, unless bytes were read beyond the end of the log-in: they would be missing.
    fn take_back(&self) -> Option<S> {
        let mut loan = self.0.lock();
        if loan.tail == READY { loan.stream.take() } else { None }
    }
}

impl<S> Loan<S> {
    fn remember(&mut self, read: &[u8]) {
        for byte in &read[read.len().saturating_sub(READY.len())..] {
            self.tail.rotate_left(1);
            self.tail[READY.len() - 1] = *byte;
        }
    }

    fn stream(&mut self) -> io::Result<&mut S> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut loan = self.0.lock();
        let before = buffer.filled().len();
        let read = Pin::new(loan.stream()?).poll_read(context, buffer);
        loan.remember(&buffer.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.0.lock().stream()?).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.lock().stream()?).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.lock().stream()?).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Lent<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let loan = self.0.lock();
        loan.stream.as_ref().map_or_else(ChannelBinding::none, TlsStream::channel_binding)
    }
}

type Secured = Lent<RustlsStream<Lent<Socket>>>;

/// TLS whose stream is lent, too.
struct LendingTls {
    handshake: Handshake,
    secured: Arc<Mutex<Option<Secured>>>,
}

impl TlsConnect<Lent<Socket>> for LendingTls {
    type Stream = Secured;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Secured>>;

    fn connect(self, stream: Lent<Socket>) -> Self::Future {
        Box::pin(async move {
            let stream = Lent::new(self.handshake.connect(stream).await?);
            *self.secured.lock() = Some(stream.clone());
            Ok(stream)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_stream_comes_back_at_the_end_of_a_log_in_alone() {
        for (sent, comes_back) in [
            (&b"RxxZ\0\0\0\x05I"[..], true),
            (b"RxxZ\0\0\0\x05I\0", false),
            (b"Z\0\0\0\x05T", false),
        ] {
            let (mut far, near) = tokio::io::duplex(64);
            let mut lent = Lent::new(near);
            far.write_all(sent).await.unwrap();
            let mut read = vec![0; sent.len()];
            // In two pieces, as sockets may have it.
            lent.read_exact(&mut read[..4]).await.unwrap();
            lent.read_exact(&mut read[4..]).await.unwrap();
            assert_eq!(lent.take_back().is_some(), comes_back);
        }
    }
}
