//! Writing one part of a multipart upload that a client leads: it becomes one part in the service.

use crate::multipart;
use crate::piece::{Buffered, Passing, Source, Sums};
use crate::store::{Inner, LONG_PATIENCE, PATIENCE};
use async_trait::async_trait;
use bytes::Bytes;
use rowlock_blobs::{BlobWriter, Error, MultipartBlob, StagedPart};
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

const DOING: &str = "sending a part";

pub(crate) struct PartWriter {
    store: Arc<Inner>,
    key: String,
    id: String,
    number: i32,
    length: Option<u64>,
    filled: u64,
    state: State,
}

enum State {
    Empty,
    Held(Buffered, u64),
    Passed(Passing, JoinHandle<Result<String, Error>>),
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if let State::Passed(_, sending) = &self.state {
            sending.abort();
        }
    }
}

impl PartWriter {
    pub(crate) fn new(
        store: Arc<Inner>,
        upload: &MultipartBlob,
        number: u32,
        length: Option<u64>,
    ) -> Self {
        Self {
            key: store.layout.key(&upload.blob),
            id: upload.upload_id.as_str().to_owned(),
            number: i32::try_from(number).unwrap_or(i32::MAX),
            store,
            length,
            filled: 0,
            state: State::Empty,
        }
    }

    async fn begin(&self) -> Result<State, Error> {
        let most = self.store.settings.part_size;
        let size = self.length.unwrap_or(most);
        let patience = if self.length.is_none() { LONG_PATIENCE } else { PATIENCE };
        if size <= most
            && let Some(share) = self.store.budget.share(size, patience).await
        {
            return Ok(State::Held(Buffered::new(share), size));
        }
        if self.length.is_none() {
            return Err(Error::Unavailable { doing: DOING, why: "no memory is free".into() });
        }
        let (passing, source) = Passing::new(size);
        Ok(State::Passed(passing, self.pass(size, source)))
    }

    fn pass(&self, length: u64, source: Source) -> JoinHandle<Result<String, Error>> {
        let (store, key, id) = (Arc::clone(&self.store), self.key.clone(), self.id.clone());
        let number = self.number;
        tokio::spawn(async move {
            let sent = multipart::pass_part(&store, &key, &id, number, length, &source).await;
            sent.map_err(|failure| failure.error(DOING))
        })
    }

    /// The digest that the domain has made already, or one of our own.
    async fn put(&self, held: &Buffered, etag: &str) -> Result<String, Error> {
        let mut known = [0; 16];
        let sums = match hex::decode_to_slice(etag, &mut known) {
            Ok(()) => Sums::of_md5(known),
            Err(_) => held.sums(false).await?,
        };
        let sent =
            multipart::put_part(&self.store, &self.key, &self.id, self.number, held, sums).await;
        sent.map_err(|failure| failure.error(DOING))
    }
}

async fn answer(sending: &mut JoinHandle<Result<String, Error>>) -> Result<String, Error> {
    sending.await.unwrap_or_else(|lost| Err(Error::Io { doing: DOING, source: lost.into() }))
}

#[async_trait]
impl BlobWriter for PartWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        if let State::Empty = self.state {
            self.state = self.begin().await?;
        }
        self.filled += chunk.len() as u64;
        match &mut self.state {
            State::Empty => Ok(()),
            State::Held(held, size) if self.filled <= *size => {
                held.push(chunk);
                Ok(())
            }
            State::Held(..) => {
                let source = io::Error::other("a part of this size must say its length first");
                Err(Error::Io { doing: DOING, source })
            }
            State::Passed(passing, sending) => {
                if passing.push(chunk).await {
                    return Ok(());
                }
                let why = "an answer before its time".into();
                Err(answer(sending).await.err().unwrap_or(Error::Unavailable { doing: DOING, why }))
            }
        }
    }

    async fn finish(self: Box<Self>) -> Result<(), Error> {
        let source = io::Error::other("a part is no blob");
        Err(Error::Io { doing: DOING, source })
    }

    async fn stage(mut self: Box<Self>, etag: &str) -> Result<Box<dyn StagedPart>, Error> {
        let etag = match std::mem::replace(&mut self.state, State::Empty) {
            // Some services take no empty part: Complete leaves it out.
            State::Empty => hex::encode(rowlock_digest::md5(b"")),
            State::Held(held, _) => self.put(&held, etag).await?,
            State::Passed(passing, mut sending) => {
                passing.end().await;
                answer(&mut sending).await?
            }
        };
        Ok(Box::new(Staged { etag }))
    }
}

/// A part that is in its place.
pub(crate) struct Staged {
    pub(crate) etag: String,
}

#[async_trait]
impl StagedPart for Staged {
    async fn publish(self: Box<Self>) -> Result<Option<String>, Error> {
        Ok(Some(self.etag))
    }
}
