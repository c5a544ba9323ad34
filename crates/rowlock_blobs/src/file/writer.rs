//! Writing blobs and parts.
//!
//! What is small stays in memory, and everything is done in one visit to a blocking thread at the
//! end. What is larger goes to a temporary file from the moment that it gets larger; each chunk is
//! written while the next is on its way.

use super::folders::Target;
use super::sys::failed;
use super::temp::Temp;
use super::{Inner, SMALL, blocking, join};
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
    state: State,
}

enum State {
    Small(Vec<u8>),
    /// The last write, running or done.
    Large(JoinHandle<Result<Temp, Error>>),
    Failed,
}

impl FileWriter {
    pub(super) fn new(
        store: Arc<Inner>,
        target: Result<Target, &'static str>,
        attributes: BlobAttributes,
    ) -> Self {
        Self { store, target, attributes, state: State::Small(Vec::new()) }
    }

    /// Ends the writing: the returned closure, to be run on a blocking thread, gives the synced
    /// temporary file.
    async fn end(
        self,
        etag: Option<String>,
    ) -> Result<(Target, impl FnOnce() -> Result<Temp, Error> + Send + 'static), Error> {
        let Self { store, target, attributes, state } = self;
        let target = target.map_err(Error::UnsupportedKey)?;
        let (buffered, temp) = match state {
            State::Small(buffered) => (buffered, None),
            State::Large(last) => (Vec::new(), Some(join(last).await?)),
            State::Failed => return Err(failed("writing a file")(Errno::CANCELED)),
        };
        let seal = move || {
            let temp = match temp {
                Some(temp) => temp,
                None => {
                    let mut temp = Temp::create(&store)?;
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
        if let State::Small(buffered) = &mut self.state
            && buffered.len() + chunk.len() <= SMALL
        {
            buffered.extend_from_slice(&chunk);
            return Ok(());
        }
        // Should this future be dropped half way, the writer stays failed.
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Small(buffered) => {
                let store = Arc::clone(&self.store);
                State::Large(tokio::task::spawn_blocking(move || {
                    let mut temp = Temp::create(&store)?;
                    temp.append(&buffered)?;
                    temp.append(&chunk)?;
                    Ok(temp)
                }))
            }
            State::Large(last) => {
                let mut temp = join(last).await?;
                State::Large(tokio::task::spawn_blocking(move || {
                    temp.append(&chunk)?;
                    Ok(temp)
                }))
            }
            State::Failed => return Err(failed("writing a file")(Errno::CANCELED)),
        };
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), Error> {
        let store = Arc::clone(&self.store);
        let (target, seal) = self.end(None).await?;
        blocking(move || store.place(seal()?, &target)).await
    }

    async fn stage(self: Box<Self>, etag: &str) -> Result<Box<dyn StagedPart>, Error> {
        let store = Arc::clone(&self.store);
        let (target, seal) = self.end(Some(etag.to_owned())).await?;
        let temp = blocking(seal).await?;
        Ok(Box::new(Staged { store, temp, target }))
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
        blocking(move || store.place(temp, &target)).await?;
        Ok(None)
    }
}
