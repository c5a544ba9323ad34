//! The memory that uploads may hold for sending again: one budget for the whole process.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long an upload of known length waits for room before it is passed through instead.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one of unknown length waits, which cannot be passed through.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

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

    /// Room for `bytes`; `None` when there is none for too long.
    pub(crate) async fn share(&self, bytes: u64, must: bool) -> Option<Share> {
        let bytes = u32::try_from(bytes).ok().filter(|bytes| *bytes as usize <= self.whole)?;
        let patience = if must { LONG_PATIENCE } else { PATIENCE };
        let room = Arc::clone(&self.room).acquire_many_owned(bytes);
        match tokio::time::timeout(patience, room).await {
            Ok(Ok(permit)) => Some(Share { _permit: permit }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[tokio::test(start_paused = true)]
    async fn shares_come_back() {
        let budget = Budget::new(10);
        let all = budget.share(10, false).await.unwrap();
        assert!(budget.share(1, false).await.is_none());
        let (waited, ()) = tokio::join!(budget.share(4, true), async {
            tokio::time::sleep(std::time::Duration::from_secs(30)).await;
            drop(all);
        });
        assert!(waited.is_some());
        assert!(budget.share(11, true).await.is_none(), "more than there ever is");
    }
}
