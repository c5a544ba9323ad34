//! Taking the next bytes of a blob that grows.
//!
//! They are held until they fill a part. Clients may be slow, and many: where memory is short, and
//! when bytes have been held for a while, they are kept in the service (`tail`), and read back when
//! the part is full: memory is held for as long as the service takes then, and not a client.

use crate::budget::Wait;
use crate::growing::Noted;
use crate::piece::Buffered;
use crate::store::{Inner, MAX_PARTS};
use crate::tail::{self, Tail};
use crate::upload::Upload;
use async_trait::async_trait;
use bytes::Bytes;
use rowlock_blobs::{Error, Grower, Growth};
use rowlock_types::Version;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const DOING: &str = "letting a blob grow";
/// Fewer bytes are not worth a request.
const LEAST: u64 = 64 << 10;
/// So many are worth one rather than a pause.
const MANY: u64 = 1 << 20;
/// How long bytes are held at most, where a checkpoint is asked for.
const HELD: Duration = Duration::from_secs(5);
/// How many tails there are before some of them are made one, and how many at a time. Of four times
/// as many the lightest have a quarter of a part at most: seldom much work or memory.
const MANY_TAILS: usize = 200;
const RUN: usize = MANY_TAILS / 4;
/// With so many it may not wait any longer.
const MOST_TAILS: usize = 2 * MANY_TAILS;

