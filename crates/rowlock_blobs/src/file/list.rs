//! Looking through all files, a folder at a time: memory does not grow with their number.

use super::Inner;
use super::layout::MULTIPARTS;
use super::sys::failed;
use crate::{Error, Found, FoundKind};
use futures_util::stream::{self, BoxStream, StreamExt};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// How many findings travel together, and how many such groups may wait.
const GROUP: usize = 256;
const WAITING: usize = 4;

const DOING: &str = "looking through the files";

type Group = Result<Vec<Found>, Error>;

/// All that lies in the store for this tenant: blobs, then blobs aside, uploads, blobs that grow,
/// temporary files.
pub(super) fn list(store: Arc<Inner>) -> BoxStream<'static, Result<Found, Error>> {
    let (send, receive) = mpsc::channel::<Group>(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut sender = Sender { send, group: Vec::with_capacity(GROUP) };
        if let Err(error) = store.look_through(&mut sender) {
            let _ = sender.send.blocking_send(Err(error));
        }
        // Whether anybody still listens makes no difference at the end.
        let _ = sender.flush();
    });
    let groups = stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|group| (group, receive))
    });
    let singles = groups.flat_map(|group| match group {
        Ok(found) => stream::iter(found).map(Ok).boxed(),
        Err(error) => stream::iter([Err(error)]).boxed(),
    });
    singles.boxed()
}

/// Hands findings over; whoever listens no longer breaks the search off.
struct Sender {
    send: mpsc::Sender<Group>,
    group: Vec<Found>,
}

impl Sender {
    fn push(&mut self, found: Found) -> ControlFlow<()> {
        self.group.push(found);
        if self.group.len() >= GROUP { self.flush() } else { Continue(()) }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        let group = std::mem::replace(&mut self.group, Vec::with_capacity(GROUP));
        if group.is_empty() || self.send.blocking_send(Ok(group)).is_ok() {
            Continue(())
        } else {
            Break(())
        }
    }
}

/// What was found in a folder, but for folders, which are walked through.
struct Entry<'a> {
    /// Its path from the root; lossy where it is no UTF-8.
    path: &'a str,
    /// The folder it lies in.
    folder: &'a Dir,
    name: &'a CStr,
    stat: Stat,
    /// Whether it is a regular file with a name of UTF-8.
    regular: bool,
}

impl Inner {
    fn look_through(&self, sender: &mut Sender) -> Result<(), Error> {
        let sections = [Self::blobs, Self::aside, Self::uploads, Self::growing, Self::temporary];
        for section in sections {
            if let Break(()) = section(self, sender)? {
                break;
            }
        }
        Ok(())
    }

    fn blobs(&self, sender: &mut Sender) -> Result<ControlFlow<()>, Error> {
        let start = self.layout.tenant();
        self.walk(start, &mut |entry| {
            let inside = self.layout.bucket_and_key(entry.path).filter(|_| entry.regular);
            let kind = match inside {
                Some((bucket, path)) => FoundKind::Blob {
                    bucket: bucket.to_owned(),
                    path: path.to_owned(),
                    resumable: has_state(entry),
                },
                None => FoundKind::Odd,
            };
            sender.push(found(entry, kind))
        })
    }

    fn aside(&self, sender: &mut Sender) -> Result<ControlFlow<()>, Error> {
        self.walk(&self.layout.long_of_tenant(), &mut |entry| {
            let version = entry.path.rsplit('/').next().unwrap_or_default().to_owned();
            let kind = if entry.regular { FoundKind::Aside { version } } else { FoundKind::Odd };
            sender.push(found(entry, kind))
        })
    }

    fn growing(&self, sender: &mut Sender) -> Result<ControlFlow<()>, Error> {
        self.walk(self.layout.growing_of_tenant(), &mut |entry| {
            let version = entry.path.rsplit('/').next().unwrap_or_default().to_owned();
            let kind = if entry.regular { FoundKind::Growing { version } } else { FoundKind::Odd };
            sender.push(found(entry, kind))
        })
    }

    fn temporary(&self, sender: &mut Sender) -> Result<ControlFlow<()>, Error> {
        self.walk(&self.layout.tmp, &mut |entry| sender.push(found(entry, FoundKind::Temporary)))
    }

