//! Folders: making them, giving a finished file its name in one, making both durable, and
//! removing those that got empty.
//!
//! # What makes a file durable
//! After `fsync(file)` and `rename`, a file survives a power loss once its folder is synced and,
//! for every folder above, the entry of that folder in its parent. Folders that this call made
//! are plain: their parents are synced. A folder that was there already may have been made an
//! instant ago by another task, or by another process that shares the root and syncs nothing at
//! all, so "it exists" never means "it is durable": the walk goes on upwards, syncing each
//! parent, until it meets a folder that is known to be durable ([`DurableFolders`]) or the root.
//!
//! # What is known to be durable
//! A folder whose chain of parents this process has synced *while one of its own files lay in
//! it*. It is remembered by identity (device, inode, time of birth), never by path, so a folder
//! that anyone removes and makes again under the same path is a stranger and is synced again.
//! Inode numbers are reused, and clocks tick in milliseconds: a folder is remembered only when it
//! is older than [`SETTLED`], so that no later folder can have its time of birth. While a folder
//! lives, its parents cannot be removed (they are not empty), and nobody renames folders in here;
//! so one look at the lowest folder vouches for the whole chain. File systems that tell no time
//! of birth just pay for the whole walk every time.
//!
//! # Races with removal
//! `rmdir` takes only empty folders, atomically. A writer whose folder is removed between its
//! `mkdir` and its `rename` gets ENOENT and begins again.

use super::Inner;
use super::layout::{Place, may_be_versioned};
use super::sys::failed;
use super::temp::Temp;
use crate::Error;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often a writer begins again when others remove its folder.
const ATTEMPTS: usize = 1000;
/// The age from which a folder is remembered: ten times the coarsest clock tick (10 ms).
const SETTLED: Duration = Duration::from_millis(100);
/// How many folders are remembered: about 1 MiB.
const REMEMBERED: usize = 16_384;

/// Where a finished file goes.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) place: Place,
    /// Where to go when something that is no folder is in the way, if that is another place.
    pub(super) aside: Option<Place>,
    /// Whether nothing can have had this name before, as with every blob.
    pub(super) fresh: bool,
}

/// Which folder: device, inode, time of birth.
type Identity = (u32, u32, u64, i64, u32);

/// The folders that are known to be durable, with all above them.
#[derive(Debug, Default)]
pub(super) struct DurableFolders(Mutex<HashSet<Identity>>);

impl DurableFolders {
    fn contains(&self, folder: &Identity) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }

    fn remember(&self, folders: Vec<Identity>) {
        if !folders.is_empty() {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() + folders.len() > REMEMBERED {
                known.clear();
            }
            known.extend(folders);
        }
    }
}

/// Whether a place could be cleared.
enum Way {
    Clear,
    Blocked,
}

impl Inner {
    /// Renames a synced file to its place, makes missing folders, and returns when all of it is
    /// durable.
    pub(super) fn place(&self, temp: Temp, target: &Target) -> Result<(), Error> {
        let mut temp = Some(temp);
        if let Way::Clear = self.try_place(&mut temp, &target.place, target)? {
            return Ok(());
        }
        if let Some(aside) = &target.aside
            && let Way::Clear = self.try_place(&mut temp, aside, target)?
        {
            return Ok(());
        }
        Err(failed("giving a file its name")(Errno::EXIST))
    }

    fn try_place(
        &self,
        temp: &mut Option<Temp>,
        place: &Place,
        target: &Target,
    ) -> Result<Way, Error> {
        for _ in 0..ATTEMPTS {
            let tried = self.make_folder(place.folder()).and_then(|made| {
                let name = temp.as_ref().map_or("", |temp| temp.name());
                rustix::fs::renameat(&self.root, name, &self.root, place.path()).map(|()| made)
            });
            match tried {
                Ok(made) => {
                    if let Some(temp) = temp.take() {
                        temp.renamed();
                    }
                    return self.sync_upwards(place.folder(), made).map(|()| Way::Clear).map_err(
                        |errno| {
                            // Better no blob than one that a power loss may take back.
                            if target.fresh {
                                let _ = self.unlink(place.path());
                                self.prune(place);
                            }
                            failed("syncing a folder")(errno)
                        },
                    );
                }
                Err(Errno::NOENT) => {}
                Err(Errno::NOTDIR) if target.aside.is_some() && *place == target.place => {
                    if let Way::Blocked = self.clear_the_way(place)? {
                        return Ok(Way::Blocked);
                    }
                }
                Err(Errno::NOTDIR | Errno::ISDIR) => return Ok(Way::Blocked),
                Err(errno) => return Err(failed("giving a file its name")(errno)),
            }
        }
        Err(failed("giving a file its name")(Errno::NOENT))
    }

