use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::crowd::Member;
use super::settings::ServerSettings;
use super::wire_guard::{Phase, Violation, WireGuard};

/// What is read below in place of a bad head: no parser takes the NUL, and the empty line makes
/// it parse at once and answer 400.
const POISON: &[u8] = b"\0\r\n\r\n";
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(5);
/// How long a client that sends more than [`LINGER_BYTES`] may take to notice the answer.
const HOLD_TIME: Duration = Duration::from_secs(1);
const NOT_IDLE: u64 = u64::MAX;

/// What a connection's socket side and its requests know of each other.
#[derive(Debug)]
pub(super) struct Exchange {
    opened: Instant,
    in_flight: AtomicUsize,
    /// Milliseconds after `opened` at which the last answer ended.
    idle_since: AtomicU64,
    /// How often the socket took something, and whether it would take more.
    writes: AtomicUsize,
    blocked: AtomicBool,
    /// The answer's body that waits for the socket.
    body: AtomicWaker,
}

impl Exchange {
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            in_flight: AtomicUsize::new(0),
            idle_since: AtomicU64::new(NOT_IDLE),
            writes: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            body: AtomicWaker::new(),
        }
    }

    fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.blocked.store(false, Ordering::Relaxed);
        self.body.wake();
    }

    /// Marks a request as running until the answer's body is done with.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    fn idle_since(&self) -> Option<Instant> {
        match self.idle_since.load(Ordering::Relaxed) {
            NOT_IDLE => None,
            millis => Some(self.opened + Duration::from_millis(millis)),
        }
    }
}

/// A running request.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Exchange>);

impl InFlight {
    /// How often the socket took something so far.
    pub(super) fn writes(&self) -> usize {
        self.0.writes.load(Ordering::Relaxed)
    }

