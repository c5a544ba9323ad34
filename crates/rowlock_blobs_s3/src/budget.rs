//! The memory that uploads may hold for sending again: one budget for the whole process, taken as
//! bytes arrive, so that slow clients hold no more than they have sent.

use crate::spare::{Spare, Spares};
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
/// How often who waits looks for room that others keep and make no use of.
const LOOK: Duration = Duration::from_millis(500);

/// How long a piece waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all, and what is counted gets none.
    Uncounted,
    /// Not at all.
    No,
    /// As long as it is likely to help: the piece can do without.
    Short,
    /// It cannot do without, and takes as long as its client: it may also wait for the turn of those
    /// that get a whole piece's room.
    Turn,
    /// It cannot do without, and takes as long as the service: it may also wait for the turn of those
    /// that keep nobody waiting for a client.
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
    /// One piece beside all this, for what takes no client's time: a full memory, whoever fills it,
    /// never keeps that from going on.
    beside: Arc<Semaphore>,
    /// How much each of these is.
    piece: u64,
    spares: Spares,
    /// Somebody waited in vain, and nothing has come back since.
    stuck: AtomicBool,
}

/// A share of the budget; given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    room: Option<(Budget, OwnedSemaphorePermit)>,
    /// The turn, and how many bytes it is for.
    turn: Option<(OwnedSemaphorePermit, u64)>,
    /// Where it takes room from first.
    spare: Option<Spare>,
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
            beside: Arc::new(Semaphore::new(1)),
            piece,
            spares: Spares::default(),
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
        share.draw(self, goal - share.bytes());
        if share.covers(wanted) {
            return true;
        }
        let more = u32::try_from(goal - share.bytes()).unwrap_or(u32::MAX);
        // What can never be there must not stand in front of those who wait.
        let fits = goal <= self.0.whole;
        let there = || Arc::clone(&self.0.room).try_acquire_many_owned(more).ok();
        if fits && let Some(permit) = there().or_else(|| self.reclaim().then(there).flatten()) {
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
            Wait::Turn | Wait::Long => {
                let is_piece = most.max(wanted) <= self.0.piece;
                let either = async {
                    tokio::select! {
                        biased;
                        Some(permit) = self.room(more), if fits => share.add(self, permit),
                        Some(turn) = self.turn(), if is_piece => {
                            share.turn = Some((turn, self.0.piece));
                            true
                        }
                        Some(beside) = self.beside(), if is_piece && wait == Wait::Long => {
                            share.turn = Some((beside, self.0.piece));
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
        let mut room = std::pin::pin!(Arc::clone(&self.0.room).acquire_many_owned(bytes));
        loop {
            match tokio::time::timeout(LOOK, &mut room).await {
                Ok(room) => return room.ok(),
                Err(_) => self.reclaim(),
            };
        }
    }

    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.0.turn.as_ref()?).acquire_owned().await.ok()
    }

    async fn beside(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.beside).acquire_owned().await.ok()
    }

    /// Takes back what uploads keep for themselves and make no use of; whether there was any.
    fn reclaim(&self) -> bool {
        let any = self.0.spares.reclaim();
        if any {
            self.came_back();
        }
        any
    }

    pub(crate) fn spares(&self) -> &Spares {
        &self.0.spares
    }

    /// Waiting makes sense again.
    pub(crate) fn came_back(&self) {
        self.0.stuck.store(false, Ordering::Relaxed);
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

    /// None yet, and takes that of its upload first.
    pub(crate) fn from_spare(spare: &Spare) -> Self {
        Self { room: None, turn: None, spare: Some(spare.clone()) }
    }

    fn draw(&mut self, budget: &Budget, bytes: u64) {
        if let Some(permit) = self.spare.as_ref().and_then(|spare| spare.draw(bytes)) {
            self.add(budget, permit);
        }
    }

    /// Leaves its room, but no turn, to the next piece.
    pub(crate) fn leave_to(mut self, spare: &Spare) {
        if let Some((_, permit)) = self.room.take() {
            spare.put(permit);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some((budget, permit)) = self.room.take() {
            drop(permit);
            budget.came_back();
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
                assert!(budget.grow(&mut share, there, PIECE, Wait::Turn).await, "{there}");
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
        assert!(take(&budget, 3 * PIECE, Wait::Turn).await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO, "what can never be there is not waited for");
        let all = take(&budget, 2 * PIECE + UNCOUNTED, Wait::No).await.unwrap();
        let mut share = take(&budget, PIECE, Wait::Turn).await.unwrap();
        assert!(!budget.grow(&mut share, PIECE + UNCOUNTED + 1, 2 * PIECE, Wait::Turn).await);
        // What may become more than a piece waits for room from its beginning.
        drop(share);
        let mut share = Share::default();
        assert!(!budget.grow(&mut share, 20 * KIB, 2 * PIECE, Wait::Turn).await);
        drop(all);
        assert!(budget.grow(&mut share, 2 * PIECE, 2 * PIECE, Wait::Turn).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_no_clients_time_waits_for_no_client() {
        let budget = Budget::new(2 * PIECE as usize, PIECE);
        let _all = take(&budget, PIECE + UNCOUNTED, Wait::No).await.unwrap();
        let _turn = take(&budget, PIECE, Wait::Turn).await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(take(&budget, 50 * KIB, Wait::Turn).await.is_none());
        assert_eq!(began.elapsed(), LONG_PATIENCE);
        let own = take(&budget, PIECE, Wait::Long).await.unwrap();
        assert_eq!(began.elapsed(), LONG_PATIENCE);
        // One after the other, and no more than a piece.
        let (next, ()) = tokio::join!(take(&budget, PIECE, Wait::Long), async {
            tokio::time::sleep(LONG_PATIENCE / 2).await;
            drop(own);
        });
        drop(next.unwrap());
        assert!(take(&budget, PIECE + 1, Wait::Long).await.is_none());
    }

    /// An upload that has left a whole piece's room, and what holds the next piece.
    async fn spare(budget: &Budget) -> (Spare, Share) {
        let spare = Spare::new(budget);
        let mut share = Share::from_spare(&spare);
        assert!(budget.grow(&mut share, PIECE, PIECE, Wait::No).await);
        share.leave_to(&spare);
        assert!(!spare.is_empty());
        let next = Share::from_spare(&spare);
        (spare, next)
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_an_uploads_own_as_long_as_it_makes_use_of_it() {
        let budget = Budget::new(2 * PIECE as usize, PIECE);
        let (spare, mut next) = spare(&budget).await;
        // Longer than room is kept that nobody makes use of.
        for filled in 1..=8 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(take(&budget, PIECE / 2, Wait::No).await.is_none(), "{filled}");
            assert!(budget.grow(&mut next, filled * PIECE / 8, PIECE, Wait::No).await, "{filled}");
        }
        assert!(spare.is_empty());
        next.leave_to(&spare);
        assert!(take(&budget, PIECE / 2, Wait::No).await.is_none());
        drop(spare);
        assert!(take(&budget, PIECE, Wait::No).await.is_some(), "it went with the upload");
    }

    #[tokio::test(start_paused = true)]
    async fn room_that_an_upload_makes_no_use_of_goes_to_who_waits() {
        let budget = Budget::new(4 * PIECE as usize, PIECE);
        let (first, mut next) = spare(&budget).await;
        let mut others = [spare(&budget).await, spare(&budget).await];
        assert!(budget.grow(&mut next, 10 * KIB, PIECE, Wait::No).await);
        assert!(take(&budget, PIECE, Wait::No).await.is_none());
        let began = tokio::time::Instant::now();
        let mut waits = take(&budget, 2 * PIECE, Wait::Turn).await;
        assert!(waits.is_some() && began.elapsed() < crate::spare::KEPT + LOOK);
        assert!(first.is_empty() && others.iter().all(|(spare, _)| spare.is_empty()));
        // They go on with what others leave.
        for (_, share) in &mut others {
            assert!(budget.grow(share, 200 * KIB, PIECE, Wait::No).await);
        }
        waits = None;
        assert!(budget.grow(&mut next, PIECE, PIECE, Wait::No).await, "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_keeps_one_pieces_room() {
        let budget = Budget::new(4 * PIECE as usize, PIECE);
        let spare = Spare::new(&budget);
        for _ in 0..3 {
            let share = take(&budget, PIECE, Wait::No).await.unwrap();
            share.leave_to(&spare);
        }
        let rest = take(&budget, 2 * PIECE, Wait::No).await.unwrap();
        assert!(take(&budget, 50 * KIB, Wait::No).await.is_none());
        let mut next = Share::from_spare(&spare);
        assert!(budget.grow(&mut next, PIECE, PIECE, Wait::No).await);
        drop(rest);
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
        let turn = take(&budget, PIECE, Wait::Turn).await.unwrap();
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(take(&budget, PIECE, Wait::Turn).await.is_none());
        let spare = Spare::new(&budget);
        turn.leave_to(&spare);
        assert!(spare.is_empty(), "a turn ends with its piece");
        drop(all);
        let began = tokio::time::Instant::now();
        let all = take(&budget, PIECE + UNCOUNTED, Wait::No).await.unwrap();
        assert!(take(&budget, 50 * KIB, Wait::Short).await.is_none());
        assert_eq!(began.elapsed(), PATIENCE, "room had come back: waiting made sense again");
        drop(all);
    }
}
