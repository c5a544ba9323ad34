//! Blobs as plain files, in the layout of the reference, so that either server can serve what the
//! other has written:
//!
//! ```text
//! <root>/<root bucket>/<tenant>/<bucket>/<key…>/<version>                  a blob
//! <root>/multiparts/<upload id>/<root bucket>/…/<version>/part-<n>         a part
//! <root>/<root bucket>/.rowlock/tmp/<uuid>                                 being written
//! <root>/<root bucket>/.rowlock/growing/<tenant>/<version>                 grows over several requests
//! <root>/<root bucket>/.rowlock/long/<tenant>/<sha256>/<version or null>   keys that do not fit
//! ```
//!
//! `long` holds keys with a segment of over 255 bytes, blobs whose folder cannot be made
//! because another blob's file has its name, and version-less files that were moved out of the
//! way of such a folder. `<sha256>` is that of `<bucket>/<key>` without empty segments. A blob is
//! looked for there whenever it is not at its usual place.
//!
//! Linux only: the system calls that make this fast (`openat2`, `preadv2`, `copy_file_range`)
//! are Linux's own.

mod budget;
mod copy;
#[cfg(test)]
mod durability_tests;
mod folders;
mod growing;
#[cfg(test)]
mod growing_tests;
mod layout;
#[cfg(test)]
mod limits_tests;
mod list;
#[cfg(test)]
mod list_tests;
mod multipart;
mod open;
mod quarantine;
mod read;
mod sweep;
mod sys;
mod temp;
#[cfg(test)]
mod tests;
mod writer;

use crate::{
    BlobAttributes, BlobBody, BlobKey, BlobStore, BlobWriter, Error, Found, JoinedBlob,
    MultipartBlob, PartInfo,
};
use async_trait::async_trait;
use budget::Budget;
use folders::{DurableFolders, Target};
use futures_util::stream::BoxStream;
use layout::Layout;
use open::OpenFiles;
use rowlock_types::UploadId;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use sys::failed;
use temp::Temp;
use tokio::task::JoinHandle;
use writer::FileWriter;

/// Up to how many bytes are written or read in one go, kept in memory meanwhile.
const SMALL: usize = 256 << 10;

/// What is copied in no more than an instant, in bytes.
const SHORT_COPY: u64 = 16 << 20;

/// How many bytes are kept in memory for all clients that take what was read, or that send what
/// is still small, before each gets less of it.
const FOR_READERS: usize = 16 << 20;
const FOR_WRITERS: usize = 16 << 20;

/// What stands between a blob's key and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Separator {
    /// `/`: a key's last segment is a folder that holds its versions.
    #[default]
    Slash,
    /// `-$v-` (`TUS_USE_FILE_VERSION_SEPARATOR`).
    DashV,
}

/// Where the files are.
#[derive(Debug, Clone)]
pub struct FileSettings {
    /// The root folder; made when it is missing.
    pub root: PathBuf,
    /// The root bucket: one folder name.
    pub root_bucket: String,
    /// The tenant: one folder name, not `.rowlock`.
    pub tenant: String,
    /// The same for all blobs: another one finds none of the existing blobs.
    pub separator: Separator,
}

/// Why a store cannot be opened, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The tenant's name cannot be a folder of its own.
    #[error("the tenant id must be one folder name, and not \".rowlock\", for files to be kept")]
    Tenant,
    /// The root bucket's name cannot be a folder of its own.
    #[error(
        "the root bucket must be one folder name, and not \".rowlock\" or \"multiparts\", for \
         files to be kept"
    )]
    RootBucket,
    /// The root folder cannot be made or opened.
    #[error("the folder for files cannot be made or opened: {0}")]
    Root(#[source] std::io::Error),
    /// Nothing can be written in the root folder.
    #[error("the folder for files cannot be written to by this user: {0}")]
    NotWritable(#[source] Error),
}

/// Keeps blobs as files. Cheap to clone.
#[derive(Clone)]
pub struct FileStore(Arc<Inner>);

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileStore").field(&self.0.layout).finish()
    }
}

#[derive(Debug)]
struct Inner {
    /// The root folder. Held open, so that paths stay short and a moved root stays ours.
    root: OwnedFd,
    layout: Layout,
    durable: DurableFolders,
    held_for_readers: Arc<Budget>,
    held_for_writers: Arc<Budget>,
    open_files: OpenFiles,
    /// Found out once: the file system keeps no user attributes.
    no_xattrs: AtomicBool,
    /// Found out once: files cannot be opened or read from the cache alone.
    no_cached_reads: AtomicBool,
    #[cfg(test)]
    watch: durability_tests::Watch,
}

