//! Writing a blob: one PUT up to a part's size, else a multipart upload of its own.

use crate::failure::Failure;
use crate::layout::checked;
use crate::multipart;
use crate::piece::{self, Buffered, Passing};
use crate::retry::retrying;
use crate::store::{Inner, MAX_PARTS, MIN_PART};
use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rowlock_blobs::{BlobAttributes, BlobKey, BlobWriter, Error, PartInfo, StagedPart};
use rowlock_digest::{Algorithm, Digests};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

const DOING: &str = "sending a blob";

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

/// A request under way; gives the entity tag. Dropped, it ends.
struct Sending(JoinHandle<Result<String, Error>>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sending {
    async fn answer(mut self) -> Result<String, Error> {
        let lost = |error: tokio::task::JoinError| Error::Io { doing: DOING, source: error.into() };
        (&mut self.0).await.unwrap_or_else(|error| Err(lost(error)))
    }
}

/// The multipart upload of a large blob; aborted when it is dropped before its end.
struct Upload {
    store: Arc<Inner>,
    key: String,
    id: String,
    sending: VecDeque<(u32, u64, Sending)>,
    sent: Vec<PartInfo>,
    next: u32,
    open: bool,
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
        self.store.settings.part_size.max(MIN_PART).max(fewest)
    }

    /// Begins the piece that the next bytes go into.
    async fn begin(&mut self) -> Result<Piece, Error> {
        let part_size = self.part_size();
        let left = self.length.map(|length| length.saturating_sub(self.before));
        let size = left.map_or(part_size, |left| left.min(part_size));
        if self.length.is_some_and(|length| length > part_size) && self.upload.is_none() {
            self.upload = Some(self.begin_upload().await?);
        }
        // Before the memory is taken, so that an upload takes no more than its parts at work.
        if let Some(upload) = &mut self.upload {
            upload.wait(self.store.settings.queue_size.max(1) - 1).await?;
        }
        let held = piece::buffered(&self.store.budget, size, left.is_none()).await;
        let kind = match (held, left) {
            (Some(held), _) => Kind::Held(held),
            (None, Some(_)) => {
                let (passing, body) = Passing::new(size);
                let sending = match &mut self.upload {
                    Some(upload) => upload.pass(size, body),
                    None => self.pass(size, body),
                };
                Kind::Passed(passing, sending)
            }
            (None, None) => {
                return Err(Error::Unavailable { doing: DOING, why: "no memory is free".into() });
            }
        };
        Ok(Piece { kind, filled: 0, size })
    }

    async fn begin_upload(&self) -> Result<Upload, Error> {
        let key = checked(self.key.clone())?;
        let id = multipart::create(&self.store, &key, &self.attributes).await?;
        Ok(Upload {
            store: Arc::clone(&self.store),
            key,
            id,
            sending: VecDeque::new(),
            sent: Vec::new(),
            next: 1,
            open: true,
        })
    }

    /// Puts the whole blob from a body that cannot be sent again.
    fn pass(&self, length: u64, body: ByteStream) -> Sending {
        let request = self
            .store
            .client
            .put_object()
            .bucket(self.store.bucket())
            .key(&self.key)
            .set_content_type(self.attributes.content_type.clone())
            .set_cache_control(self.attributes.cache_control.clone())
            .content_length(i64::try_from(length).unwrap_or(i64::MAX))
            .body(body);
        Sending(tokio::spawn(async move {
            let sent = request.send().await.map_err(Failure::from);
            let tag = sent.and_then(|sent| Failure::unless_tagged(sent.e_tag()));
            tag.map_err(|failure| failure.error(DOING))
        }))
    }

    /// Puts the whole blob from memory.
    async fn put(&self, held: &Buffered) -> Result<(), Error> {
        let length = i64::try_from(held.len()).unwrap_or(i64::MAX);
        let digest = |algorithm| {
            held.digest(move |chunks| {
                let mut digests = Digests::new([algorithm]);
                chunks.for_each(|chunk| digests.update(chunk));
                digests.finish().get(algorithm).map(|digest| STANDARD.encode(digest))
            })
        };
        loop {
            let plain = self.store.is_plain();
            let (crc32, md5) = if plain {
                (None, digest(Algorithm::Md5).await?)
            } else {
                (digest(Algorithm::Crc32).await?, None)
            };
            let put = retrying(self.store.patience(), |_| {
                let request = self
                    .store
                    .client
                    .put_object()
                    .bucket(self.store.bucket())
                    .key(&self.key)
                    .set_content_type(self.attributes.content_type.clone())
                    .set_cache_control(self.attributes.cache_control.clone())
                    .content_length(length)
                    .set_checksum_crc32(crc32.clone())
                    .set_content_md5(md5.clone())
                    .body(held.body());
                async move { Failure::unless_tagged(request.send().await?.e_tag()) }
            });
            match put.await {
                Ok(_) => return Ok(()),
                Err(failure) if !plain && self.store.gives_up_checksums(&failure) => {}
                Err(failure) => return Err(failure.error(DOING)),
            }
        }
    }

    /// A piece is full and more is to come, or it is the last of several.
    async fn dispatch(&mut self, piece: Piece) -> Result<(), Error> {
        self.before += piece.filled;
        if self.upload.is_none() {
            self.upload = Some(self.begin_upload().await?);
        }
        if let Some(upload) = &mut self.upload {
            upload.send(piece).await?;
        }
        Ok(())
    }
}

