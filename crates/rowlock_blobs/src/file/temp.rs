//! Temporary files: written under a name of our own in `.rowlock/tmp`, then renamed.

use super::Inner;
use super::open::Lasting;
use super::sys::{begin_write_back, failed};
use crate::{BlobAttributes, Error};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::{Errno, retry_on_intr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// After how many new bytes the kernel is asked to begin writing them to the disk.
pub(super) const WRITE_BACK: u64 = 8 << 20;

/// A file without its final name. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Temp {
    store: Arc<Inner>,
    name: String,
    /// Empty once the file is whole, so that it may wait for its name without being open.
    file: Option<OwnedFd>,
    /// Its name is ours to remove.
    temporary: bool,
    /// What it counts as, for as long as it is open.
    open: Lasting,
    len: u64,
    handed_to_disk: u64,
}

impl Temp {
    /// Makes an empty temporary file.
    pub(super) fn create(store: &Arc<Inner>) -> Result<Self, Error> {
        let name = store.layout.tmp_name();
        let open = || {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&store.root, name.as_str(), flags, Mode::from_raw_mode(0o644))
        };
        let opened = match open() {
            // Somebody tidied up our folder.
            Err(Errno::NOENT) => store.ensure_folder(&store.layout.tmp).and_then(|()| open()),
            other => other,
        };
        let file = opened.map_err(failed("making a temporary file"))?;
        Ok(Self {
            store: Arc::clone(store),
            name,
            file: Some(file),
            temporary: true,
            open: Lasting::default(),
            len: 0,
            handed_to_disk: 0,
        })
    }

    /// One that stays open for as long as its bytes take to come.
    pub(super) fn lasting(store: &Arc<Inner>, open: Lasting) -> Result<Self, Error> {
        let mut temp = Self::create(store)?;
        temp.open = open;
        Ok(temp)
    }

    /// A file that is there already, under a name that stays for as long as it has no other.
    pub(super) fn existing(store: &Arc<Inner>, name: String, file: OwnedFd, len: u64) -> Self {
        Self {
            store: Arc::clone(store),
            name,
            file: Some(file),
            temporary: false,
            open: Lasting::default(),
            len,
            handed_to_disk: len,
        }
    }

    /// Its path, relative to the root.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number of bytes written.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The file, open for writing at its end.
    pub(super) fn file(&self) -> Result<&OwnedFd, Error> {
        self.file.as_ref().ok_or_else(|| failed("writing a file")(Errno::BADF))
    }

    /// Appends all of `bytes`.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let file = self.file()?;
            let written = retry_on_intr(|| rustix::io::write(file, bytes))
                .map_err(failed("writing a file"))?;
            if written == 0 {
                return Err(failed("writing a file")(Errno::IO));
            }
            bytes = &bytes[written..];
            self.grown(written as u64)?;
        }
        Ok(())
    }

    /// Counts bytes that were appended. Long files begin to go to the disk while they are still
    /// written, so that the fsync at the end does not stall.
    pub(super) fn grown(&mut self, bytes: u64) -> Result<(), Error> {
        self.len += bytes;
        let pending = self.len - self.handed_to_disk;
        if pending >= WRITE_BACK {
            begin_write_back(self.file()?, self.handed_to_disk, pending);
            self.handed_to_disk = self.len;
        }
        Ok(())
    }

    /// Attaches what the reference keeps beside the bytes of an object.
    pub(super) fn set_attributes(&self, attributes: &BlobAttributes) -> Result<(), Error> {
        self.set("user.supabase.content-type", attributes.content_type.as_deref())?;
        self.set("user.supabase.cache-control", attributes.cache_control.as_deref())
    }

    /// Attaches what the reference keeps beside the bytes of a part.
    pub(super) fn set_etag(&self, etag: &str) -> Result<(), Error> {
        self.set("user.supabase.etag", Some(etag))
    }

    /// Extended attributes only serve the way back to the reference (the rows have the same), so
    /// a file system without them, or one whose room for them is used up, is no failure.
    fn set(&self, name: &str, value: Option<&str>) -> Result<(), Error> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(()) };
        if self.store.no_xattrs.load(Ordering::Relaxed) {
            return Ok(());
        }
        let set = rustix::fs::fsetxattr(self.file()?, name, value.as_bytes(), XattrFlags::empty());
        match set {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::NOSYS) => {
                if !self.store.no_xattrs.swap(true, Ordering::Relaxed) {
                    tracing::info!(
                        "the blob folder's file system has no user attributes: content types are \
                         kept in the database alone"
                    );
                }
            }
            Err(errno) => tracing::debug!(%errno, name, "an attribute of a blob was not kept"),
        }
        Ok(())
    }

    /// Makes the bytes and attributes durable, and closes the file.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        rustix::fs::fsync(self.file()?).map_err(failed("syncing a file"))?;
        self.file = None;
        self.open = Lasting::default();
        Ok(())
    }

    /// The file has another name now, and stays.
    pub(super) fn renamed(mut self) {
        self.temporary = false;
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.temporary {
            return;
        }
        let store = Arc::clone(&self.store);
        let name = std::mem::take(&mut self.name);
        let held = (self.file.take(), std::mem::take(&mut self.open));
        let remove = move || {
            let _ = store.unlink(&name);
            drop(held);
        };
        // To free a long file's blocks takes a while: not on a reactor thread.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if self.len > super::SMALL as u64 => {
                runtime.spawn_blocking(remove);
            }
            _ => remove(),
        }
    }
}
