//! How many requests may bring bytes at a time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::TusError;

/// Room for so many requests. A caller takes half at most of what the others leave: so there is room
/// for one more, as long as those who take all that they get are few.
#[derive(Debug)]
pub(super) struct Rooms {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_caller: HashMap<Arc<str>, usize>,
}

/// One request's room, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    taken: Arc<Mutex<Taken>>,
    caller: Option<Arc<str>>,
}

impl Rooms {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Arc::default() }
    }

    /// Room for one more request of a caller; `None` is the service role, who may take all.
    ///
    /// # Errors
    /// 503 where there is none.
    pub(super) fn take(&self, caller: Option<Arc<str>>) -> Result<Room, TusError> {
        let mut taken = self.taken.lock();
        if taken.all >= self.most {
            return Err(TusError::busy());
        }
        if let Some(caller) = &caller {
            let own = taken.by_caller.get(caller).copied().unwrap_or_default();
            let share = (self.most - (taken.all - own)).div_ceil(2);
            if own >= share {
                return Err(TusError::busy());
            }
            taken.by_caller.insert(Arc::clone(caller), own + 1);
        }
        taken.all += 1;
        Ok(Room { taken: Arc::clone(&self.taken), caller })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.all -= 1;
        let Some(caller) = &self.caller else { return };
        if let Some(own) = taken.by_caller.get_mut(caller) {
            *own -= 1;
            if *own == 0 {
                taken.by_caller.remove(caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_who_take_all_they_get_leave_room_for_others() {
        let rooms = Rooms::new(64);
        let greedy = |name: &str| {
            let name = Arc::<str>::from(name);
            std::iter::from_fn(|| rooms.take(Some(Arc::clone(&name))).ok()).collect::<Vec<_>>()
        };
        let taken = ["a", "b", "c", "d", "e", "f"].map(greedy);
        assert_eq!(taken.each_ref().map(Vec::len), [32, 16, 8, 4, 2, 1]);
        assert!(rooms.take(Some(Arc::from("somebody else"))).is_ok());
        drop(taken);
        assert_eq!(greedy("a").len(), 32, "what is given back counts no more");
    }

    #[test]
    fn nobody_shuts_all_others_out() {
        let rooms = Rooms::new(4);
        let of = |name: &str| rooms.take(Some(Arc::from(name)));
        let first = of("a").unwrap();
        let _second = of("a").unwrap();
        assert_eq!(of("a").unwrap_err().told().0, 503, "half of all is taken");
        let _others = (of("b").unwrap(), rooms.take(None).unwrap());
        assert!(of("c").is_err() && rooms.take(None).is_err(), "all is taken");
        drop(first);
        assert!(of("a").is_err(), "the last one is for somebody else");
        assert!(of("c").is_ok());
        let one = Rooms::new(0);
        let held = one.take(Some(Arc::from("a"))).unwrap();
        assert!(one.take(None).is_err());
        drop(held);
        assert!(one.take(None).is_ok());
        assert!(one.taken.lock().by_caller.is_empty());
    }
}