impl FileStore {
    /// Opens the store: makes the root and our own folder in it, durably, and checks that files
    /// can be written there. Blocks for a few milliseconds.
    ///
    /// # Errors
    /// When a name does not fit or the folder cannot be used; see [`OpenError`].
    pub fn open(settings: FileSettings) -> Result<Self, OpenError> {
        let layout = Layout::new(&settings)?;
        let root =
            folders::make_root(&settings.root).map_err(|errno| OpenError::Root(errno.into()))?;
        let store = Arc::new(Inner {
            root,
            layout,
            durable: DurableFolders::default(),
            held_for_readers: Budget::new(FOR_READERS),
            held_for_writers: Budget::new(FOR_WRITERS),
            open_files: OpenFiles::default(),
            no_xattrs: AtomicBool::new(false),
            no_cached_reads: AtomicBool::new(false),
            #[cfg(test)]
            watch: durability_tests::Watch::default(),
        });
        let probe = || {
            let tmp = &store.layout.tmp;
            store.ensure_folder(tmp).map_err(failed("making a folder"))?;
            let mut temp = Temp::create(&store)?;
            temp.append(b"can this folder be written to?")?;
            temp.sync()
        };
        probe().map_err(OpenError::NotWritable)?;
        Ok(Self(store))
    }

    /// Keeps at most so many files open, most of them for clients that read or write large blobs;
    /// whoever comes on top of those waits for two seconds and is told [`Error::Busy`], all others
    /// wait for their turn. To be called once; without it there is no such limit.
    pub fn limit_open_files(&self, most: usize) {
        self.0.open_files.limit(most);
    }

    /// Removes temporary files of ours that nobody has touched for `older_than` (a day: an upload
    /// may be slow, and other servers may share the root). Returns how many were removed.
    ///
    /// # Errors
    /// When the folder of temporary files cannot be read.
    pub async fn sweep_tmp(&self, older_than: std::time::Duration) -> Result<u64, Error> {
        let store = Arc::clone(&self.0);
        blocking(move || store.sweep_tmp(older_than)).await
    }
}

#[async_trait]
impl BlobStore for FileStore {
    fn writer(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
        length: Option<u64>,
    ) -> Box<dyn BlobWriter> {
        let target = self.0.blob_target(blob);
        Box::new(FileWriter::new(Arc::clone(&self.0), Ok(target), attributes.clone(), length))
    }

    async fn read(&self, blob: &BlobKey, size: u64, range: Range<u64>) -> Result<BlobBody, Error> {
        read::read(&self.0, blob, size, range).await
    }

    async fn head(&self, blob: &BlobKey) -> Result<u64, Error> {
        let _turn = self.0.open_files.turn().await;
        read::open(&self.0, blob).await.map(|opened| opened.size)
    }

    async fn copy(
        &self,
        from: &BlobKey,
        size: u64,
        to: &BlobKey,
        attributes: &BlobAttributes,
    ) -> Result<Option<String>, Error> {
        let (from, target, attributes) = (from.clone(), self.0.blob_target(to), attributes.clone());
        self.0
            .copying(size, move |store| {
                let source = store.open_blob(&from)?;
                let mut temp = Temp::create(store)?;
                copy::whole(&source, &mut temp)?;
                temp.set_attributes(&attributes)?;
                temp.sync()?;
                store.place(temp, &target)?;
                Ok(None)
            })
            .await
    }

    async fn delete(&self, blobs: &[BlobKey]) -> Vec<Result<(), Error>> {
        let store = Arc::clone(&self.0);
        let owned = blobs.to_vec();
        let all =
            blocking(move || Ok(owned.iter().map(|blob| store.delete(blob)).collect::<Vec<_>>()));
        match all.await {
            Ok(answers) => answers,
            // The thread is gone; every blob may still be there.
            Err(_) => {
                blobs.iter().map(|_| Err(failed("deleting a file")(Errno::CANCELED))).collect()
            }
        }
    }

    async fn create_multipart(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
    ) -> Result<UploadId, Error> {
        let upload = MultipartBlob { upload_id: UploadId::random(), blob: blob.clone() };
        let id = upload.upload_id.clone();
        let attributes = attributes.clone();
        self.0.in_turn(move |store| multipart::create(store, &upload, &attributes)).await?;
        Ok(id)
    }

    fn part_writer(
        &self,
        upload: &MultipartBlob,
        number: u32,
        length: Option<u64>,
    ) -> Box<dyn BlobWriter> {
        let target = self
            .0
            .layout
            .part(upload, number)
            .map(|place| Target { place, aside: None, fresh: false })
            .ok_or("its upload id is not one of files");
        Box::new(FileWriter::new(Arc::clone(&self.0), target, BlobAttributes::default(), length))
    }