    /// Ready once the socket took something after `writes`, and would take more.
    pub(super) fn poll_room(&self, writes: usize, cx: &Context<'_>) -> Poll<()> {
        let room = || self.writes() != writes && !self.0.blocked.load(Ordering::Relaxed);
        if !room() {
            self.0.body.register(cx.waker());
            if !room() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let millis = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(NOT_IDLE - 1);
        self.0.idle_since.store(millis, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
struct Limits {
    header: Duration,
    keep_alive: Duration,
    send: Duration,
}

/// A socket whose incoming bytes pass the [`WireGuard`], and whose peer must keep moving.
pub(super) struct GuardedStream<S> {
    inner: S,
    guard: WireGuard,
    limits: Limits,
    member: Arc<Member>,
    exchange: Arc<Exchange>,
    /// When the head now being received began.
    head_since: Option<Instant>,
    violation: Option<Violation>,
    poison: &'static [u8],
    ended: bool,
    read_timer: Timer,
    write_timer: Timer,
    write_blocked_since: Option<Instant>,
    /// When the client last took something that it had let wait.
    unblocked: Option<Instant>,
    linger: Linger,
}

enum Linger {
    NotBegun,
    /// Taking and forgetting what comes.
    Draining {
        left: usize,
        until: Instant,
    },
    /// Taking nothing more, but open.
    Holding {
        until: Instant,
    },
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedStream<S> {
    pub(super) fn new(
        inner: S,
        settings: &ServerSettings,
        exchange: Arc<Exchange>,
        member: Arc<Member>,
    ) -> Self {
        let limits = Limits {
            header: settings.header_timeout,
            keep_alive: settings.keep_alive_timeout,
            send: settings.send_timeout,
        };
        Self {
            inner,
            guard: WireGuard::new(),
            limits,
            member,
            exchange,
            head_since: None,
            violation: None,
            poison: POISON,
            ended: false,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            write_blocked_since: None,
            unblocked: None,
            linger: Linger::NotBegun,
        }
    }

    /// Lets the good bytes of a piece through.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let piece = &buf.filled()[before..];
        if let Err(violation) = self.guard.inspect(piece) {
            tracing::debug!(reason = %violation.fault, "refused a malformed request");
            buf.set_filled(before + violation.at);
            self.violation = Some(violation);
        }
        self.head_since = match self.guard.phase() {
            Phase::Head => Some(self.head_since.unwrap_or_else(Instant::now)),
            _ => None,
        };
    }

    /// What is read after a breach: an error inside a body, a head that nobody takes otherwise.
    fn read_refusal(&mut self, violation: Violation, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        if violation.in_body {
            return Err(io::Error::new(io::ErrorKind::InvalidData, violation.fault));
        }
        let (now, later) = self.poison.split_at(self.poison.len().min(buf.remaining()));
        buf.put_slice(now);
        self.poison = later;
        Ok(())
    }

    /// When the peer must have sent something, if it must.
    fn read_deadline(&self) -> Option<Instant> {
        // The end of an answer may wait for its client long after the request was done with.
        if self.exchange.is_busy() || self.write_blocked_since.is_some() {
            return None;
        }
        match (self.guard.phase(), self.head_since) {
            (Phase::Body, _) => None,
            (Phase::Head, Some(since)) => Some(since + self.limits.header),
            _ => Some(match self.exchange.idle_since() {
                Some(since) => {
                    self.unblocked.map_or(since, |at| at.max(since)) + self.limits.keep_alive
                }
                None => self.exchange.opened + self.limits.header,
            }),
        }
    }

    fn poll_read_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // While a request runs, the timer still rings now and then: nothing else would ask
            // for the deadline anew once the answer is out.
            let deadline =
                self.read_deadline().unwrap_or_else(|| Instant::now() + self.limits.keep_alive);
            ready!(self.read_timer.poll(deadline, cx));
            if self.read_deadline().is_some_and(|deadline| Instant::now() >= deadline) {
                return Poll::Ready(());
            }
        }
    }

    fn poll_write_progress(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.write_blocked_since.take().is_some() {
                self.unblocked = Some(Instant::now());
            }
            self.exchange.wrote();
            return written;
        }
        self.exchange.blocked.store(true, Ordering::Relaxed);
        let since = *self.write_blocked_since.get_or_insert_with(Instant::now);
        let deadline = since + self.limits.send;
        loop {
            ready!(self.write_timer.poll(deadline, cx));
            if Instant::now() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
    }

    /// Takes and forgets what a client still sends after its request was refused. True when the
    /// client ended or the time is over, false when it sent more than it may.
    fn poll_drain(&mut self, cx: &mut Context<'_>, left: &mut usize, until: Instant) -> Poll<bool> {
        let mut scratch = [0; 16 * 1024];
        while *left > 0 {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    *left = left.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(true),
                Poll::Pending => return self.poll_until(cx, until).map(|()| true),
            }
        }
        Poll::Ready(false)
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        loop {
            ready!(self.read_timer.poll(until, cx));
            if Instant::now() >= until {
                return Poll::Ready(());
            }
        }
    }

    /// Goes from the end of our side to the end of the connection. Closing over unread bytes
    /// resets a connection, and a client still sending might never see its answer (RFC 9112,
    /// section 9.6): so some of it is taken, and then the socket stays open for a moment.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.linger = match self.linger {
                Linger::NotBegun => {
                    ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
                    if self.has_unread_request() {
                        let until = Instant::now() + LINGER_TIME;
                        Linger::Draining { left: LINGER_BYTES, until }
                    } else {
                        Linger::Done
                    }
                }
                Linger::Draining { mut left, until } => {
                    let drained = self.poll_drain(cx, &mut left, until);
                    self.linger = Linger::Draining { left, until };
                    if ready!(drained) {
                        Linger::Done
                    } else {
                        Linger::Holding { until: until.min(Instant::now() + HOLD_TIME) }
                    }
                }
                Linger::Holding { until } => {
                    ready!(self.poll_until(cx, until));
                    Linger::Done
                }
                Linger::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn has_unread_request(&self) -> bool {
        self.violation.is_some() || self.guard.phase() != Phase::Idle
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(violation) = this.violation {
            return Poll::Ready(this.read_refusal(violation, buf));
        }
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let mut some = (&mut this.inner).take(this.member.share() as u64);
        match Pin::new(&mut some).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                this.inspect(buf, before);
                match this.violation {
                    // Nothing read would mean the end of the stream.
                    Some(violation) if buf.filled().len() == before => {
                        Poll::Ready(this.read_refusal(violation, buf))
                    }
                    _ => Poll::Ready(Ok(())),
                }
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(this.poll_read_timeout(cx));
                this.ended = true;
                if this.guard.phase() == Phase::Head {
                    // No answer is under way, and one that does not fit at once is not worth
                    // waiting for.
                    let _ = Pin::new(&mut this.inner).poll_write(cx, REQUEST_TIMEOUT);
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.poll_write_progress(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.poll_write_progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_linger(cx)
    }
}

/// A timer that is moved only after it rang: connections that never time out then cost one
/// timer operation a minute, not one per request.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Rings at the deadline or earlier; the caller looks at the clock and polls again.
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.is_elapsed() || sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}
