//! Taking the next bytes of a blob that grows.

use crate::budget::Wait;
use crate::growing::Noted;
use crate::piece::Buffered;
use crate::store::{Inner, MAX_PARTS, MIN_PART};
use crate::tail;
use crate::upload::Upload;
use async_trait::async_trait;
use bytes::Bytes;
use rowlock_blobs::{Error, Grower, Growth};
use rowlock_types::Version;
use std::io;
use std::sync::Arc;

const DOING: &str = "letting a blob grow";

pub(crate) struct S3Grower {
    store: Arc<Inner>,
    version: Version,
    upload: Upload,
    /// What is durable.
    noted: Noted,
    /// Whether the durable tail's bytes are still to be read; they belong in front of the next.
    unread: bool,
    /// What came behind the parts that were sent.
    held: Buffered,
    /// Whether bytes came that are not durable yet.
    new: bool,
    /// No more bytes are taken.
    closed: bool,
    /// A part is missing: what came behind it is of no use.
    broken: bool,
}

impl S3Grower {
    pub(crate) fn new(store: &Arc<Inner>, key: String, version: Version, noted: Noted) -> Self {
        let (id, next) = (noted.upload.clone(), noted.next());
        Self {
            upload: Upload::resume(store, key, id, noted.summed, next),
            store: Arc::clone(store),
            version,
            unread: noted.tail.is_some(),
            noted,
            held: Buffered::default(),
            new: false,
            closed: false,
            broken: false,
        }
    }

    async fn take(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        if let (true, Some(tail)) = (self.unread, &self.noted.tail) {
            let mut held = Buffered::default();
            tail::read(&self.store, self.version, tail, &mut held).await?;
            self.held = held;
            self.unread = false;
        }
        while !chunk.is_empty() {
            let room = self.noted.part_size.saturating_sub(self.held.len());
            let now = chunk.split_to(chunk.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.make_room(now.len()).await?;
            self.held.push(now);
            self.new = true;
            if self.held.len() >= self.noted.part_size {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Makes room for the next bytes: with that of its own parts that are done, if it must.
    async fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        let (budget, most) = (&self.store.budget, self.noted.part_size);
        if self.held.make_room(budget, bytes, most, Wait::No).await {
            return Ok(());
        }
        self.broken = true;
        while let Some(share) = self.upload.spare().await? {
            self.held.take_room(share);
            if self.held.make_room(budget, bytes, most, Wait::No).await {
                self.broken = false;
                return Ok(());
            }
        }
        self.broken = false;
        match self.held.make_room(budget, bytes, most, Wait::Long).await {
            true => Ok(()),
            false => Err(Error::Busy { doing: DOING }),
        }
    }

    /// Sends what is held as the next part.
    async fn send(&mut self) -> Result<(), Error> {
        // Should this fail, or be given up half way.
        self.broken = true;
        let next = Buffered::new(self.upload.spare_now());
        let part = std::mem::replace(&mut self.held, next);
        self.upload.send(part).await?;
        self.broken = false;
        Ok(())
    }

    /// Waits until all parts that were sent have arrived.
    async fn settle(&mut self) -> Result<(), Error> {
        self.broken = true;
        self.upload.wait(0).await?;
        self.broken = false;
        Ok(())
    }

    /// Notes parts that have arrived.
    fn note_parts(&mut self) {
        let sent = self.upload.take_sent();
        if !sent.is_empty() {
            // Its bytes are in the first of them.
            self.replace_tail(None);
            self.noted.parts.extend(sent.into_iter().map(Into::into));
        }
    }

    fn replace_tail(&mut self, tail: Option<tail::Tail>) {
        if let Some(old) = std::mem::replace(&mut self.noted.tail, tail) {
            self.noted.replaced = Some(old.name);
        }
    }

    /// What was replaced by what is noted now, and kept by whoever keeps growths, goes.
    async fn clean(&mut self) {
        if let Some(name) = self.noted.replaced.take()
            && let Err(error) = tail::remove(&self.store, self.version, &name).await
        {
            // It goes with all others at the end.
            tracing::debug!(%error, "what was kept of a growing blob could not be removed yet");
        }
    }

    async fn keep(&mut self, last: bool) -> Result<(), Error> {
        if self.noted.parts.is_empty() && self.upload.is_new() && !last {
            self.noted.part_size = fitting(&self.noted, self.held.len());
        }
        let full = self.held.len() >= self.noted.part_size;
        if self.held.len() > 0 && (full || last) {
            self.closed |= last;
            self.send().await?;
        }
        self.settle().await?;
        let tail = match self.held.len() {
            0 => None,
            _ => Some(tail::put(&self.store, self.version, &self.held).await?),
        };
        self.note_parts();
        self.replace_tail(tail);
        self.new = false;
        Ok(())
    }
}

/// The size of parts for a client that sent `first` bytes and may send as many each time: so many,
/// or a multiple that parts may have, so that its requests end with a part.
fn fitting(noted: &Noted, first: u64) -> u64 {
    let Some(length) = noted.length.filter(|_| first > 0) else { return noted.part_size };
    let least = MIN_PART.max(length.div_ceil(MAX_PARTS));
    let size = least.div_ceil(first).saturating_mul(first);
    if size <= noted.part_size { size } else { noted.part_size }
}

#[async_trait]
impl Grower for S3Grower {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        if std::mem::replace(&mut self.closed, true) || self.broken {
            let source = io::Error::other("it was written to after its end, or after an error");
            return Err(Error::Io { doing: DOING, source });
        }
        // Should this fail, or be given up half way, it stays closed.
        self.take(chunk).await?;
        self.closed = false;
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Growth, Error> {
        if !self.broken {
            self.broken = true;
            self.upload.note_arrived().await?;
            self.broken = false;
        }
        self.clean().await;
        self.note_parts();
        self.noted.growth()
    }

    async fn sync(&mut self, last: bool) -> Result<Growth, Error> {
        if self.broken || !self.new {
            self.note_parts();
            return self.noted.growth();
        }
        self.clean().await;
        // Should it fail, it is not tried again: whoever asks wants to know what there is.
        self.keep(last).await.inspect_err(|_| self.broken = true)?;
        self.noted.growth()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_what_a_client_sends_at_a_time() {
        const MIB: u64 = 1 << 20;
        let size = |first, part_size, length| {
            let noted = Noted {
                upload: "id".into(),
                summed: true,
                part_size,
                length,
                parts: Vec::new(),
                tail: None,
                replaced: None,
            };
            fitting(&noted, first)
        };
        for (first, length, wanted) in [
            (0, Some(100 * MIB), 16 * MIB),
            (6 * MIB, Some(100 * MIB), 6 * MIB),
            (5 * MIB, Some(100 * MIB), 5 * MIB),
            (3 * MIB, Some(100 * MIB), 6 * MIB),
            (MIB, Some(100 * MIB), 5 * MIB),
            (7, Some(100 * MIB), 5 * MIB + 1),
            (12 * MIB, Some(100 * MIB), 12 * MIB),
            // Parts would be more than there may be, or larger than they should.
            (6 * MIB, Some(60_000 * MIB), 6 * MIB),
            (6 * MIB, Some(60_000 * MIB + 1), 12 * MIB),
            (6 * MIB, Some(120_000 * MIB + 1), 16 * MIB),
            (u64::MAX, Some(100 * MIB), 16 * MIB),
            (6 * MIB, None, 16 * MIB),
        ] {
            assert_eq!(size(first, 16 * MIB, length), wanted, "{first} of {length:?}");
            assert!(wanted == 16 * MIB || wanted % first == 0);
        }
    }
}
