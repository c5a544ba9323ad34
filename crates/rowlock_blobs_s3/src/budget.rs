//! The memory that uploads may hold for sending again: one budget for the whole process, taken as
//! bytes arrive, so that slow clients hold no more than they have sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes of each piece are not counted: a connection has buffers of that size anyway, and
/// thousands of clients that dribble take nothing from those that do not.
const UNCOUNTED: u64 = 16 << 10;
/// How much room is taken ahead of the bytes at most.
const AHEAD: u64 = 1 << 20;

/// How long what can pass through waits for room.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long that waits which cannot.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// How long a piece waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all, and what is counted gets none.
    Uncounted,
    /// Not at all.
    No,
    /// As long as it is likely to help: the piece can do without.
    Short,
    /// It cannot do without, and may take a client's time: it waits until others give room back.
    Patient,
    /// It cannot do without: it may also wait for the turn of those that get a whole piece's room.
    Long,
}

/// Bytes that may still be held. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    room: Arc<Semaphore>,
    whole: u64,
    /// Room for one whole piece, set apart where there is enough. Without it, pieces that cannot
    /// pass through could take all the room half full, and wait for each other.
    turn: Option<Arc<Semaphore>>,
    /// How much that is.
    piece: u64,
    /// Somebody waited in vain, and nothing has come back since.
    stuck: AtomicBool,
}

/// A share of the budget; given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    room: Option<(Budget, OwnedSemaphorePermit)>,
    /// The turn, and how many bytes it is for.
    turn: Option<(OwnedSemaphorePermit, u64)>,
}

impl Budget {
    /// A budget of `bytes`, for pieces of up to `piece` bytes.
    pub(crate) fn new(bytes: usize, piece: u64) -> Self {
        let bytes = bytes as u64;
        let apart = bytes.checked_sub(piece);
        let whole = apart.unwrap_or(bytes).min(u64::from(u32::MAX));
        Self(Arc::new(Inner {
            room: Arc::new(Semaphore::new(usize::try_from(whole).unwrap_or_default())),
            whole,
            turn: apart.map(|_| Arc::new(Semaphore::new(1))),
            piece,
            stuck: AtomicBool::new(false),
        }))
    }

    /// The largest piece that there can be room for.
    pub(crate) fn largest(&self) -> u64 {
        self.0.whole.max(if self.0.turn.is_some() { self.0.piece } else { 0 })
    }

    /// Makes a share cover `wanted` bytes of a piece that has at most `most`; false when it does
    /// not within the time that `wait` means.
    pub(crate) async fn grow(&self, share: &mut Share, wanted: u64, most: u64, wait: Wait) -> bool {
        if share.covers(wanted) {
            return true;
        }
        if wait == Wait::Uncounted {
            return false;
        }
        let goal = wanted.saturating_add(wanted.min(AHEAD)).min(most).max(wanted) - UNCOUNTED;
        let more = u32::try_from(goal - share.bytes()).unwrap_or(u32::MAX);
        // What can never be there must not stand in front of those who wait.
        let fits = goal <= self.0.whole;
        if fits && let Ok(permit) = Arc::clone(&self.0.room).try_acquire_many_owned(more) {
            share.add(self, permit);
            return true;
        }
        match wait {
            Wait::Uncounted | Wait::No => false,
            Wait::Short if !fits || self.0.stuck.load(Ordering::Relaxed) => false,
            Wait::Short => {
                let waited = tokio::time::timeout(PATIENCE, self.room(more)).await.ok().flatten();
                self.0.stuck.store(waited.is_none(), Ordering::Relaxed);
                waited.is_some_and(|permit| share.add(self, permit))
            }
            Wait::Patient if !fits => false,
            Wait::Patient => {
                let waited = tokio::time::timeout(LONG_PATIENCE, self.room(more)).await;
                waited.ok().flatten().is_some_and(|permit| share.add(self, permit))
            }
            Wait::Long => {
                let is_piece = most.max(wanted) <= self.0.piece;
                let either = async {
                    tokio::select! {
                        biased;
                        Some(permit) = self.room(more), if fits => share.add(self, permit),
                        Some(turn) = self.turn(), if is_piece => {
                            share.turn = Some((turn, self.0.piece));
                            true
                        }
                        else => false,
                    }
                };
                tokio::time::timeout(LONG_PATIENCE, either).await.unwrap_or(false)
            }
        }
    }

    async fn room(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.room).acquire_many_owned(bytes).await.ok()
    }

    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.0.turn.as_ref()?).acquire_owned().await.ok()
    }
}

impl Share {
    fn covers(&self, bytes: u64) -> bool {
        let turn = self.turn.as_ref().map_or(0, |(_, piece)| *piece);
        bytes <= turn.max(UNCOUNTED + self.bytes())
    }

    fn bytes(&self) -> u64 {
        self.room.as_ref().map_or(0, |(_, permit)| permit.num_permits() as u64)
    }

    fn add(&mut self, budget: &Budget, permit: OwnedSemaphorePermit) -> bool {
        match &mut self.room {
            Some((_, room)) => room.merge(permit),
            room => *room = Some((budget.clone(), permit)),
        }
        true
    }

    /// Takes another share's room too.
    pub(crate) fn merge(&mut self, mut other: Share) {
        if let Some((budget, permit)) = other.room.take() {
            self.add(&budget, permit);
        }
    }

