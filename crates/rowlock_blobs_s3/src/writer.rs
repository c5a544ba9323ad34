//! Writing a blob: one PUT up to a part's size, else a multipart upload of its own.

use crate::budget::Wait;
use crate::failure::Failure;
use crate::layout::checked;
use crate::piece::{Buffered, Passing, Source};
use crate::retry::{retrying, retrying_while};
use crate::store::{Inner, MAX_PARTS};
use crate::upload::{self, Arrived, Sending, Upload, unless_lost};
use async_trait::async_trait;
use bytes::Bytes;
use rowlock_blobs::{BlobAttributes, BlobKey, BlobWriter, Error, StagedPart};
use std::io;
use std::sync::Arc;

pub(crate) const DOING: &str = "sending a blob";

pub(crate) struct Writer {
    store: Arc<Inner>,
    key: String,
    attributes: BlobAttributes,
    length: Option<u64>,
    /// How many bytes came in pieces that were begun before the current one.
    before: u64,
    piece: Option<Piece>,
    upload: Option<Upload>,
}

/// The piece that is being filled, and how many bytes it takes.
struct Piece {
    kind: Kind,
    filled: u64,
    size: u64,
}

enum Kind {
    Held(Buffered),
    Passed(Passing, Sending),
}

impl Writer {
    pub(crate) fn new(
        store: Arc<Inner>,
        blob: &BlobKey,
        attributes: BlobAttributes,
        length: Option<u64>,
    ) -> Self {
        let key = store.layout.key(blob);
        Self { store, key, attributes, length, before: 0, piece: None, upload: None }
    }

    /// The size of parts: as configured, or larger where there would be too many.
    fn part_size(&self) -> u64 {
        let fewest = self.length.unwrap_or_default().div_ceil(MAX_PARTS);
        self.store.part_size().max(fewest)
    }

    /// Begins the piece that the next bytes go into.
    async fn begin(&mut self) -> Result<Piece, Error> {
        let part_size = self.part_size();
        let left = self.length.map(|length| length.saturating_sub(self.before));
        let size = left.map_or(part_size, |left| left.min(part_size));
        let kind = Kind::Held(self.upload.as_ref().map(Upload::next_part).unwrap_or_default());
        Ok(Piece { kind, filled: 0, size })
    }

    /// Makes room for the next bytes of a held piece; false where they have to pass through. An
    /// upload whose first piece was held holds all of them.
    async fn make_room(
        &mut self,
        held: &mut Buffered,
        bytes: usize,
        size: u64,
    ) -> Result<bool, Error> {
        let budget = &self.store.budget;
        // Larger pieces than memory is set apart for only begin there.
        let large = size > self.store.part_size();
        let wait = if large { Wait::Uncounted } else { Wait::No };
        if held.make_room(budget, bytes, size, wait).await {
            return Ok(true);
        }
        if large {
            return Ok(false);
        }
        let wait = match &mut self.upload {
            // It gets by with the room of its parts that are done.
            Some(upload) if upload.is_held() => {
                while upload.has_room().await? {
                    if held.make_room(budget, bytes, size, Wait::No).await {
                        return Ok(true);
                    }
                }
                Wait::Turn
            }
            Some(_) => return Ok(false),
            None if self.length.is_none() => Wait::Turn,
            None => Wait::Short,
        };
        match (held.make_room(budget, bytes, size, wait).await, wait) {
            (false, Wait::Turn) => Err(Error::Busy { doing: DOING }),
            (room, _) => Ok(room),
        }
    }

    /// Begins to pass a piece through, what was held of it first.
    async fn pass_on(&mut self, size: u64, held: Buffered) -> Result<Kind, Error> {
        if self.upload.is_none() && self.length.is_some_and(|length| length > size) {
            self.upload = Some(self.begin_upload(false).await?);
        }
        let (mut passing, source) = Passing::new(size, self.store.streams.write(DOING).await?);
        let sending = match &mut self.upload {
            Some(upload) => upload.pass(size, source),
            None => self.pass(size, source),
        };
        if !passing.take_over(held).await {
            return Err(sending.gone(DOING).await);
        }
        Ok(Kind::Passed(passing, sending))
    }

    async fn begin_upload(&self, held: bool) -> Result<Upload, Error> {
        Upload::begin(&self.store, checked(self.key.clone())?, &self.attributes, held).await
    }

    /// Puts the whole blob from bytes that pass through.
    fn pass(&self, length: u64, source: Source) -> Sending {
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        let attributes = self.attributes.clone();
        Sending::new(async move {
            let put = retrying_while(
                store.patience(),
                || source.is_whole(),
                |_| {
                    let request = store
                        .client
                        .put_object()
                        .bucket(store.bucket())
                        .key(&key)
                        .set_content_type(attributes.content_type.clone())
                        .set_cache_control(attributes.cache_control.clone())
                        .content_length(i64::try_from(length).unwrap_or(i64::MAX))
                        .body(source.body());
                    async move { Failure::unless_tagged(request.send().await?.e_tag()) }
                },
            );
            put.await.map(Arrived::passed).map_err(|failure| failure.write_error(DOING))
        })
    }

