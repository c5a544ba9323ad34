//! Reading blobs.
//!
//! What is in the page cache is read on the thread that asks, without a hop to another: both the
//! opening and the reading say "only if nothing has to be waited for", and go to a blocking
//! thread when something has. No thread is held while a client is slow; what is held for it, bytes
//! and an open file, counts towards the store's budgets.

use super::budget::Held;
use super::copy::Source;
use super::open::Lasting;
use super::sys::{failed, read_cached};
use super::{Inner, SMALL, blocking, join};
use crate::{BlobBody, BlobKey, Error};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use rustix::fd::OwnedFd;
use rustix::fs::{Advice, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::JoinHandle;

/// The length of a chunk that comes from the cache.
const CHUNK: usize = 256 << 10;
/// The length of a chunk that a blocking thread reads ahead.
const CHUNK_AHEAD: usize = 512 << 10;
/// The length of a chunk where very many bytes are held already.
pub(super) const LEAST: usize = 4 << 10;
/// Up to this length nothing is counted: it costs less than the counting is worth.
const UNCOUNTED: usize = 16 << 10;

/// Reads a range; see [`crate::BlobStore::read`].
pub(super) async fn read(
    store: &Arc<Inner>,
    blob: &BlobKey,
    size: u64,
    range: Range<u64>,
) -> Result<BlobBody, Error> {
    let end = range.end.min(size);
    let start = range.start.min(end);
    let way = Way::of(store, end - start).await?;
    let turn = store.open_files.turn().await;
    let Source { file, size: found } = open(store, blob).await?;
    if found != size {
        return Err(Error::WrongLength { expected: size, found });
    }
    let mut reader =
        Reader { file: Arc::new(file), store: Arc::clone(store), at: start, end, size };
    match way {
        Way::Nothing => Ok(BlobBody::Bytes(Bytes::new())),
        Way::Whole(length, held) => {
            let buffer = reader.chunk(length).await?;
            Ok(BlobBody::Bytes(match held {
                Some(held) => held.bytes(buffer),
                None => buffer.into(),
            }))
        }
        Way::Stream(open) => {
            drop(turn);
            // Doubles the kernel's read-ahead. That it may fail does not matter.
            let length = std::num::NonZeroU64::new(end - start);
            let _ = rustix::fs::fadvise(&*reader.file, start, length, Advice::Sequential);
            Ok(BlobBody::Stream(reader.into_stream(open)))
        }
    }
}

/// How bytes go to whoever asks for them.
enum Way {
    Nothing,
    /// So many, read before they are answered, with what of the budget they hold.
    Whole(usize, Option<Held>),
    /// Read while they are sent.
    Stream(Lasting),
}

impl Way {
    async fn of(store: &Inner, length: u64) -> Result<Self, Error> {
        Ok(match usize::try_from(length) {
            Ok(0) => Self::Nothing,
            Ok(length) if length <= UNCOUNTED => Self::Whole(length, None),
            Ok(length)
                if length <= SMALL
                    && let held = store.held_for_readers.share(length, LEAST)
                    && held.amount() == length =>
            {
                Self::Whole(length, Some(held))
            }
            _ => Self::Stream(store.open_files.lasting(1).await?),
        })
    }
}

/// Opens a blob's file and tells its length.
pub(super) async fn open(store: &Arc<Inner>, blob: &BlobKey) -> Result<Source, Error> {
    if let Some(opened) = store.open_cached(store.layout.blob(blob).path()) {
        return Ok(opened);
    }
    let (store, blob) = (Arc::clone(store), blob.clone());
    blocking(move || store.open_blob(&blob)).await
}

/// A pipe with a blob's name must not hold up whoever opens it; for files this says nothing.
const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

impl Inner {
    /// Opens a regular file if that can be done without waiting. `None` says nothing: look
    /// properly.
    fn open_cached(&self, path: &str) -> Option<Source> {
        if self.no_cached_reads.load(Ordering::Relaxed) {
            return None;
        }
        match rustix::fs::openat2(&self.root, path, OPEN, Mode::empty(), ResolveFlags::CACHED) {
            Ok(file) => regular(file).ok().flatten(),
            // Linux before 5.12, or a sandbox.
            Err(Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::TOOBIG) => {
                self.no_cached_reads.store(true, Ordering::Relaxed);
                None
            }
            Err(_) => None,
        }
    }

    /// Opens a blob's file at its own place, or aside.
    pub(super) fn open_blob(&self, blob: &BlobKey) -> Result<Source, Error> {
        let target = self.blob_target(blob);
        for place in [Some(&target.place), target.aside.as_ref()].into_iter().flatten() {
            if let Some(opened) = self.open_regular(place.path())? {
                return Ok(opened);
            }
        }
        Err(Error::NotFound)
    }

    /// Opens a regular file; `None` when there is none of that name.
    pub(super) fn open_regular(&self, path: &str) -> Result<Option<Source>, Error> {
        match rustix::fs::openat(&self.root, path, OPEN, Mode::empty()) {
            Ok(file) => regular(file),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
            Err(errno) => Err(failed("opening a file")(errno)),
        }
    }
}

fn regular(file: OwnedFd) -> Result<Option<Source>, Error> {
    let found = rustix::fs::fstat(&file).map_err(failed("looking at a file"))?;
    let size = u64::try_from(found.st_size).unwrap_or_default();
    Ok(FileType::from_raw_mode(found.st_mode).is_file().then_some(Source { file, size }))
}

/// What is still to be read of a file.
struct Reader {
    file: Arc<OwnedFd>,
    store: Arc<Inner>,
    at: u64,
    end: u64,
    /// The file's length, for errors.
    size: u64,
}

impl Reader {
    /// The next `length` bytes: from the cache if they are there, else from a blocking thread.
    async fn chunk(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let mut buffer = Vec::with_capacity(length);
        self.fill_cached(&mut buffer, length);
        if buffer.len() < length {
            buffer = join(self.fill(buffer, length)).await?;
        }
        self.at += buffer.len() as u64;
        Ok(buffer)
    }

    /// Reads from the cache up to `length` bytes in all, as far as they are there.
    fn fill_cached(&self, buffer: &mut Vec<u8>, length: usize) {
        while buffer.len() < length && !self.store.no_cached_reads.load(Ordering::Relaxed) {
            let offset = self.at + buffer.len() as u64;
            match read_cached(&*self.file, buffer, length - buffer.len(), offset) {
                // The end comes too early: the blocking read will say so.
                Ok(0) | Err(Errno::AGAIN) => return,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
                    self.store.no_cached_reads.store(true, Ordering::Relaxed);
                }
                Err(_) => return,
            }
        }
    }

    /// Begins to read on a blocking thread until `buffer` holds `length` bytes from `at` on.
    fn fill(&self, mut buffer: Vec<u8>, length: usize) -> JoinHandle<Result<Vec<u8>, Error>> {
        let (file, at, size) = (Arc::clone(&self.file), self.at, self.size);
        tokio::task::spawn_blocking(move || {
            buffer.reserve_exact(length - buffer.len());
            while buffer.len() < length {
                let offset = at + buffer.len() as u64;
                let read = retry_on_intr(|| {
                    let room = rustix::buffer::spare_capacity(&mut buffer);
                    rustix::io::pread(&*file, room, offset)
                });
                match read {
                    Ok(0) => return Err(Error::WrongLength { expected: size, found: offset }),
                    Ok(_) => {}
                    Err(errno) => return Err(failed("reading a file")(errno)),
                }
            }
            buffer.truncate(length);
            Ok(buffer)
        })
    }

    /// Room for the next chunk: what is left, at most `most`, or less where much is held already.
    fn hold(&self, most: usize) -> Option<Held> {
        let left = usize::try_from(self.end - self.at).map_or(most, |left| left.min(most));
        (left > 0).then(|| self.store.held_for_readers.share(left, LEAST))
    }

    fn into_stream(self, open: Lasting) -> BoxStream<'static, Result<Bytes, Error>> {
        // Once a chunk was not in the cache, the next one is read ahead of the client, and so on.
        type Ahead = Option<(JoinHandle<Result<Vec<u8>, Error>>, Held)>;
        let start: Option<(Self, Lasting, Ahead)> = Some((self, open, None));
        stream::unfold(start, |state| async move {
            let (mut reader, open, ahead) = state?;
            let (result, held) = match ahead {
                Some((ahead, held)) => (join(ahead).await, held),
                None => {
                    let held = reader.hold(CHUNK)?;
                    let length = held.amount();
                    let mut buffer = Vec::with_capacity(length);
                    reader.fill_cached(&mut buffer, length);
                    if buffer.len() == length {
                        reader.at += length as u64;
                        return Some((Ok(held.bytes(buffer)), Some((reader, open, None))));
                    }
                    (join(reader.fill(buffer, length)).await, held)
                }
            };
            match result {
                Ok(buffer) => {
                    reader.at += buffer.len() as u64;
                    let next = reader
                        .hold(CHUNK_AHEAD)
                        .map(|next| (reader.fill(Vec::new(), next.amount()), next));
                    Some((Ok(held.bytes(buffer)), Some((reader, open, next))))
                }
                // An error is the last item.
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}
