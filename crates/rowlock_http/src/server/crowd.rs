use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all connections together may ask of their sockets at once, in bytes, and each at least.
const FOR_ALL: usize = 16 * 1024 * 1024;
const LEAST: usize = 8 * 1024;

/// How many connections there are, and may be.
#[derive(Debug)]
pub(super) struct Crowd {
    there: AtomicUsize,
    most: usize,
}

impl Crowd {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { there: AtomicUsize::new(0), most })
    }

    pub(super) fn join(self: &Arc<Self>) -> Member {
        self.there.fetch_add(1, Ordering::Relaxed);
        Member(Arc::clone(self))
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Member(Arc<Crowd>);

impl Member {
    /// How many bytes to read at once: the buffer beneath grows to what comes at once, and stays
    /// that large for as long as the connection is there.
    pub(super) fn share(&self) -> usize {
        (FOR_ALL / self.0.there.load(Ordering::Relaxed).max(1)).max(LEAST)
    }

    /// Whether nobody else is let in: a connection without a request then keeps others out.
    pub(super) fn is_full(&self) -> bool {
        self.0.there.load(Ordering::Relaxed) >= self.0.most
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.there.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_there_are_the_less_each_reads() {
        let crowd = Crowd::new(20_256);
        let first = crowd.join();
        assert_eq!(first.share(), FOR_ALL);
        let others: Vec<Member> = (1..256).map(|_| crowd.join()).collect();
        assert_eq!(first.share(), 64 * 1024);
        let more: Vec<Member> = (0..20_000).map(|_| crowd.join()).collect();
        assert_eq!(first.share(), LEAST);
        assert!(first.is_full());
        drop((others, more));
        assert!(!first.is_full());
        assert_eq!(first.share(), FOR_ALL);
    }
}
