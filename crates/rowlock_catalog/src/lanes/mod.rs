//! Lanes: connections on which reads of many requests travel at once.
//!
//! The driver ends every statement with a Sync, and the database answers each with a packet of its
//! own. A lane sends scope and statement together, behind them one Sync, which makes them one
//! transaction, and does not wait for one request's answer before it sends the next one's: the
//! database works through them in order. That is about half the work for both sides.
//!
//! What keeps requests apart: a Sync ends the transaction and with it the scope, whether it failed
//! or not; the server takes nothing behind an error until that Sync; and every statement says
//! itself under which role it may find anything. A lane on which anything unexpected happens is
//! given up.
//!
//! A lane is never the only way. Whatever it can't answer (it is being opened, broken, held up by
//! somebody's slow policy) is asked on a connection of the pool: these are reads, which may be
//! asked twice. Only what the database itself says about a statement is the answer.

mod driver;
mod group;
mod lane;
mod row;

use crate::connect::RawConnection;
use crate::error::Error;
use crate::scope::ScopeParams;
use crate::session::Param;
use futures_util::future::BoxFuture;
use lane::Lane;
use parking_lot::Mutex;
use rowlock_types::Role;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) use row::{Columns, FoundRow};

/// Opens one connection for a lane; `None` where there can be none.
pub type OpenLane =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Option<RawConnection>, Error>> + Send + Sync>;

/// How reads are sent together.
#[derive(Clone)]
pub struct LaneSettings {
    /// Opens one connection. It must lead to the database itself, never to a pooler.
    pub open: OpenLane,
    /// How many lanes there are. They come on top of the pool's connections.
    pub count: usize,
}

impl std::fmt::Debug for LaneSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneSettings").field("count", &self.count).finish_non_exhaustive()
    }
}

/// After how long a lane that could not be opened, or broke, is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A read: one statement under one scope.
pub(crate) struct Ask<'a> {
    pub(crate) scope: &'a ScopeParams<'a>,
    pub(crate) role: &'a Role,
    pub(crate) sql: &'static str,
    pub(crate) params: &'a [Param<'a>],
}

/// Why a lane has no answer.
#[derive(Debug)]
enum Failure {
    /// The database's own words about this statement.
    Database(Error),
    /// Somebody else may be able to tell.
    Elsewhere,
}

/// All lanes of a catalog.
pub(crate) struct Lanes {
    settings: LaneSettings,
    slots: Vec<Arc<Slot>>,
    next: AtomicUsize,
    closed: Arc<AtomicBool>,
}

/// The place of one lane.
#[derive(Default)]
struct Slot(Mutex<State>);

#[derive(Default)]
struct State {
    lane: Option<Arc<Lane>>,
    opening: bool,
    not_before: Option<Instant>,
}

impl Lanes {
    pub(crate) fn new(settings: LaneSettings) -> Self {
        let slots = (0..settings.count).map(|_| Arc::default()).collect();
        Self { settings, slots, next: AtomicUsize::new(0), closed: Arc::default() }
    }

    /// The answer, or nothing where no lane has one: then the pool is to be asked.
    pub(crate) async fn read(&self, ask: &Ask<'_>) -> Option<Result<Vec<FoundRow>, Error>> {
        let lane = self.choose()?;
        match lane.read(ask).await {
            Ok(rows) => Some(Ok(rows)),
            Err(Failure::Database(error)) => Some(Err(error)),
            Err(Failure::Elsewhere) => None,
        }
    }

    /// The lane with the fewest requests under way; lanes that are missing are opened meanwhile.
    fn choose(&self) -> Option<Arc<Lane>> {
        let mut best: Option<Arc<Lane>> = None;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for number in 0..self.slots.len() {
            let slot = &self.slots[(first + number) % self.slots.len()];
            let mut state = slot.0.lock();
            match &state.lane {
                Some(lane) if !lane.has_ended() => {
                    if lane.takes_more()
                        && best.as_ref().is_none_or(|best| lane.waiting() < best.waiting())
                    {
                        best = Some(Arc::clone(lane));
                    }
                }
                Some(_) => {
                    state.lane = None;
                    state.not_before = Some(Instant::now() + RETRY_AFTER);
                }
                None => self.open(slot, &mut state),
            }
        }
        best
    }

    fn open(&self, slot: &Arc<Slot>, state: &mut State) {
        let early = state.not_before.is_some_and(|moment| Instant::now() < moment);
        if state.opening || early || self.closed.load(Ordering::Relaxed) {
            return;
        }
        state.opening = true;
        let (open, slot) = (Arc::clone(&self.settings.open), Arc::clone(slot));
        let closed = Arc::clone(&self.closed);
        tokio::spawn(async move {
            let lane = match open().await {
                Ok(Some(connection)) => Lane::start(connection).await,
                Ok(None) => {
                    closed.store(true, Ordering::Relaxed);
                    None
                }
                Err(error) => {
                    tracing::debug!(%error, "no connection for a lane");
                    None
                }
            };
            let mut state = slot.0.lock();
            state.opening = false;
            state.not_before = lane.is_none().then(|| Instant::now() + RETRY_AFTER);
            state.lane = lane.filter(|_| !closed.load(Ordering::Relaxed)).map(Arc::new);
        });
    }

    /// Closes lanes that nobody used for so long.
    pub(crate) fn close_idle(&self, idle: Duration) {
        for slot in &self.slots {
            let mut state = slot.0.lock();
            if state.lane.as_ref().is_some_and(|lane| lane.idle_for() >= idle) {
                state.lane = None;
            }
        }
    }

    /// Closes all lanes once their requests are answered, and opens none any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for slot in &self.slots {
            slot.0.lock().lane = None;
        }
    }
}
