//! Moving files out of the way without deleting them.

use super::Inner;
use super::sys::failed;
use crate::Error;
use rustix::fs::{AtFlags, FileType, RenameFlags};
use rustix::io::Errno;

const DOING: &str = "moving a file to quarantine";
/// How many files of one name quarantine keeps.
const ATTEMPTS: u32 = 1000;

impl Inner {
    /// Moves a regular file of this tenant, by the name that a listing gives it, below
    /// `__internal/quarantine` in the root bucket, durably. Returns its new name.
    pub(super) fn quarantine(&self, name: &str) -> Result<String, Error> {
        let Some((from, to)) = self.layout.quarantine(name) else { return Err(Error::NotFound) };
        let found = rustix::fs::statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW);
        match found {
            Ok(found) if FileType::from_raw_mode(found.st_mode).is_file() => {}
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => return Err(Error::NotFound),
            Err(errno) => return Err(failed(DOING)(errno)),
        }
        self.ensure_folder(to.folder()).map_err(failed(DOING))?;
        let mut target = to.path().to_owned();
        for attempt in 1..=ATTEMPTS {
            let flags = RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(&self.root, name, &self.root, &*target, flags) {
                Ok(()) => {
                    self.ensure_folder(to.folder()).map_err(failed(DOING))?;
                    self.sync_folder(from.folder()).map_err(failed(DOING))?;
                    self.prune(&from);
                    return Ok(target);
                }
                Err(Errno::EXIST) => target = format!("{}~{attempt}", to.path()),
                Err(Errno::NOENT) => return Err(Error::NotFound),
                Err(errno) => return Err(failed(DOING)(errno)),
            }
        }
        Err(failed(DOING)(Errno::EXIST))
    }
}