    /// What may be kept for the next piece: room, but no turn.
    pub(crate) fn lasting(mut self) -> Option<Share> {
        self.turn = None;
        self.room.is_some().then_some(self)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some((budget, permit)) = self.room.take() {
            drop(permit);
            budget.0.stuck.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const PIECE: u64 = 1 << 20;

    async fn take(budget: &Budget, bytes: u64, wait: Wait) -> Option<Share> {
        let mut share = Share::default();
        budget.grow(&mut share, bytes, bytes, wait).await.then_some(share)
    }

    #[tokio::test(start_paused = true)]
    async fn room_comes_back() {
        let budget = Budget::new(100 << 10, PIECE);
        let all = take(&budget, 116 * KIB, Wait::No).await.unwrap();
        assert!(take(&budget, 17 * KIB, Wait::No).await.is_none());
        assert!(take(&budget, 17 * KIB, Wait::Short).await.is_none());
        let (waited, ()) = tokio::join!(take(&budget, 50 * KIB, Wait::Long), async {
            tokio::time::sleep(LONG_PATIENCE / 2).await;
            drop(all);
        });
        assert!(waited.is_some());
        assert!(take(&budget, 117 * KIB, Wait::Long).await.is_none(), "more than there ever is");
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_that_dribble_leave_room_for_others() {
        let budget = Budget::new(4 * PIECE as usize, PIECE);
        let mut slow = Vec::new();
        for _ in 0..10_000 {
            slow.push(take(&budget, 10 * KIB, Wait::No).await.unwrap());
        }
        // Those that send a little more hold that, not the piece they may become.
        for _ in 0..40 {
            let mut share = Share::default();
            assert!(budget.grow(&mut share, 20 * KIB, PIECE, Wait::No).await);
            slow.push(share);
        }
        assert!(take(&budget, PIECE, Wait::No).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_that_cannot_pass_never_wait_for_each_other() {
        let budget = Budget::new(4 * PIECE as usize, PIECE);
        // Sixteen, of which four would fit.
        let pieces = (0..16).map(|_| async {
            let mut share = Share::default();
            for filled in 1..=PIECE / (4 * KIB) {
                let there = filled * 4 * KIB;
                assert!(budget.grow(&mut share, there, PIECE, Wait::Long).await, "{there}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let began = tokio::time::Instant::now();
        futures_util::future::join_all(pieces).await;
        assert!(began.elapsed() < LONG_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_for_one_piece_and_no_more() {
        let budget = Budget::new(3 * PIECE as usize, PIECE);
        assert_eq!(budget.largest(), 2 * PIECE);
        assert_eq!(Budget::new(PIECE as usize, PIECE).largest(), PIECE);
        assert_eq!(Budget::new(1000, PIECE).largest(), 1000);
        let began = tokio::time::Instant::now();
        assert!(take(&budget, 3 * PIECE, Wait::Long).await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO, "what can never be there is not waited for");
        let all = take(&budget, 2 * PIECE + UNCOUNTED, Wait::No).await.unwrap();
        let mut share = take(&budget, PIECE, Wait::Long).await.unwrap();
        assert!(!budget.grow(&mut share, PIECE + UNCOUNTED + 1, 2 * PIECE, Wait::Long).await);
        // What may become more than a piece waits for room from its beginning.
        drop(share);
        let mut share = Share::default();
        assert!(!budget.grow(&mut share, 20 * KIB, 2 * PIECE, Wait::Long).await);
        drop(all);
        assert!(budget.grow(&mut share, 2 * PIECE, 2 * PIECE, Wait::Long).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_clients_time_takes_no_turn() {
        let budget = Budget::new(2 * PIECE as usize, PIECE);
        let all = take(&budget, PIECE + UNCOUNTED, Wait::No).await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(take(&budget, 50 * KIB, Wait::Patient).await.is_none());
        assert_eq!(began.elapsed(), LONG_PATIENCE);
        // What can never be there is not waited for.
        assert!(take(&budget, 2 * PIECE, Wait::Patient).await.is_none());
        assert_eq!(began.elapsed(), LONG_PATIENCE);
        let (waited, ()) = tokio::join!(take(&budget, 50 * KIB, Wait::Patient), async {
            tokio::time::sleep(LONG_PATIENCE / 2).await;
            drop(all);
        });
        assert!(waited.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_waits_in_vain_for_room_that_does_not_come() {
        let budget = Budget::new(2 * PIECE as usize, PIECE);
        let all = take(&budget, PIECE + UNCOUNTED, Wait::No).await.unwrap();
        let began = tokio::time::Instant::now();
        for _ in 0..5 {
            assert!(take(&budget, 50 * KIB, Wait::Short).await.is_none());
        }
        assert_eq!(began.elapsed(), PATIENCE);
        // What must not pass through gets its turn at once, and only one of them.
        let turn = take(&budget, PIECE, Wait::Long).await.unwrap();
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(take(&budget, PIECE, Wait::Long).await.is_none());
        assert!(turn.lasting().is_none(), "a turn ends with its piece");
        drop(all);
        let began = tokio::time::Instant::now();
        let all = take(&budget, PIECE + UNCOUNTED, Wait::No).await.unwrap();
        assert!(take(&budget, 50 * KIB, Wait::Short).await.is_none());
        assert_eq!(began.elapsed(), PATIENCE, "room had come back: waiting made sense again");
        drop(all);
    }
}