    /// One finding for each upload of this tenant, whatever number of parts it has.
    fn uploads(&self, sender: &mut Sender) -> Result<ControlFlow<()>, Error> {
        let Some(folder) = open(&self.root, MULTIPARTS)? else { return Ok(Continue(())) };
        for id in folder {
            let id = id.map_err(failed(DOING))?;
            let Ok(id) = id.file_name().to_str() else { continue };
            if id == "." || id == ".." {
                continue;
            }
            for start in [self.layout.tenant(), &self.layout.long_of_tenant()] {
                let mut upload: Option<Found> = None;
                let above = format!("{MULTIPARTS}/{id}/");
                let gone_on = self.walk(&format!("{above}{start}"), &mut |entry| {
                    let (size, modified) = (length(&entry.stat), modified(&entry.stat));
                    match &mut upload {
                        Some(upload) => {
                            upload.size += size;
                            upload.modified = upload.modified.max(modified);
                        }
                        None => upload = Some(self.upload(id, &above, entry.path, size, modified)),
                    }
                    Continue(())
                })?;
                let sent = upload.map_or(gone_on, |upload| sender.push(upload));
                if let Break(()) = sent {
                    return Ok(Break(()));
                }
            }
        }
        Ok(Continue(()))
    }

    /// An upload, by one of its files.
    fn upload(&self, id: &str, above: &str, path: &str, size: u64, modified: SystemTime) -> Found {
        let name = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
        let blob = self.layout.bucket_and_key(name.strip_prefix(above).unwrap_or_default());
        let (bucket, path) = blob.unwrap_or_default();
        let kind = FoundKind::Upload {
            id: id.to_owned(),
            bucket: bucket.to_owned(),
            path: path.to_owned(),
        };
        Found { name: name.to_owned(), kind, size, modified }
    }

    /// Calls for everything below a folder that is no folder itself. What goes while this looks
    /// is left out; links are not followed.
    fn walk(
        &self,
        start: &str,
        each: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let Some(first) = open(&self.root, start)? else { return Ok(Continue(())) };
        let mut path = start.to_owned();
        // One open folder for each level of depth, and where the path ends at that level.
        let mut levels = vec![(first, path.len())];
        while let Some((folder, end)) = levels.last_mut() {
            path.truncate(*end);
            let Some(next) = folder.read() else {
                levels.pop();
                continue;
            };
            let next = match next {
                Ok(next) => next,
                // The folder was removed meanwhile.
                Err(Errno::NOENT) => {
                    levels.pop();
                    continue;
                }
                Err(errno) => return Err(failed(DOING)(errno)),
            };
            let name = next.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            path.push('/');
            path.push_str(&name.to_string_lossy());
            let mut kind = next.file_type();
            let mut stat = None;
            if kind != FileType::Directory {
                let at = folder.fd().map_err(failed(DOING))?;
                match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(known) => {
                        kind = FileType::from_raw_mode(known.st_mode);
                        stat = Some(known);
                    }
                    Err(Errno::NOENT | Errno::NOTDIR) => continue,
                    Err(errno) => return Err(failed(DOING)(errno)),
                }
            }
            match stat {
                Some(stat) if kind != FileType::Directory => {
                    let regular = kind.is_file() && name.to_str().is_ok();
                    let entry = Entry { path: &path, folder, name, stat, regular };
                    if let Break(()) = each(&entry) {
                        return Ok(Break(()));
                    }
                }
                _ => {
                    let at = folder.fd().map_err(failed(DOING))?;
                    if let Some(below) = open(at, name)? {
                        levels.push((below, path.len()));
                    }
                }
            }
        }
        Ok(Continue(()))
    }
}

/// Opens a folder; `None` where there is none (any more), or a link.
fn open(at: impl rustix::fd::AsFd, name: impl rustix::path::Arg) -> Result<Option<Dir>, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(failed(DOING)(errno)),
    };
    Dir::new(folder).map(Some).map_err(failed(DOING))
}

fn has_state(entry: &Entry<'_>) -> bool {
    let Ok(at) = entry.folder.fd() else { return false };
    let Ok(name) = entry.name.to_str() else { return false };
    ["json", "info"].iter().any(|ending| {
        let beside = format!("{name}.{ending}");
        rustix::fs::statat(at, beside, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file())
    })
}

fn found(entry: &Entry<'_>, kind: FoundKind) -> Found {
    Found {
        name: entry.path.to_owned(),
        kind,
        size: length(&entry.stat),
        modified: modified(&entry.stat),
    }
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn modified(stat: &Stat) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0))
}
