//! Requests that last as long as a client takes or gives bytes. They leave some sockets to those that
//! are done soon, however many clients are slow.

use rowlock_blobs::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many there may be.
pub(crate) struct Streams {
    all: Arc<Semaphore>,
    /// Those of them that write: they never give theirs up, and leave half to readers.
    writing: Arc<Semaphore>,
    most: usize,
    patience: Duration,
}

/// The right to one.
#[derive(Debug)]
pub(crate) struct Stream {
    _stream: OwnedSemaphorePermit,
    _writing: Option<OwnedSemaphorePermit>,
}

impl Streams {
    /// Three quarters of the sockets; `patience`: how long one is waited for.
    pub(crate) fn new(sockets: usize, patience: Duration) -> Self {
        let most = sockets.saturating_sub((sockets / 4).max(1)).max(1);
        let writing = Arc::new(Semaphore::new(most.div_ceil(2)));
        Self { all: Arc::new(Semaphore::new(most)), writing, most, patience }
    }

    /// The right to a request whose answer goes at a client's pace.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many others do for longer than a request may wait.
    pub(crate) async fn read(&self, doing: &'static str) -> Result<Stream, Error> {
        Ok(Stream { _stream: self.in_time(&self.all, doing).await?, _writing: None })
    }

    /// The right to a request whose body goes at a client's pace.
    ///
    /// # Errors
    /// As [`Streams::read`].
    pub(crate) async fn write(&self, doing: &'static str) -> Result<Stream, Error> {
        let writing = Some(self.in_time(&self.writing, doing).await?);
        Ok(Stream { _stream: self.in_time(&self.all, doing).await?, _writing: writing })
    }

    /// Whether nearly all of them are taken.
    pub(crate) fn are_crowded(&self) -> bool {
        self.all.available_permits() <= self.most / 8
    }

    async fn in_time(
        &self,
        of: &Arc<Semaphore>,
        doing: &'static str,
    ) -> Result<OwnedSemaphorePermit, Error> {
        match tokio::time::timeout(self.patience, Arc::clone(of).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::Busy { doing }),
        }
    }
}
