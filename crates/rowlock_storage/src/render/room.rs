//! Who may render when, and how much memory all of it may take.
//!
//! Sources, pixels and results have a share of the memory each, and whoever holds a part of one
//! only ever waits for one further on: nobody waits for those who wait for them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::RenderSettings;
use crate::Error;

/// In which memory is counted, in bytes.
const UNIT: u64 = 1024;
/// Results up to this size, in bytes, have a share of their own: those who take large ones and do
/// not read them hold nobody up who wants a preview.
const SMALL_RESULT: u64 = 256 * 1024;

/// A place, a turn or memory, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held(#[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

#[derive(Debug)]
pub(super) struct Rooms {
    /// Whoever renders or waits.
    places: Arc<Semaphore>,
    /// Whoever renders.
    turns: Arc<Semaphore>,
    sources: Share,
    pixels: Share,
    large_results: Share,
    small_results: Share,
}

#[derive(Debug)]
struct Share {
    units: Arc<Semaphore>,
    whole: u32,
}

impl Share {
    fn new(bytes: u64) -> Self {
        let whole = units(bytes).max(1);
        Self { units: Arc::new(Semaphore::new(whole as usize)), whole }
    }

    /// Waits for so much of it; for all of it where that is less.
    async fn take(&self, bytes: u64, until: Instant) -> Result<Held, Error> {
        let wanted = units(bytes).clamp(1, self.whole);
        let taken = Arc::clone(&self.units).acquire_many_owned(wanted);
        within(until, taken).await
    }
}

/// How many units there are in so many bytes, rounded up.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

async fn within(
    until: Instant,
    taken: impl Future<Output = Result<OwnedSemaphorePermit, tokio::sync::AcquireError>>,
) -> Result<Held, Error> {
    match timeout_at(until, taken).await {
        Ok(Ok(permit)) => Ok(Held(permit)),
        Ok(Err(_)) | Err(_) => Err(Error::Busy("rendering an image")),
    }
}

impl Rooms {
    pub(super) fn new(settings: &RenderSettings) -> Self {
        let eighth = settings.memory / 8;
        Self {
            places: Arc::new(Semaphore::new(settings.crowd.max(1))),
            turns: Arc::new(Semaphore::new(settings.concurrency.max(1))),
            sources: Share::new(eighth),
            pixels: Share::new(settings.memory - 2 * eighth),
            // What is kept counts among them, and takes nothing from what clients may hold.
            large_results: Share::new(eighth / 4 * 3 + settings.cache),
            small_results: Share::new(eighth / 4 + settings.cache),
        }
    }

    /// A place among those who render or wait for it.
    ///
    /// # Errors
    /// [`Error::Busy`] at once where there is none.
    pub(super) fn enter(&self) -> Result<Held, Error> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(Held).map_err(|_| Error::Busy("rendering an image"))
    }

    /// Memory for a source's bytes.
    ///
    /// # Errors
    /// [`Error::Busy`] where it is not free in time.
    pub(super) async fn for_source(&self, bytes: u64, until: Instant) -> Result<Held, Error> {
        self.sources.take(bytes, until).await
    }

    /// A turn on a thread.
    ///
    /// # Errors
    /// [`Error::Busy`] where none is free in time.
    pub(super) async fn turn(&self, until: Instant) -> Result<Held, Error> {
        within(until, Arc::clone(&self.turns).acquire_owned()).await
    }

    /// Memory for decoding, resizing and encoding.
    ///
    /// # Errors
    /// [`Error::ImageTooCostly`] where there never is so much, [`Error::Busy`] where it is not free
    /// in time.
    pub(super) async fn for_pixels(&self, bytes: u64, until: Instant) -> Result<Held, Error> {
        if units(bytes) > self.pixels.whole {
            return Err(Error::ImageTooCostly);
        }
        self.pixels.take(bytes, until).await
    }

    /// Memory for a result, for as long as it is kept, or a client takes to read it.
    ///
    /// # Errors
    /// [`Error::Busy`] where it is not free in time.
    pub(super) async fn for_result(&self, bytes: u64, until: Instant) -> Result<Held, Error> {
        let small = bytes <= SMALL_RESULT;
        if small { &self.small_results } else { &self.large_results }.take(bytes, until).await
    }
}

impl Held {
    /// The bytes, for which this is held as long as any part of them is there.
    pub(super) fn with(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Counted { bytes, _held: self })
    }
}

/// Bytes that count for as long as they are there.
struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rooms() -> Rooms {
        Rooms::new(&RenderSettings {
            concurrency: 1,
            crowd: 2,
            memory: 8 << 20,
            cache: 0,
            ..RenderSettings::default()
        })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_few_and_do_not_wait_for_ever() {
        let rooms = rooms();
        let (_first, second) = (rooms.enter().unwrap(), rooms.enter().unwrap());
        assert!(matches!(rooms.enter(), Err(Error::Busy(_))));
        drop(second);
        assert!(rooms.enter().is_ok());
        let turn = rooms.turn(soon()).await.unwrap();
        assert!(matches!(rooms.turn(soon()).await, Err(Error::Busy(_))));
        drop(turn);
        assert!(rooms.turn(soon()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_makes_room() {
        let rooms = rooms();
        let turn = rooms.turn(soon()).await.unwrap();
        let mut gone = Box::pin(rooms.turn(soon()));
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
        let mut next = Box::pin(rooms.turn(soon()));
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        drop((gone, turn));
        assert!(next.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_shared_and_what_never_fits_is_said_at_once() {
        let rooms = rooms();
        let whole = 6 << 20;
        assert!(matches!(rooms.for_pixels(whole + 1, soon()).await, Err(Error::ImageTooCostly)));
        let most = rooms.for_pixels(whole - UNIT, soon()).await.unwrap();
        assert!(rooms.for_pixels(UNIT, soon()).await.is_ok());
        assert!(matches!(rooms.for_pixels(2 * UNIT, soon()).await, Err(Error::Busy(_))));
        drop(most);
        assert!(rooms.for_pixels(whole, soon()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_clients_have_not_taken_counts() {
        let rooms = rooms();
        let whole = 768 << 10;
        let held = rooms.for_result(whole, soon()).await.unwrap();
        let bytes = held.with(Bytes::from(vec![7; 9]));
        let part = bytes.slice(5..6);
        drop(bytes);
        assert!(matches!(rooms.for_result(whole / 2, soon()).await, Err(Error::Busy(_))));
        // Previews do not wait for those who do not read large results.
        let small = rooms.for_result(SMALL_RESULT, soon()).await.unwrap();
        assert!(matches!(rooms.for_result(1, soon()).await, Err(Error::Busy(_))));
        drop(small);
        assert!(rooms.for_result(1, soon()).await.is_ok());
        assert_eq!(&part[..], [7]);
        drop(part);
        assert!(rooms.for_result(whole, soon()).await.is_ok());
    }
}
