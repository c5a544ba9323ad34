//! What is held for clients who may take or send a byte a second: counted for all of them
//! together, so that their number cannot use up the machine.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes may be held at once.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, used: AtomicUsize::new(0) })
    }

    /// Holds exactly `amount`, if there is room for it and `spare` more.
    pub(super) fn take(self: &Arc<Self>, amount: usize, spare: usize) -> Option<Held> {
        let mut held = Held { budget: Arc::clone(self), amount: 0 };
        held.grow(amount, spare).then_some(held)
    }

    /// Holds `wanted` or, the less is left, the less of it, but never less than `least`: so the
    /// budget may be exceeded by `least` for each who holds something.
    pub(super) fn share(self: &Arc<Self>, wanted: usize, least: usize) -> Held {
        let used = self.used.load(Ordering::Relaxed);
        let left = self.most.saturating_sub(used);
        let amount = wanted.min((left / 8).max(least));
        self.used.fetch_add(amount, Ordering::Relaxed);
        Held { budget: Arc::clone(self), amount }
    }
}

/// A part of a budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    amount: usize,
}

impl Held {
    pub(super) fn amount(&self) -> usize {
        self.amount
    }

    /// Holds `more` as well; false, and nothing changes, where there is no room for it and `spare`.
    pub(super) fn grow(&mut self, more: usize, spare: usize) -> bool {
        let most = self.budget.most.saturating_sub(spare);
        let room = |used: usize| used.checked_add(more).filter(|sum| *sum <= most);
        let grown =
            self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if grown {
            self.amount += more;
        }
        grown
    }

    /// Bytes that hold their part of the budget for as long as anybody has them.
    pub(super) fn bytes(self, buffer: Vec<u8>) -> Bytes {
        struct Counted(Vec<u8>, #[expect(dead_code, reason = "held until the bytes go")] Held);
        impl AsRef<[u8]> for Counted {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Counted(buffer, self))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_free_again() {
        let budget = Budget::new(10);
        let mut some = budget.take(4, 0).unwrap();
        assert!(budget.take(7, 0).is_none());
        assert!(budget.take(4, 3).is_none());
        assert!(!some.grow(4, 3));
        assert!(some.grow(6, 0));
        assert!(!some.grow(1, 0));
        assert_eq!(some.amount(), 10);
        drop(some);
        assert!(budget.take(10, 0).is_some());
    }

    #[test]
    fn shares_shrink_and_never_end() {
        let budget = Budget::new(8000);
        let mut held = vec![budget.share(500, 10)];
        assert_eq!(held[0].amount(), 500);
        for _ in 0..2000 {
            held.push(budget.share(500, 10));
            let all: usize = held.iter().map(Held::amount).sum();
            assert!(all <= 8000 + 10 * held.len(), "{all} held by {}", held.len());
        }
        assert_eq!(held.last().unwrap().amount(), 10);
        assert_eq!(budget.share(3, 10).amount(), 3);
        held.clear();
        assert_eq!(budget.share(500, 10).amount(), 500);
    }

    #[test]
    fn bytes_hold_their_part() {
        let budget = Budget::new(10);
        let bytes = budget.take(10, 0).unwrap().bytes(vec![7; 10]);
        let part = bytes.slice(2..3);
        drop(bytes);
        assert!(budget.take(1, 0).is_none());
        assert_eq!(part[0], 7);
        drop(part);
        assert!(budget.take(10, 0).is_some());
    }
}
