//! Blobs that grow: each is a file of its own, which is renamed to its place at the end.
//!
//! Whoever has one open for writing holds an `flock` on it, and so does whoever gives it its name.
//! A writer that was cut off may have a write under way on another thread: the file stays open,
//! and the lock held, until that is done.

use super::folders::Target;
use super::layout::Place;
use super::open::Lasting;
use super::sys::{begin_write_back, failed};
use super::temp::{Temp, WRITE_BACK};
use super::{FileStore, Inner, blocking};
use crate::{BlobAttributes, BlobKey, Error, Grower, GrowingStore, Grown, Growth};
use async_trait::async_trait;
use bytes::Bytes;
use rowlock_digest::RunningMd5;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::task::JoinHandle;

const DOING: &str = "letting a file grow";
/// How often a file is opened again that was another one when its lock was had.
const ATTEMPTS: usize = 10;

/// What the store needs to go on.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    /// The digest of all bytes so far.
    md5: String,
}

fn growth(md5: &RunningMd5) -> Growth {
    let inner = serde_json::json!({ "md5": md5.to_string() });
    Growth { offset: md5.length(), inner }
}

fn noted(growth: &Growth) -> Result<RunningMd5, Error> {
    let md5 = RunningMd5::parse(&growth.noted::<Noted>()?.md5).ok();
    md5.filter(|md5| md5.length() == growth.offset).ok_or_else(Growth::foreign)
}

#[async_trait]
impl GrowingStore for FileStore {
    fn check_growing(&self, _length: u64) -> Result<(), Error> {
        // The file system says at the first byte beyond.
        Ok(())
    }

    async fn create_growing(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
        _length: Option<u64>,
        _first: Option<u64>,
    ) -> Result<Growth, Error> {
        let (place, attributes) = (self.0.growing_place(blob)?, attributes.clone());
        self.0
            .in_turn(move |store| {
                let mut temp = Temp::create(store)?;
                temp.set_attributes(&attributes)?;
                temp.sync()?;
                store.place(temp, &Target { place, aside: None, fresh: true })
            })
            .await?;
        Ok(growth(&RunningMd5::new()))
    }

    async fn grow(&self, blob: &BlobKey, growth: &Growth) -> Result<Box<dyn Grower>, Error> {
        Ok(Box::new(FileGrower::begin(&self.0, blob, growth).await?))
    }

    async fn finish_growing(
        &self,
        blob: &BlobKey,
        growth: &Growth,
        attributes: &BlobAttributes,
    ) -> Result<Grown, Error> {
        let (place, md5) = (self.0.growing_place(blob)?, noted(growth)?);
        let (target, attributes) = (self.0.blob_target(blob), attributes.clone());
        let size = growth.offset;
        self.0.in_turn(move |store| finish(store, &place, &target, size, &attributes)).await?;
        Ok(Grown { size, etag: hex::encode(md5.finish()), left: false })
    }

    async fn remove_growing(&self, blob: &BlobKey, _growth: Option<&Growth>) -> Result<(), Error> {
        let place = self.0.growing_place(blob)?;
        self.0
            .in_turn(move |store| match store.unlink(place.path()) {
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
                Err(errno) => Err(failed("removing a file that grows")(errno)),
            })
            .await
    }
}

impl Inner {
    fn growing_place(&self, blob: &BlobKey) -> Result<Place, Error> {
        let version = blob.version.ok_or(Error::UnsupportedKey("it has no version"))?;
        Ok(self.layout.growing(version))
    }

    /// Opens a file that grows and locks it for as long as it is open. What lies beyond `length`
    /// is cut off.
    fn open_growing(&self, place: &Place, length: u64) -> Result<OwnedFd, Error> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS {
            let file = match rustix::fs::openat(&self.root, place.path(), flags, Mode::empty()) {
                Ok(file) => file,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
                    return Err(Error::NotFound);
                }
                Err(errno) => return Err(failed(DOING)(errno)),
            };
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Some network file systems have no locks: whoever calls has one of its own.
                Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => {}
                Err(Errno::WOULDBLOCK) => return Err(Error::Busy { doing: DOING }),
                Err(errno) => return Err(failed(DOING)(errno)),
            }
            let found = rustix::fs::fstat(&file).map_err(failed(DOING))?;
            if !FileType::from_raw_mode(found.st_mode).is_file() {
                return Err(Error::NotFound);
            }
            // It may have got another name, or have been made anew, before the lock was had.
            let named = rustix::fs::statat(&self.root, place.path(), AtFlags::SYMLINK_NOFOLLOW);
            if !named.is_ok_and(|named| same(&named, &found)) {
                continue;
            }
            let size = u64::try_from(found.st_size).unwrap_or_default();
            if size < length {
                return Err(Error::WrongLength { expected: length, found: size });
            }
            if size > length {
                rustix::fs::ftruncate(&file, length).map_err(failed(DOING))?;
            }
            return Ok(file);
        }
        Err(Error::NotFound)
    }
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Gives a file of `size` bytes its name, or sees that it has it already.
fn finish(
    store: &Arc<Inner>,
    place: &Place,
    target: &Target,
    size: u64,
    attributes: &BlobAttributes,
) -> Result<(), Error> {
    let file = match store.open_growing(place, size) {
        Ok(file) => file,
        Err(Error::NotFound) => return finished(store, target, size),
        Err(error) => return Err(error),
    };
    // The lock lasts until both are closed: until the file has its name.
    let _lock = rustix::io::fcntl_dupfd_cloexec(&file, 0).map_err(failed(DOING))?;
    let mut temp = Temp::existing(store, place.path().to_owned(), file, size);
    temp.set_attributes(attributes)?;
    temp.sync()?;
    // Should its folder not be made durable, it stays where it is: a repeated call goes on there.
    store.place(temp, &Target { fresh: false, ..target.clone() })
}