    /// A piece is full and more is to come, or it is the last of several.
    async fn dispatch(&mut self, piece: Piece) -> Result<(), Error> {
        self.before += piece.filled;
        if self.upload.is_none() {
            self.upload = Some(self.begin_upload(true).await?);
        }
        match (&mut self.upload, piece.kind) {
            (Some(upload), Kind::Held(held)) => upload.send(held).await,
            (Some(upload), Kind::Passed(passing, sending)) => {
                passing.end().await;
                upload.sent(piece.filled, sending).await
            }
            (None, _) => Ok(()),
        }
    }
}

/// Puts a whole object from memory and returns its entity tag without quotes.
pub(crate) async fn put(
    store: &Inner,
    key: &str,
    attributes: &BlobAttributes,
    held: &Buffered,
) -> Result<String, Error> {
    put_counted(store, key, attributes, held, &mut 0).await
}

/// The same, and how many `tries` it took: all but the last may reach the service later.
pub(crate) async fn put_counted(
    store: &Inner,
    key: &str,
    attributes: &BlobAttributes,
    held: &Buffered,
    tries: &mut u32,
) -> Result<String, Error> {
    let length = i64::try_from(held.len()).unwrap_or(i64::MAX);
    loop {
        let plain = store.is_plain();
        let sums = held.sums(!plain).await?;
        let put = retrying(store.patience(), |_| {
            *tries += 1;
            let request = store
                .client
                .put_object()
                .bucket(store.bucket())
                .key(key)
                .set_content_type(attributes.content_type.clone())
                .set_cache_control(attributes.cache_control.clone())
                .content_length(length)
                .set_checksum_crc32(sums.crc32.clone())
                .set_content_md5(sums.md5.clone())
                .body(held.body());
            async move { Failure::unless_tagged(request.send().await?.e_tag()) }
        });
        match put.await {
            Ok(etag) => return Ok(etag),
            Err(failure) if !plain && store.gives_up_checksums(&failure) => {}
            Err(failure) => return Err(failure.write_error(DOING)),
        }
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        while !chunk.is_empty() {
            let mut piece = match self.piece.take() {
                // It is full, and this is not the end.
                Some(piece) if piece.filled == piece.size => {
                    self.dispatch(piece).await.map_err(unless_lost)?;
                    self.begin().await?
                }
                Some(piece) => piece,
                None => self.begin().await?,
            };
            let room = usize::try_from(piece.size - piece.filled).unwrap_or(usize::MAX);
            if room == 0 {
                let source = io::Error::other("more bytes than announced");
                return Err(Error::Io { doing: DOING, source });
            }
            let now = chunk.split_to(room.min(chunk.len()));
            if let Kind::Held(mut held) = piece.kind {
                piece.kind = if self
                    .make_room(&mut held, now.len(), piece.size)
                    .await
                    .map_err(unless_lost)?
                {
                    Kind::Held(held)
                } else {
                    self.pass_on(piece.size, held).await?
                };
            }
            piece.filled += now.len() as u64;
            match &mut piece.kind {
                Kind::Held(held) => held.push(now),
                Kind::Passed(passing, _) => {
                    if !passing.push(now).await {
                        return Err(unless_lost(piece.gone().await));
                    }
                }
            }
            self.piece = Some(piece);
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), Error> {
        checked(self.key.clone())?;
        match (self.piece.take(), self.upload.is_some()) {
            (None, false) => {
                put(&self.store, &self.key, &self.attributes, &Buffered::default()).await.map(drop)
            }
            (Some(Piece { kind: Kind::Held(held), .. }), false) => {
                put(&self.store, &self.key, &self.attributes, &held).await.map(drop)
            }
            (Some(Piece { kind: Kind::Passed(passing, sending), .. }), false) => {
                passing.end().await;
                sending.answer().await.map(drop)
            }
            (piece, true) => {
                if let Some(piece) = piece {
                    self.dispatch(piece).await.map_err(unless_lost)?;
                }
                match self.upload.take() {
                    Some(upload) => upload.finish().await.map_err(unless_lost),
                    None => Ok(()),
                }
            }
        }
    }

    async fn stage(self: Box<Self>, _etag: &str) -> Result<Box<dyn StagedPart>, Error> {
        let source = io::Error::other("a blob is no part");
        Err(Error::Io { doing: DOING, source })
    }
}

impl Piece {
    /// Why nobody takes its bytes.
    async fn gone(self) -> Error {
        match self.kind {
            Kind::Passed(_, sending) => sending.gone(DOING).await,
            Kind::Held(_) => upload::early(DOING),
        }
    }
}
