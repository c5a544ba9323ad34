//! Who may have files open, where the process may have few.
//!
//! A client that takes or sends a large blob keeps a file open for as long as it likes: there are
//! so many such files, and whoever comes on top waits a little and is told to come back later.
//! All else has files open for as long as a disk takes, and waits for its turn. Nobody waits for
//! the former while in the latter, so that every turn ends.

use crate::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a client waits for one of the files that others take their time with.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most files that a turn has open at a time: a blob, a temporary file, a folder.
const FILES_OF_A_TURN: usize = 3;
/// More turns than there are threads for them bring nothing (tokio's default).
const MOST_TURNS: usize = 512;

/// The files that may be open. Without a limit nothing is counted.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(OnceLock<Limits>);

#[derive(Debug)]
struct Limits {
    lasting: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// The right to keep some files open, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    _permit: Option<OwnedSemaphorePermit>,
}

/// The right to open what a piece of work needs, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl OpenFiles {
    /// From now on no more than `most` files are open; the first call counts. A quarter of them
    /// is for turns.
    pub(super) fn limit(&self, most: usize) {
        let turns = (most / 4 / FILES_OF_A_TURN).clamp(1, MOST_TURNS);
        let lasting = most.saturating_sub(turns * FILES_OF_A_TURN).max(2);
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        let limits =
            Limits { lasting: semaphore(lasting.min(u32::MAX as usize)), turns: semaphore(turns) };
        // A second call finds it set.
        let _ = self.0.set(limits);
    }

    /// Room for `files` that stay open while somebody takes his time.
    ///
    /// # Errors
    /// [`Error::Busy`] where others keep too many for longer than one may wait.
    pub(super) async fn lasting(&self, files: u32) -> Result<Lasting, Error> {
        let Some(limits) = self.0.get() else { return Ok(Lasting::default()) };
        let room = Arc::clone(&limits.lasting).acquire_many_owned(files);
        match tokio::time::timeout(PATIENCE, room).await {
            Ok(Ok(permit)) => Ok(Lasting { _permit: Some(permit) }),
            _ => Err(Error::Busy { doing: "opening a file" }),
        }
    }

    /// Waits for a turn. Whoever has one must not ask for another, nor for [`Self::lasting`].
    pub(super) async fn turn(&self) -> Turn {
        match self.0.get() {
            // It is never closed: there is always an end to the waiting.
            Some(limits) => Turn { _permit: Arc::clone(&limits.turns).acquire_owned().await.ok() },
            None => Turn::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn files_are_counted_and_come_back() {
        let files = OpenFiles::default();
        let uncounted = files.lasting(1_000_000).await.unwrap();
        files.limit(24);
        files.limit(1000);
        drop(uncounted);
        let mut held = vec![files.lasting(2).await.unwrap()];
        for _ in 2..18 {
            held.push(files.lasting(1).await.unwrap());
        }
        assert!(matches!(files.lasting(1).await, Err(Error::Busy { .. })));
        // Whoever waits gets what comes back.
        let (waited, ()) = tokio::join!(files.lasting(1), async {
            tokio::time::sleep(PATIENCE / 2).await;
            held.pop();
        });
        held.push(waited.unwrap());
        let turns = (files.turn().await, files.turn().await);
        let mut third = std::pin::pin!(files.turn());
        assert!(tokio::time::timeout(PATIENCE * 100, &mut third).await.is_err());
        drop(turns);
        third.await;
    }

    #[tokio::test]
    async fn there_is_always_room_for_one_of_each() {
        let files = OpenFiles::default();
        files.limit(0);
        let _copy = files.lasting(2).await.unwrap();
        files.turn().await;
    }
}