/// Whether it was finished before, by an attempt that may not have made its folder durable.
fn finished(store: &Inner, target: &Target, size: u64) -> Result<(), Error> {
    for place in [Some(&target.place), target.aside.as_ref()].into_iter().flatten() {
        if let Some(found) = store.open_regular(place.path())? {
            if found.size != size {
                return Err(Error::WrongLength { expected: size, found: found.size });
            }
            return store.ensure_folder(place.folder()).map_err(failed("syncing a folder"));
        }
    }
    Err(Error::NotFound)
}

/// A file that grows, open and locked.
struct Open {
    file: OwnedFd,
    /// Of all bytes that count.
    md5: RunningMd5,
    handed_to_disk: u64,
    _open: Lasting,
}

impl Open {
    fn new(store: &Inner, place: &Place, md5: RunningMd5, open: Lasting) -> Result<Self, Error> {
        let file = store.open_growing(place, md5.length())?;
        Ok(Self { file, handed_to_disk: md5.length(), md5, _open: open })
    }

    /// Writes all of `bytes`, or else none of them count.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let start = self.md5.length();
        let mut done = 0;
        while done < bytes.len() {
            let at = start + done as u64;
            let written = retry_on_intr(|| rustix::io::pwrite(&self.file, &bytes[done..], at))
                .map_err(failed(DOING))?;
            if written == 0 {
                return Err(failed(DOING)(Errno::IO));
            }
            done += written;
        }
        self.md5.update(bytes);
        let pending = self.md5.length() - self.handed_to_disk;
        if pending >= WRITE_BACK {
            begin_write_back(&self.file, self.handed_to_disk, pending);
            self.handed_to_disk = self.md5.length();
        }
        Ok(())
    }
}

pub(super) struct FileGrower {
    /// `None` while a call is under way, and once a sync has failed: what the kernel still had to
    /// write may be gone then.
    file: Option<Open>,
    running: Option<JoinHandle<(Open, Result<(), Error>)>>,
    durable: Growth,
    failed: bool,
}

impl FileGrower {
    pub(super) async fn begin(
        store: &Arc<Inner>,
        blob: &BlobKey,
        growth: &Growth,
    ) -> Result<Self, Error> {
        let (place, md5) = (store.growing_place(blob)?, noted(growth)?);
        let open = store.open_files.lasting(1).await?;
        let store = Arc::clone(store);
        let begin = move || Open::new(&store, &place, md5, open);
        let file = Some(blocking(begin).await?);
        Ok(Self { file, running: None, durable: growth.clone(), failed: false })
    }

    /// Lets the next calls meet another file.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: OwnedFd) -> Option<OwnedFd> {
        self.file.as_mut().map(|open| std::mem::replace(&mut open.file, file))
    }

    /// Waits for the write that is under way.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let ended = running.await;
        self.running = None;
        let written = match ended {
            Ok((file, written)) => {
                self.file = Some(file);
                written
            }
            Err(lost) => Err(Error::Io { doing: DOING, source: lost.into() }),
        };
        self.failed |= written.is_err();
        written
    }
}

#[async_trait]
impl Grower for FileGrower {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.settle().await?;
        if self.failed {
            return Err(failed(DOING)(Errno::CANCELED));
        }
        let Some(mut file) = self.file.take() else { return Err(failed(DOING)(Errno::CANCELED)) };
        self.running = Some(tokio::task::spawn_blocking(move || {
            let written = file.append(&chunk);
            (file, written)
        }));
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Growth, Error> {
        self.sync(false).await
    }

    async fn sync(&mut self, _last: bool) -> Result<Growth, Error> {
        self.settle().await?;
        let Some(file) = self.file.take() else { return Ok(self.durable.clone()) };
        if file.md5.length() == self.durable.offset {
            self.file = Some(file);
            return Ok(self.durable.clone());
        }
        // Should it fail, or this future be dropped, the file is done with.
        let failed_before = std::mem::replace(&mut self.failed, true);
        let file = blocking(move || {
            rustix::fs::fdatasync(&file.file).map_err(failed("syncing a file"))?;
            Ok(file)
        });
        let file = file.await?;
        self.failed = failed_before;
        self.durable = growth(&file.md5);
        self.file = Some(file);
        Ok(self.durable.clone())
    }
}
