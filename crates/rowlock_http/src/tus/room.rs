//! How many requests may bring bytes at a time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::TusError;

/// Room for so many requests, of which no caller takes more than half.
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
        let share = self.most.div_ceil(2);
        let mut taken = self.taken.lock();
        if taken.all >= self.most {
            return Err(TusError::busy());
        }
        if let Some(caller) = &caller {
            let own = taken.by_caller.entry(Arc::clone(caller)).or_default();
            if *own >= share {
                return Err(TusError::busy());
            }
            *own += 1;
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
    fn nobody_shuts_all_others_out() {
        let rooms = Rooms::new(4);
        let of = |name: &str| rooms.take(Some(Arc::from(name)));
        let first = of("a").unwrap();
        let _second = of("a").unwrap();
        assert_eq!(of("a").unwrap_err().told().0, 503, "half of all is taken");
        let _others = (of("b").unwrap(), rooms.take(None).unwrap());
        assert!(of("c").is_err() && rooms.take(None).is_err(), "all is taken");
        drop(first);
        assert!(of("a").is_ok());
        let one = Rooms::new(0);
        let held = one.take(Some(Arc::from("a"))).unwrap();
        assert!(one.take(None).is_err());
        drop(held);
        assert!(one.take(None).is_ok());
        assert!(one.taken.lock().by_caller.is_empty());
    }
}