impl Upload {
    /// Sends a part from a body that cannot be sent again.
    fn pass(&mut self, length: u64, body: ByteStream) -> Sending {
        let request = self
            .store
            .client
            .upload_part()
            .bucket(self.store.bucket())
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(i32::try_from(self.next).unwrap_or(i32::MAX))
            .content_length(i64::try_from(length).unwrap_or(i64::MAX))
            .body(body);
        Sending(tokio::spawn(async move {
            let sent = request.send().await.map_err(Failure::from);
            let tag = sent.and_then(|sent| Failure::unless_tagged(sent.e_tag()));
            tag.map_err(|failure| failure.error(DOING))
        }))
    }

    async fn send(&mut self, piece: Piece) -> Result<(), Error> {
        if u64::from(self.next) > MAX_PARTS {
            let source = io::Error::other("more parts than an upload may have");
            return Err(Error::Io { doing: DOING, source });
        }
        let (number, size) = (self.next, piece.filled);
        self.next += 1;
        let sending = match piece.kind {
            Kind::Passed(passing, sending) => {
                passing.end().await;
                sending
            }
            Kind::Held(held) => {
                let (store, key, id) = (Arc::clone(&self.store), self.key.clone(), self.id.clone());
                Sending(tokio::spawn(async move {
                    let md5 = held.digest(md5).await?;
                    let number = i32::try_from(number).unwrap_or(i32::MAX);
                    multipart::put_part(&store, &key, &id, number, &held, md5).await
                }))
            }
        };
        self.sending.push_back((number, size, sending));
        Ok(())
    }

    /// Waits until no more than `left` parts are under way.
    async fn wait(&mut self, left: usize) -> Result<(), Error> {
        while self.sending.len() > left {
            let Some((number, size, sending)) = self.sending.pop_front() else { break };
            let etag = sending.answer().await?;
            self.sent.push(PartInfo { number, etag, size });
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), Error> {
        self.wait(0).await?;
        let attributes = BlobAttributes::default();
        multipart::complete(&self.store, &self.key, &self.id, &self.sent, &attributes).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.sending.clear();
        if !self.open {
            return;
        }
        let (store, key) = (Arc::clone(&self.store), std::mem::take(&mut self.key));
        let id = std::mem::take(&mut self.id);
        // Without a runtime the process is at its end, and its ledger tells the next one.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = multipart::abort(&store, &key, &id).await {
                    tracing::warn!(%error, "an unfinished upload could not be aborted yet");
                }
            });
        }
    }
}

/// MD5 of a piece.
pub(crate) fn md5(chunks: &mut dyn Iterator<Item = &[u8]>) -> [u8; 16] {
    let mut digests = Digests::new([Algorithm::Md5]);
    chunks.for_each(|chunk| digests.update(chunk));
    digests.finish().md5().unwrap_or_default()
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        while !chunk.is_empty() {
            let mut piece = match self.piece.take() {
                // It is full, and this is not the end.
                Some(piece) if piece.filled == piece.size => {
                    self.dispatch(piece).await?;
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
            piece.filled += now.len() as u64;
            match &mut piece.kind {
                Kind::Held(held) => held.push(now),
                Kind::Passed(passing, _) => {
                    if !passing.push(now).await {
                        return Err(gone(piece).await);
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
            (None, false) => self.put(&Buffered::default()).await,
            (Some(Piece { kind: Kind::Held(held), .. }), false) => self.put(&held).await,
            (Some(Piece { kind: Kind::Passed(passing, sending), .. }), false) => {
                passing.end().await;
                sending.answer().await.map(drop)
            }
            (piece, true) => {
                if let Some(piece) = piece {
                    self.dispatch(piece).await?;
                }
                match self.upload.take() {
                    Some(upload) => upload.finish().await,
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

/// Why nobody takes a passed piece's bytes.
async fn gone(piece: Piece) -> Error {
    let early = || Error::Unavailable { doing: DOING, why: "an answer before its time".into() };
    match piece.kind {
        Kind::Passed(_, sending) => sending.answer().await.err().unwrap_or_else(early),
        Kind::Held(_) => early(),
    }
}