    async fn complete_multipart(
        &self,
        upload: &MultipartBlob,
        parts: &[PartInfo],
        attributes: &BlobAttributes,
    ) -> Result<JoinedBlob, Error> {
        let (upload, parts, attributes) = (upload.clone(), parts.to_vec(), attributes.clone());
        let size = parts.iter().map(|part| part.size).sum();
        let join =
            move |store: &Arc<Inner>| multipart::complete(store, &upload, &parts, &attributes);
        let joined = self.0.copying(size, join).await;
        joined.map(|(version, size)| JoinedBlob { version: Some(version), size, etag: None })
    }

    async fn remove_multipart(&self, upload: &MultipartBlob) -> Result<(), Error> {
        let upload = upload.clone();
        self.0.in_turn(move |store| multipart::remove(store, &upload)).await
    }

    fn list(&self) -> BoxStream<'static, Result<Found, Error>> {
        list::list(Arc::clone(&self.0))
    }

    fn names(&self, blob: &BlobKey) -> Vec<String> {
        let Target { place, aside, .. } = self.0.blob_target(blob);
        [Some(place), aside].into_iter().flatten().map(|it| it.path().to_owned()).collect()
    }

    async fn exists(&self, name: &str) -> Result<bool, Error> {
        let (store, name) = (Arc::clone(&self.0), name.to_owned());
        blocking(move || match rustix::fs::statat(&store.root, &*name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(failed("looking at a file")(errno)),
        })
        .await
    }

    async fn quarantine(&self, name: &str) -> Result<String, Error> {
        let (store, name) = (Arc::clone(&self.0), name.to_owned());
        blocking(move || store.quarantine(&name)).await
    }
}

impl Inner {
    /// Does what has a few files open for as long as a disk takes, on a thread that may wait.
    async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.open_files.turn().await;
        self.with_files(turn, work).await
    }

    /// Does what reads and writes `size` bytes in all, on a thread that may wait.
    async fn copying<T: Send + 'static>(
        self: &Arc<Self>,
        size: u64,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if size <= SHORT_COPY {
            return self.in_turn(work).await;
        }
        let both = self.open_files.lasting(2).await?;
        self.with_files(both, work).await
    }

    /// What `files` are held for may go on when the caller is gone.
    async fn with_files<T: Send + 'static>(
        self: &Arc<Self>,
        files: impl Send + 'static,
        work: impl FnOnce(&Arc<Self>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(self);
        blocking(move || {
            let done = work(&store);
            drop(files);
            done
        })
        .await
    }

    fn blob_target(&self, blob: &BlobKey) -> Target {
        let place = self.layout.blob(blob);
        let aside = Some(self.layout.aside(blob)).filter(|aside| *aside != place);
        Target { place, aside, fresh: true }
    }

    /// Removes a blob wherever it is, the files that the reference keeps beside it, and folders
    /// that got empty. Not durable: deletions are repeated from the outbox until a later look
    /// finds nothing, and a file that comes back after a power loss is one that no row names.
    fn delete(&self, blob: &BlobKey) -> Result<(), Error> {
        let target = self.blob_target(blob);
        let place = &target.place;
        let removed = match blob.version {
            Some(_) => {
                let removed = self.unlink_blob(place.path())?;
                for sibling in ["json", "info"] {
                    self.unlink_blob(&format!("{}.{sibling}", place.path()))?;
                }
                removed
            }
            // Anything may be at the place of a key without a version, and there may be an older
            // file aside as well.
            None => {
                let found = rustix::fs::statat(&self.root, place.path(), AtFlags::SYMLINK_NOFOLLOW);
                if found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file()) {
                    self.unlink_blob(place.path())?;
                }
                false
            }
        };
        self.prune(place);
        if let (false, Some(aside)) = (removed, &target.aside) {
            self.unlink_blob(aside.path())?;
            self.prune(aside);
        }
        Ok(())
    }

    /// Whether there was such a file. A folder of that name counts as none and is left alone.
    fn unlink_blob(&self, path: &str) -> Result<bool, Error> {
        match self.unlink(path) {
            Ok(()) => Ok(true),
            // A sibling's name may be too long where the blob's own just fits.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG) => Ok(false),
            Err(errno) => Err(failed("deleting a file")(errno)),
        }
    }
}

/// Runs what may wait for a disk on a thread that may. Once begun it ends, even if the caller is
/// gone.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    join(tokio::task::spawn_blocking(work)).await
}

async fn join<T>(task: JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    task.await.unwrap_or_else(|lost| Err(Error::Io { doing: "file work", source: lost.into() }))
}
