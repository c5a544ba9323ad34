//! The memory that uploads may hold for sending again: one budget for the whole process.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that may still be held.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    room: Arc<Semaphore>,
    whole: usize,
}

/// A share of the budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let whole = bytes.min(u32::MAX as usize);
        Self { room: Arc::new(Semaphore::new(whole)), whole }
    }

    /// Room for `bytes`; `None` when there is none within `patience`.
    pub(crate) async fn share(&self, bytes: u64, patience: Duration) -> Option<Share> {
        let bytes = u32::try_from(bytes).ok().filter(|bytes| *bytes as usize <= self.whole)?;
        let room = Arc::clone(&self.room);
        let permit = if patience.is_zero() {
            // Whoever waits comes first.
            room.try_acquire_many_owned(bytes).ok()
        } else {
            tokio::time::timeout(patience, room.acquire_many_owned(bytes)).await.ok()?.ok()
        };
        permit.map(|permit| Share { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn shares_come_back() {
        let budget = Budget::new(10);
        let minute = Duration::from_secs(60);
        let all = budget.share(10, Duration::ZERO).await.unwrap();
        assert!(budget.share(1, Duration::ZERO).await.is_none());
        assert!(budget.share(1, Duration::from_secs(1)).await.is_none());
        let (waited, ()) = tokio::join!(budget.share(4, minute), async {
            tokio::time::sleep(minute / 2).await;
            drop(all);
        });
        assert!(waited.is_some());
        assert!(budget.share(11, minute).await.is_none(), "more than there ever is");
    }
}
