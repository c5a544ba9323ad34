//! Writing blobs and parts.
//!
//! What is small stays in memory, and everything is done in one visit to a blocking thread at the
//! end. What is larger goes to a temporary file from the moment that it gets larger, or from its
//! first byte where its length is known; each chunk is written while the next is on its way. Where
//! very many uploads keep something in memory, a small one goes to a file as well.

use super::budget::Held;
use super::folders::Target;
use super::sys::failed;
use super::temp::Temp;
use super::{FOR_WRITERS, Inner, SMALL, join};
use crate::{BlobAttributes, BlobWriter, Error, StagedPart};
use async_trait::async_trait;
use bytes::Bytes;
use rustix::io::Errno;
use std::sync::Arc;
use tokio::task::JoinHandle;

pub(super) struct FileWriter {
    store: Arc<Inner>,
    /// An error is kept until the first call that can tell it.
    target: Result<Target, &'static str>,
    attributes: BlobAttributes,
    /// More is to come than stays in memory, so that nothing does: many that wait for a file
    /// must not take the memory of those that need none.
    long: bool,
    state: State,
}

enum State {
    /// What was written so far, and what of it counts.
    Small(Vec<u8>, Option<Held>),
    /// The last write, running or done.
    Large(JoinHandle<Result<Temp, Error>>),
    Failed,
}

/// So much of every upload stays in memory uncounted: even of 10,000 of them it is little.
const TINY: usize = 4 << 10;
/// What is larger than this takes no more than three quarters of the memory for all, so that those
/// that become large in the end, or never end, leave some of it to the many that are small.
const MODEST: usize = 32 << 10;
/// By how much the memory for one grows at least.
const GROWTH: usize = 512;

impl FileWriter {
    pub(super) fn new(
        store: Arc<Inner>,
        target: Result<Target, &'static str>,
        attributes: BlobAttributes,
        length: Option<u64>,
    ) -> Self {
        let long = length.is_some_and(|length| length > SMALL as u64);
        Self { store, target, attributes, long, state: State::Small(Vec::new(), None) }
    }

    /// Ends the writing: the returned closure, to be run on a blocking thread in a turn, gives the
    /// synced temporary file.
    async fn end(
        self,
        etag: Option<String>,
    ) -> Result<(Target, impl FnOnce(&Arc<Inner>) -> Result<Temp, Error> + Send + 'static), Error>
    {
        let Self { store: _, target, attributes, long: _, state } = self;
        let target = target.map_err(Error::UnsupportedKey)?;
        let (buffered, temp) = match state {
            State::Small(buffered, _) => (buffered, None),
            State::Large(last) => (Vec::new(), Some(join(last).await?)),
            State::Failed => return Err(failed("writing a file")(Errno::CANCELED)),
        };
        let seal = move |store: &Arc<Inner>| {
            let mut temp = match temp {
                Some(temp) => temp,
                None => {
                    let mut temp = Temp::create(store)?;
                    temp.append(&buffered)?;
                    temp
                }
            };
            temp.set_attributes(&attributes)?;
            if let Some(etag) = etag {
                temp.set_etag(&etag)?;
            }
            temp.sync()?;
            Ok(temp)
        };
        Ok((target, seal))
    }
}

#[async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        if let Err(reason) = self.target {
            return Err(Error::UnsupportedKey(reason));
        }
        if let State::Small(buffered, held) = &mut self.state
            && !self.long
            && fits(&self.store, buffered.len(), held, chunk.len())
        {
            // No more room than what counts: chunks are few but for those of slow clients.
            if buffered.capacity() - buffered.len() < chunk.len() {
                buffered.reserve_exact(chunk.len().max(GROWTH));
            }
            buffered.extend_from_slice(&chunk);
            return Ok(());
        }
        // Should this future be dropped half way, the writer stays failed.
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Small(buffered, held) => {
                let open = self.store.open_files.lasting(1).await?;
                let store = Arc::clone(&self.store);
                let begin = move || {
                    let mut temp = Temp::lasting(&store, open)?;
                    temp.append(&buffered)?;
                    temp.append(&chunk)?;
                    drop(held);
                    Ok(temp)
                };
                State::Large(tokio::task::spawn_blocking(begin))
            }
            State::Large(last) => {
                let mut temp = join(last).await?;
                let go_on = move || {
                    temp.append(&chunk)?;
                    Ok(temp)
                };
                State::Large(tokio::task::spawn_blocking(go_on))
            }
            State::Failed => return Err(failed("writing a file")(Errno::CANCELED)),
        };
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), Error> {
        let store = Arc::clone(&self.store);
        let (target, seal) = self.end(None).await?;
        store.in_turn(move |store| store.place(seal(store)?, &target)).await
    }

    async fn stage(self: Box<Self>, etag: &str) -> Result<Box<dyn StagedPart>, Error> {
        let store = Arc::clone(&self.store);
        let (target, seal) = self.end(Some(etag.to_owned())).await?;
        let temp = store.in_turn(seal).await?;
        Ok(Box::new(Staged { store, temp, target }))
    }
}

/// Whether `more` bytes may stay in memory beside the `length` that do, of which `held` counts.
fn fits(store: &Inner, length: usize, held: &mut Option<Held>, more: usize) -> bool {
    let after = length + more;
    if after <= TINY {
        return true;
    }
    if after > SMALL {
        return false;
    }
    let counted = after - TINY;
    let spare = if after > MODEST { FOR_WRITERS / 4 } else { 0 };
    match held {
        Some(held) => held.grow(counted - held.amount(), spare),
        None => {
            *held = store.held_for_writers.take(counted, spare);
            held.is_some()
        }
    }
}

/// A synced temporary file that waits for its name.
struct Staged {
    store: Arc<Inner>,
    temp: Temp,
    target: Target,
}

#[async_trait]
impl StagedPart for Staged {
    async fn publish(self: Box<Self>) -> Result<Option<String>, Error> {
        let Self { store, temp, target } = *self;
        store.in_turn(move |store| store.place(temp, &target)).await?;
        Ok(None)
    }
}