    /// Makes a folder and the missing ones above it. Returns how many folders at the end of the
    /// path this call has made.
    fn make_folder(&self, folder: &str) -> Result<usize, Errno> {
        let make = |at: &str| rustix::fs::mkdirat(&self.root, at, Mode::from_raw_mode(0o755));
        let mut missing = Vec::new();
        let mut at = folder;
        let mut made = loop {
            match make(at) {
                Ok(()) => break 1,
                Err(Errno::EXIST) => break 0,
                Err(Errno::NOENT) => {
                    missing.push(at);
                    at = parent(at).ok_or(Errno::NOENT)?;
                }
                Err(errno) => return Err(errno),
            }
        };
        for at in missing.into_iter().rev() {
            match make(at) {
                Ok(()) => made += 1,
                Err(Errno::EXIST) => made = 0,
                Err(errno) => return Err(errno),
            }
        }
        Ok(made)
    }

    /// Makes a folder durable, in which a file of ours lies, together with every folder above it.
    /// The last `made` folders of the path are new.
    fn sync_upwards(&self, folder: &str, mut made: usize) -> Result<(), Errno> {
        let mut settled = Vec::new();
        let mut at = folder;
        loop {
            let opened = self.sync_folder(at)?;
            if at.is_empty() {
                break;
            }
            if made > 0 {
                made -= 1;
            } else if let Some((identity, old)) = identify(&opened) {
                if self.durable.contains(&identity) {
                    break;
                }
                if old {
                    settled.push(identity);
                }
            }
            at = parent(at).unwrap_or("");
        }
        self.durable.remember(settled);
        Ok(())
    }

    pub(super) fn sync_folder(&self, folder: &str) -> Result<OwnedFd, Errno> {
        let name = if folder.is_empty() { "." } else { folder };
        let opened = open_folder(&self.root, name)?;
        fsync_folder(&opened)?;
        #[cfg(test)]
        self.watch.synced(folder)?;
        Ok(opened)
    }

    /// Makes sure that a folder exists, durably, with all above it.
    pub(super) fn ensure_folder(&self, folder: &str) -> Result<(), Errno> {
        let made = self.make_folder(folder)?;
        self.sync_upwards(folder, made)
    }

