//! The multipart upload of one large blob: its parts under way, and their end.

use crate::budget::Share;
use crate::multipart::{self, Sent};
use crate::piece::{Buffered, Source};
use crate::spare::Spare;
use crate::store::{Inner, MAX_PARTS};
use crate::writer::DOING;
use rowlock_blobs::{BlobAttributes, Error};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A request under way; dropped, it ends.
pub(crate) struct Sending(JoinHandle<Result<Arrived, Error>>);

/// What the service has acknowledged.
pub(crate) struct Arrived {
    pub(crate) etag: String,
    crc32: Option<String>,
}

impl Arrived {
    /// Bytes that were not held.
    pub(crate) fn passed(etag: String) -> Self {
        Self { etag, crc32: None }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sending {
    pub(crate) fn new(
        request: impl Future<Output = Result<Arrived, Error>> + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(request))
    }

    pub(crate) async fn answer(mut self) -> Result<Arrived, Error> {
        let lost = |error: tokio::task::JoinError| Error::Io { doing: DOING, source: error.into() };
        (&mut self.0).await.unwrap_or_else(|error| Err(lost(error)))
    }

    /// Why it takes no bytes any more.
    pub(crate) async fn gone(self, doing: &'static str) -> Error {
        self.answer().await.err().unwrap_or_else(|| early(doing))
    }
}

/// A success that nobody can have had yet.
pub(crate) fn early(doing: &'static str) -> Error {
    Error::Unavailable { doing, why: "an answer before its time".into() }
}

/// The failure of an upload that only this process knows: that the service has lost it is the
/// service's affair, and the same may succeed another time.
pub(crate) fn unless_lost(error: Error) -> Error {
    match error {
        Error::UploadNotFound => {
            Error::Unavailable { doing: DOING, why: "its upload is gone".into() }
        }
        other => other,
    }
}

/// The upload; aborted when it is dropped before its end.
pub(crate) struct Upload {
    store: Arc<Inner>,
    key: String,
    id: String,
    /// Whether its parts are held until they are acknowledged.
    held: bool,
    /// Whether its parts carry a CRC32.
    summed: bool,
    sending: VecDeque<(u32, u64, Sending)>,
    sent: Vec<Sent>,
    /// The room of a part that is done: with it, this upload seldom waits for others.
    spare: Spare,
    next: u32,
    open: bool,
}

impl Upload {
    /// Begins it. Bytes that pass through have no digest beforehand: it is one for CRC32 only
    /// where all of them are `held`.
    pub(crate) async fn begin(
        store: &Arc<Inner>,
        key: String,
        attributes: &BlobAttributes,
        held: bool,
    ) -> Result<Self, Error> {
        let (id, summed) = if held {
            multipart::create_summed(store, &key, attributes).await?
        } else {
            (multipart::create(store, &key, attributes).await?, false)
        };
        Ok(Self {
            store: Arc::clone(store),
            key,
            id,
            held,
            summed,
            sending: VecDeque::new(),
            sent: Vec::new(),
            spare: Spare::new(&store.budget),
            next: 1,
            open: true,
        })
    }

    /// Goes on with one that other requests have begun, from part `next` on; dropped, it stays.
    pub(crate) fn resume(
        store: &Arc<Inner>,
        key: String,
        id: String,
        summed: bool,
        next: u32,
    ) -> Self {
        Self {
            store: Arc::clone(store),
            key,
            id,
            held: true,
            summed,
            sending: VecDeque::new(),
            sent: Vec::new(),
            spare: Spare::new(&store.budget),
            next,
            open: false,
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Waits until a part of its own that is done has left room; false when none is under way.
    pub(crate) async fn has_room(&mut self) -> Result<bool, Error> {
        while self.spare.is_empty() && !self.sending.is_empty() {
            self.wait(self.sending.len() - 1).await?;
        }
        Ok(!self.spare.is_empty())
    }

    /// What holds the next part's bytes.
    pub(crate) fn next_part(&self) -> Buffered {
        Buffered::new(Share::from_spare(&self.spare))
    }

    /// Sends a part whose bytes pass through.
    pub(crate) fn pass(&mut self, length: u64, source: Source) -> Sending {
        let (store, key, id) = (Arc::clone(&self.store), self.key.clone(), self.id.clone());
        let number = i32::try_from(self.next).unwrap_or(i32::MAX);
        Sending::new(async move {
            let sent = multipart::pass_part(&store, &key, &id, number, length, &source).await;
            sent.map(Arrived::passed).map_err(|failure| failure.write_error(DOING))
        })
    }

    /// Sends a part that is held.
    pub(crate) async fn send(&mut self, held: Buffered) -> Result<(), Error> {
        let (store, key, id) = (Arc::clone(&self.store), self.key.clone(), self.id.clone());
        let (size, number, summed) = (held.len(), self.next, self.summed);
        let spare = self.spare.clone();
        self.wait(self.store.settings.queue_size.max(1) - 1).await?;
        let sending = Sending::new(async move {
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            let mut sums = held.sums(summed).await?;
            let mut sent =
                multipart::put_part(&store, &key, &id, number, &held, sums.clone()).await;
            if summed && sent.as_ref().is_err_and(|failure| store.gives_up_checksums(failure)) {
                // It had no ear for what the upload said at its beginning.
                sums = held.sums(false).await?;
                sent = multipart::put_part(&store, &key, &id, number, &held, sums.clone()).await;
            }
            let etag = sent.map_err(|failure| failure.write_error(DOING))?;
            held.into_share().leave_to(&spare);
            Ok(Arrived { etag, crc32: sums.crc32 })
        });
        self.sent(size, sending).await
    }

    /// Takes on the request that sends the next part.
    pub(crate) async fn sent(&mut self, size: u64, sending: Sending) -> Result<(), Error> {
        if self.is_full() {
            let source = io::Error::other("more parts than an upload may have");
            return Err(Error::Io { doing: DOING, source });
        }
        self.sending.push_back((self.next, size, sending));
        self.next += 1;
        self.wait(self.store.settings.queue_size.max(1)).await
    }

    /// Whether it has as many parts as there may be.
    pub(crate) fn is_full(&self) -> bool {
        u64::from(self.next) > MAX_PARTS
    }

    /// Takes note of the parts that have arrived, as far as none before them is still under way.
    pub(crate) async fn note_arrived(&mut self) -> Result<(), Error> {
        while self.sending.front().is_some_and(|(_, _, sending)| sending.0.is_finished()) {
            self.wait(self.sending.len() - 1).await?;
        }
        Ok(())
    }

    /// The parts of which it is known that they have arrived, since the last time.
    pub(crate) fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// Waits until no more than `left` parts are under way.
    pub(crate) async fn wait(&mut self, left: usize) -> Result<(), Error> {
        while self.sending.len() > left {
            let Some((number, size, sending)) = self.sending.pop_front() else { break };
            let Arrived { etag, crc32 } = sending.answer().await?;
            self.sent.push(Sent { number, etag, size, crc32 });
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        self.wait(0).await?;
        let attributes = BlobAttributes::default();
        multipart::complete(&self.store, &self.key, &self.id, &self.sent, &attributes).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.sending.clear();
        if !self.open {
            return;
        }
        let (store, key) = (Arc::clone(&self.store), std::mem::take(&mut self.key));
        let id = std::mem::take(&mut self.id);
        // Without a runtime the process is at its end, and its ledger tells the next one.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = multipart::abort(&store, &key, &id).await {
                    tracing::warn!(%error, "an unfinished upload could not be aborted yet");
                }
            });
        }
    }
}
