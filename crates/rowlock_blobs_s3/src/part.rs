//! Writing one part of a multipart upload that a client leads: it becomes one part in the service.

use crate::budget::Wait;
use crate::multipart;
use crate::piece::{Buffered, Passing, Source, Sums};
use crate::store::Inner;
use crate::upload::{Arrived, Sending};
use async_trait::async_trait;
use bytes::Bytes;
use rowlock_blobs::{BlobWriter, Error, MultipartBlob, StagedPart};
use std::io;
use std::sync::Arc;

const DOING: &str = "sending a part";

pub(crate) struct PartWriter {
    store: Arc<Inner>,
    key: String,
    id: String,
    number: i32,
    length: Option<u64>,
    state: State,
}

enum State {
    Empty,
    Held(Buffered),
    Passed(Passing, Sending),
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
            state: State::Empty,
        }
    }

    /// Takes the next bytes into memory. What finds no room there passes through, as parts do that
    /// are larger than what is held; without a length that cannot be.
    async fn hold(&self, mut held: Buffered, chunk: Bytes) -> Result<State, Error> {
        let part_size = self.store.part_size();
        let most = self.length.unwrap_or(part_size);
        if held.len() + chunk.len() as u64 > most {
            let source = io::Error::other("more bytes than announced, or than go without");
            return Err(Error::Io { doing: DOING, source });
        }
        let wait = if self.length.is_some() { Wait::Short } else { Wait::Turn };
        let budget = &self.store.budget;
        // Even of what will pass, the first bytes wait: no socket is held for clients that dribble.
        let wait = if most > part_size { Wait::Uncounted } else { wait };
        if held.make_room(budget, chunk.len(), most, wait).await {
            held.push(chunk);
            return Ok(State::Held(held));
        }
        if self.length.is_none() {
            return Err(Error::Busy { doing: DOING });
        }
        let (mut passing, source) = Passing::new(most, self.store.streams.write(DOING).await?);
        let sending = self.pass(most, source);
        if passing.take_over(held).await && passing.push(chunk).await {
            return Ok(State::Passed(passing, sending));
        }
        Err(sending.gone(DOING).await)
    }

    fn pass(&self, length: u64, source: Source) -> Sending {
        let (store, key, id) = (Arc::clone(&self.store), self.key.clone(), self.id.clone());
        let number = self.number;
        Sending::new(async move {
            let sent = multipart::pass_part(&store, &key, &id, number, length, &source).await;
            sent.map(Arrived::passed).map_err(|failure| failure.write_error(DOING))
        })
    }

    /// The digest that the domain has made already, or one of our own.
    async fn put(&self, held: &Buffered, etag: &str) -> Result<String, Error> {
        let mut known = [0; 16];
        let sums = match hex::decode_to_slice(etag, &mut known) {
            Ok(()) => Sums::of_md5(known),
            Err(_) => held.sums(false).await?,
        };
        // The client waits, and can send this part again.
        let patience = self.store.patience();
        let (store, key, id, number) = (&self.store, &self.key, &self.id, self.number);
        let sent = multipart::put_part_within(store, patience, key, id, number, held, sums).await;
        sent.map_err(|failure| failure.write_error(DOING))
    }
}

#[async_trait]
impl BlobWriter for PartWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.state = match std::mem::replace(&mut self.state, State::Empty) {
            State::Empty => self.hold(Buffered::default(), chunk).await?,
            State::Held(held) => self.hold(held, chunk).await?,
            State::Passed(mut passing, sending) => {
                if !passing.push(chunk).await {
                    return Err(sending.gone(DOING).await);
                }
                State::Passed(passing, sending)
            }
        };
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), Error> {
        let source = io::Error::other("a part is no blob");
        Err(Error::Io { doing: DOING, source })
    }

    async fn stage(mut self: Box<Self>, etag: &str) -> Result<Box<dyn StagedPart>, Error> {
        let etag = match std::mem::replace(&mut self.state, State::Empty) {
            // Some services take no empty part: Complete leaves it out.
            State::Empty => {
                let etag = hex::encode(rowlock_digest::md5(b""));
                return Ok(Box::new(Staged { etag, sent: None }));
            }
            State::Held(held) => self.put(&held, etag).await?,
            State::Passed(passing, sending) => {
                passing.end().await;
                sending.answer().await?.etag
            }
        };
        let Self { store, key, id, number, .. } = *self;
        Ok(Box::new(Staged { etag, sent: Some(Place { store, key, id, number }) }))
    }
}

/// A part that has taken its place.
pub(crate) struct Staged {
    pub(crate) etag: String,
    /// `None` for an empty one, which was not sent: Complete leaves its number out.
    pub(crate) sent: Option<Place>,
}

/// Where a part lies.
pub(crate) struct Place {
    pub(crate) store: Arc<Inner>,
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) number: i32,
}

#[async_trait]
impl StagedPart for Staged {
    async fn publish(self: Box<Self>) -> Result<Option<String>, Error> {
        Ok(Some(self.etag))
    }

    async fn is_in_place(&mut self) -> Result<bool, Error> {
        let Some(Place { store, key, id, number }) = &self.sent else { return Ok(true) };
        let tag = multipart::part_tag(store, key, id, *number).await;
        let tag = tag.map_err(|failure| failure.error("looking at a part"))?;
        Ok(tag.as_ref() == Some(&self.etag))
    }
}