pub(crate) struct S3Grower {
    store: Arc<Inner>,
    version: Version,
    upload: Upload,
    /// What is durable. Its tails belong in front of the part that comes next.
    noted: Noted,
    /// Whether that part is under way already.
    gathered: bool,
    /// Tails that no growth counts on from the next one on.
    dropped: Vec<String>,
    /// What came behind all these.
    held: Buffered,
    /// Since when some of it is held.
    since: Instant,
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
            noted,
            gathered: false,
            dropped: Vec::new(),
            held: Buffered::default(),
            since: Instant::now(),
            new: false,
            closed: false,
            broken: false,
        }
    }

    /// How many bytes of the next part there are.
    fn filled(&self) -> u64 {
        let behind = if self.gathered { 0 } else { self.noted.in_tails() };
        behind + self.held.len()
    }

    async fn take(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        while !chunk.is_empty() {
            if self.upload.is_full() {
                return Err(Error::TooLarge { most: self.noted.part_size * MAX_PARTS });
            }
            let room = self.noted.part_size.saturating_sub(self.filled());
            let now = chunk.split_to(chunk.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            let room = self.make_room(now.len()).await?;
            if self.held.len() == 0 {
                self.since = Instant::now();
            }
            self.held.push(now);
            self.new = true;
            if self.filled() >= self.noted.part_size {
                self.send().await?;
            } else if !room {
                self.put_tail().await?;
            }
        }
        Ok(())
    }

    /// Makes room for the next bytes: with that of its own parts that are done, and with its own,
    /// if it must. False where there is none for as long as others hold it: what has come is in
    /// memory anyway, and little, and is not to wait there for them.
    async fn make_room(&mut self, bytes: usize) -> Result<bool, Error> {
        let most = self.noted.part_size;
        if self.held.make_room(&self.store.budget, bytes, most, Wait::No).await {
            return Ok(true);
        }
        self.broken = true;
        while self.upload.has_room().await? {
            if self.held.make_room(&self.store.budget, bytes, most, Wait::No).await {
                break;
            }
        }
        self.broken = false;
        let wait = if self.held.len() >= MANY { Wait::No } else { Wait::Short };
        if self.held.make_room(&self.store.budget, bytes, most, wait).await {
            return Ok(true);
        }
        if self.held.len() < LEAST {
            return Ok(false);
        }
        self.put_tail().await?;
        Ok(self.held.make_room(&self.store.budget, bytes, most, Wait::No).await)
    }

    /// Sends what there is of the next part.
    async fn send(&mut self) -> Result<(), Error> {
        if !self.gathered {
            self.gather().await?;
        }
        // Should this fail, or be given up half way.
        self.broken = true;
        self.gathered = true;
        let part = std::mem::replace(&mut self.held, self.upload.next_part());
        self.upload.send(part).await?;
        self.broken = false;
        Ok(())
    }

    /// Reads the tails back, in front of what is held.
    async fn gather(&mut self) -> Result<(), Error> {
        let tails = self.noted.in_tails();
        if tails == 0 {
            return Ok(());
        }
        let (bytes, whole) = (usize::try_from(tails).unwrap_or(usize::MAX), self.filled());
        let budget = &self.store.budget;
        // Too large for a turn: several that wait with a part of their room would wait for each
        // other.
        if !self.held.make_room(budget, bytes, whole, Wait::No).await
            && whole > self.store.part_size()
        {
            match self.held.len() {
                0 => self.held = self.upload.next_part(),
                _ => self.put_held().await?,
            }
        }
        let front = tail::read(&self.store, self.version, &self.noted.tails, &mut self.held);
        let front = front.await?;
        self.held.prepend(front);
        Ok(())
    }

    /// Keeps what is held in the service.
    async fn put_tail(&mut self) -> Result<(), Error> {
        self.put_held().await?;
        let tails = self.noted.tails.len();
        if tails < MANY_TAILS {
            return Ok(());
        }
        match self.merge_tails().await {
            Err(error) if tails < MOST_TAILS => {
                tracing::debug!(%error, "what is kept of a growing blob stays in many pieces");
                Ok(())
            }
            merged => merged,
        }
    }

    async fn put_held(&mut self) -> Result<(), Error> {
        self.settle().await?;
        let unsure = &mut self.noted.unsure;
        let tail = tail::put(&self.store, self.version, &self.held, unsure).await?;
        self.noted.tails.push(tail);
        self.held = self.upload.next_part();
        self.new = false;
        Ok(())
    }

    /// Makes one of those neighbours that have the fewest bytes.
    async fn merge_tails(&mut self) -> Result<(), Error> {
        let size = |run: &[Tail]| run.iter().map(|tail| tail.size).sum::<u64>();
        let runs = self.noted.tails.windows(RUN).enumerate();
        let Some((at, run)) = runs.min_by_key(|(_, run)| size(run)) else { return Ok(()) };
        let mut held = Buffered::default();
        let chunks = tail::read(&self.store, self.version, run, &mut held).await?;
        held.prepend(chunks);
        let unsure = &mut self.noted.unsure;
        let one = tail::put(&self.store, self.version, &held, unsure).await?;
        let merged = self.noted.tails.splice(at..at + RUN, [one]);
        self.dropped.extend(merged.map(|tail| tail.name));
        Ok(())
    }

    /// Waits until all parts that were sent have arrived.
    async fn settle(&mut self) -> Result<(), Error> {
        self.broken = true;
        self.upload.wait(0).await?;
        self.broken = false;
        self.note_parts();
        Ok(())
    }

    /// Notes parts that have arrived.
    fn note_parts(&mut self) {
        let sent = self.upload.take_sent();
        if !sent.is_empty() {
            // Their bytes are in the first of these.
            self.drop_tails();
            self.gathered = false;
            self.noted.parts.extend(sent.into_iter().map(Into::into));
        }
    }

    fn drop_tails(&mut self) {
        self.dropped.extend(self.noted.tails.drain(..).map(|tail| tail.name));
    }

    /// What the growth that was kept last does not count on goes.
    async fn clean(&mut self) {
        let names = std::mem::take(&mut self.noted.dropped);
        if let Err(error) = tail::remove(&self.store, self.version, &names).await {
            // It goes with all others at the end.
            tracing::debug!(%error, "what was kept of a growing blob could not be removed yet");
        }
    }

    fn growth(&mut self) -> Result<Growth, Error> {
        self.noted.dropped.append(&mut self.dropped);
        self.noted.growth()
    }

    async fn keep(&mut self, last: bool) -> Result<(), Error> {
        let full = self.filled() >= self.noted.part_size;
        if full || last && self.held.len() > 0 {
            self.closed |= last;
            self.send().await?;
        }
        self.settle().await?;
        if self.held.len() > 0 {
            self.put_tail().await?;
        }
        self.new = false;
        Ok(())
    }
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
        self.clean().await;
        if !self.broken {
            self.broken = true;
            self.upload.note_arrived().await?;
            self.broken = false;
            self.note_parts();
            if self.held.len() >= LEAST && self.since.elapsed() >= HELD {
                self.put_tail().await.inspect_err(|_| self.broken = true)?;
            }
        }
        self.note_parts();
        self.growth()
    }

    async fn sync(&mut self, last: bool) -> Result<Growth, Error> {
        self.clean().await;
        if self.broken || !self.new {
            self.note_parts();
            return self.growth();
        }
        // Should it fail, it is not tried again: whoever asks wants to know what there is.
        self.keep(last).await.inspect_err(|_| self.broken = true)?;
        self.growth()
    }
}