    /// Looks for what stands where a folder of `place` should be. A file that can only be a
    /// version-less blob is moved out of the way; everything else is left alone.
    fn clear_the_way(&self, place: &Place) -> Result<Way, Error> {
        let folder = place.folder();
        let below = place.floor().len() + 1;
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        for end in ends.filter(|end| *end > below) {
            let path = &folder[..end];
            match rustix::fs::statat(&self.root, path, AtFlags::empty()) {
                Ok(found) if FileType::from_raw_mode(found.st_mode).is_dir() => {}
                Ok(_) => {
                    let name = path.rsplit('/').next().unwrap_or_default();
                    return match self.layout.bucket_and_key(path) {
                        Some((bucket, key)) if !may_be_versioned(name) => {
                            self.move_aside(path, &self.layout.aside_null(bucket, key))
                        }
                        _ => Ok(Way::Blocked),
                    };
                }
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Way::Clear),
                Err(errno) => return Err(failed("looking at a folder")(errno)),
            }
        }
        Ok(Way::Clear)
    }

    /// Moves a version-less blob's file to `place`, durably. By link and unlink rather than by
    /// rename, because these two can never take a folder that another writer puts there.
    fn move_aside(&self, path: &str, place: &Place) -> Result<Way, Error> {
        let doing = "moving a file aside";
        let regular = |flags| {
            rustix::fs::statat(&self.root, path, flags)
                .map(|found| FileType::from_raw_mode(found.st_mode).is_file())
        };
        if !regular(AtFlags::SYMLINK_NOFOLLOW).unwrap_or(true) {
            // A folder by now, or something that is no blob (a link, a pipe).
            let folder = rustix::fs::statat(&self.root, path, AtFlags::empty())
                .is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_dir());
            return Ok(if folder { Way::Clear } else { Way::Blocked });
        }
        let link = self.layout.tmp_name();
        match rustix::fs::linkat(&self.root, path, &self.root, link.as_str(), AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Way::Clear),
            // No hard links here, or a folder by now.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::XDEV) => {
                let still = regular(AtFlags::SYMLINK_NOFOLLOW).unwrap_or(false);
                return Ok(if still { Way::Blocked } else { Way::Clear });
            }
            Err(errno) => return Err(failed(doing)(errno)),
        }
        let mut placed = Err(Errno::NOENT);
        for _ in 0..ATTEMPTS {
            placed = self.make_folder(place.folder()).and_then(|made| {
                rustix::fs::renameat(&self.root, link.as_str(), &self.root, place.path())?;
                Ok(made)
            });
            if placed != Err(Errno::NOENT) {
                break;
            }
        }
        // A rename between two names of one file does nothing at all, so the link may be left.
        let _ = self.unlink(&link);
        let made = placed.map_err(failed(doing))?;
        self.sync_upwards(place.folder(), made).map_err(failed("syncing a folder"))?;
        match self.unlink(path) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR) => Ok(Way::Clear),
            Err(errno) => Err(failed(doing)(errno)),
        }
    }

    /// Removes the file at `path`; of a symbolic link, the link; never a folder.
    pub(super) fn unlink(&self, path: &str) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.root, path, AtFlags::empty())
    }

    /// Removes the folder of `place` and those above it as far as they are empty, but never the
    /// place's floor.
    pub(super) fn prune(&self, place: &Place) {
        let mut at = place.folder();
        while at.len() > place.floor().len() {
            if rustix::fs::unlinkat(&self.root, at, AtFlags::REMOVEDIR).is_err() {
                break;
            }
            match parent(at) {
                Some(above) => at = above,
                None => break,
            }
        }
    }
}

/// Makes the root folder with the missing ones above it, durably.
pub(super) fn make_root(root: &Path) -> Result<OwnedFd, Errno> {
    let mut new = Vec::new();
    let mut at = root;
    while let Err(errno) = rustix::fs::mkdir(at, Mode::from_raw_mode(0o755)) {
        match (errno, at.parent()) {
            (Errno::NOENT, Some(above)) if !above.as_os_str().is_empty() => {
                new.push(at);
                at = above;
            }
            (Errno::EXIST, _) => break,
            _ => return Err(errno),
        }
    }
    for at in new.iter().rev() {
        match rustix::fs::mkdir(*at, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    // Whoever made the root, its entry is durable once its parent is synced; a parent that may
    // not be opened by this user (the root is a mount, or was given to it) is not ours to sync.
    for at in new.into_iter().chain([at]) {
        let above = at.parent().filter(|above| !above.as_os_str().is_empty());
        if let Ok(above) = open_folder(CWD, above.unwrap_or(Path::new("."))) {
            fsync_folder(&above)?;
        }
    }
    rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn open_folder(from: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(from, name, flags, Mode::empty())
}

/// Some network and user-space file systems know no fsync of folders; they say EINVAL.
fn fsync_folder(folder: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::fsync(folder) {
        Err(Errno::INVAL) => Ok(()),
        other => other,
    }
}

fn parent(path: &str) -> Option<&str> {
    path.rfind('/').map(|slash| &path[..slash])
}

/// A folder's identity, and whether it is old enough to be remembered by it; `None` where the
/// file system tells no time of birth.
fn identify(folder: &OwnedFd) -> Option<(Identity, bool)> {
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    let found = rustix::fs::statx(folder, "", AtFlags::EMPTY_PATH, wanted).ok()?;
    if !StatxFlags::from_bits_retain(found.stx_mask).contains(wanted) {
        return None;
    }
    let born = found.stx_btime;
    let since_epoch = Duration::new(u64::try_from(born.tv_sec).ok()?, born.tv_nsec);
    let age = SystemTime::now().duration_since(UNIX_EPOCH + since_epoch);
    let identity =
        (found.stx_dev_major, found.stx_dev_minor, found.stx_ino, born.tv_sec, born.tv_nsec);
    Some((identity, age.is_ok_and(|age| age >= SETTLED)))
}
