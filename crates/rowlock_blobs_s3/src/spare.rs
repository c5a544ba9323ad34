//! Room that the parts of an upload leave to the next ones when they are done. It is the upload's as
//! long as it makes use of it: others get back what nobody has touched for a while.

use crate::budget::Budget;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How long room that nobody makes use of is kept from others who want it.
pub(crate) const KEPT: Duration = Duration::from_secs(5);

/// The spare room of all uploads.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Rooms>);

#[derive(Debug, Default)]
struct Rooms {
    next: u64,
    /// What there is, and since when it has been as much.
    kept: HashMap<u64, (OwnedSemaphorePermit, Instant)>,
}

/// The spare room of one upload. Cheap to clone; it is given back with the last one.
#[derive(Debug, Clone)]
pub(crate) struct Spare(Arc<Place>);

#[derive(Debug)]
struct Place {
    budget: Budget,
    number: u64,
}

impl Spares {
    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes away what has lain for long; whether there was any.
    pub(crate) fn reclaim(&self) -> bool {
        let mut rooms = self.rooms();
        let before = rooms.kept.len();
        rooms.kept.retain(|_, (_, since)| since.elapsed() < KEPT);
        rooms.kept.len() < before
    }
}

impl Spare {
    /// None yet.
    pub(crate) fn new(budget: &Budget) -> Self {
        let mut rooms = budget.spares().rooms();
        rooms.next += 1;
        let number = rooms.next;
        drop(rooms);
        Self(Arc::new(Place { budget: budget.clone(), number }))
    }

    /// Adds the room of a part that is done. One part's is kept, and the rest goes back.
    pub(crate) fn put(&self, mut room: OwnedSemaphorePermit) {
        let mut rooms = self.0.budget.spares().rooms();
        if let Some((kept, _)) = rooms.kept.remove(&self.0.number) {
            let over = kept.num_permits().min(room.num_permits());
            room.merge(kept);
            drop(room.split(over));
        }
        rooms.kept.insert(self.0.number, (room, Instant::now()));
        drop(rooms);
        self.0.budget.came_back();
    }

    /// Takes as much of `bytes` as there is.
    pub(crate) fn draw(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let mut rooms = self.0.budget.spares().rooms();
        let (mut room, _) = rooms.kept.remove(&self.0.number)?;
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let rest = room.split(room.num_permits().saturating_sub(bytes));
        if let Some(rest) = rest.filter(|rest| rest.num_permits() > 0) {
            rooms.kept.insert(self.0.number, (rest, Instant::now()));
        }
        Some(room)
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.0.budget.spares().rooms().kept.contains_key(&self.0.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let kept = self.budget.spares().rooms().kept.remove(&self.number);
        if kept.is_some() {
            drop(kept);
            self.budget.came_back();
        }
    }
}
