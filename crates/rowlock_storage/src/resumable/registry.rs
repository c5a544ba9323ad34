//! The uploads that requests of this process write to, so that others can have them let go.

use parking_lot::Mutex;
use rowlock_catalog::{Asked, HeldResumable, Wish};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// One request's turn at an upload, as others see it.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    record: Notify,
    release: Notify,
}

/// All turns of this process, by the uploads' tags.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    turns: Mutex<HashMap<String, Arc<Turn>>>,
    /// Turns that are over here, and still stand in the database.
    lapsed: Mutex<Vec<HeldResumable>>,
}

/// The only turn of this process at an upload, until this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    registry: Arc<Registry>,
    tag: String,
    turn: Arc<Turn>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registry.turns.lock().remove(&self.tag);
    }
}

impl Turn {
    fn tell(&self, wish: Wish) {
        match wish {
            Wish::Record => self.record.notify_one(),
            Wish::Release => self.release.notify_one(),
        }
    }
}

impl Slot {
    /// What somebody wants next. May be dropped and asked again; no wish is lost.
    pub(crate) async fn wish(&self) -> Wish {
        tokio::select! {
            biased;
            () = self.turn.release.notified() => Wish::Release,
            () = self.turn.record.notified() => Wish::Record,
        }
    }
}

impl Registry {
    /// Takes the turn, if no other request has it.
    pub(crate) fn enter(self: &Arc<Self>, tag: &str) -> Option<Slot> {
        match self.turns.lock().entry(tag.to_owned()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(vacant) => {
                let turn = Arc::clone(vacant.insert(Arc::default()));
                Some(Slot { registry: Arc::clone(self), tag: tag.to_owned(), turn })
            }
        }
    }

    /// Takes the turn, and has another request let go of it; `None` when it does not in time.
    pub(crate) async fn enter_until(self: &Arc<Self>, tag: &str, end: Instant) -> Option<Slot> {
        const PAUSE: Duration = Duration::from_millis(20);
        loop {
            if let Some(slot) = self.enter(tag) {
                return Some(slot);
            }
            self.tell(tag, Wish::Release);
            if Instant::now() >= end {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tells a wish to the request that has the turn. False when none has.
    pub(crate) fn tell(&self, tag: &str, wish: Wish) -> bool {
        match self.turns.lock().get(tag) {
            Some(turn) => {
                turn.tell(wish);
                true
            }
            None => false,
        }
    }

    pub(crate) fn hear(&self, asked: &Asked) {
        self.tell(&asked.tag, asked.wish);
    }

    /// Has all requests let go. False while any has not.
    pub(crate) fn release_all(&self) -> bool {
        let turns = self.turns.lock();
        turns.values().for_each(|turn| turn.tell(Wish::Release));
        turns.is_empty()
    }

    /// Notes a turn that could not be ended in the database.
    pub(crate) fn lapse(&self, held: HeldResumable) {
        self.lapsed.lock().push(held);
    }

    /// The turns that are to be ended in the database.
    pub(crate) fn lapsed(&self) -> Vec<HeldResumable> {
        std::mem::take(&mut self.lapsed.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_turn_at_a_time_and_whoever_has_it_hears_of_the_others() {
        let registry = Arc::<Registry>::default();
        let soon = || Instant::now() + Duration::from_secs(1);
        let slot = registry.enter_until("a", soon()).await.unwrap();
        assert!(registry.enter_until("b", soon()).await.is_some(), "another upload");
        // Whoever does not let go keeps it.
        assert!(registry.enter_until("a", soon()).await.is_none());
        assert_eq!(slot.wish().await, Wish::Release);
        registry.hear(&Asked { tag: "a".into(), wish: Wish::Record });
        assert_eq!(slot.wish().await, Wish::Record);
        assert!(!registry.tell("c", Wish::Record) && !registry.release_all());
        let letting_go = async {
            assert_eq!(slot.wish().await, Wish::Release);
            drop(slot);
        };
        let (next, ()) = tokio::join!(registry.enter_until("a", soon()), letting_go);
        drop(next.unwrap());
        assert!(registry.release_all());
    }
}
