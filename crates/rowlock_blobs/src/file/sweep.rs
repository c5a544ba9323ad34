//! Temporary files whose writer died.

use super::Inner;
use super::sys::failed;
use crate::Error;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Inner {
    /// Removes regular files in our folder of temporary files that bear a name as we give it and
    /// whose last change (of bytes, attributes or names) is longer ago than `older_than`.
    pub(super) fn sweep_tmp(&self, older_than: Duration) -> Result<u64, Error> {
        let doing = "looking through temporary files";
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match rustix::fs::openat(&self.root, &*self.layout.tmp, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(0),
            Err(errno) => return Err(failed(doing)(errno)),
        };
        let mut removed = 0;
        for entry in Dir::read_from(&folder).map_err(failed(doing))? {
            let entry = entry.map_err(failed(doing))?;
            let name = entry.file_name();
            let ours = name.to_str().is_ok_and(|name| uuid::Uuid::try_parse(name).is_ok());
            if !ours {
                continue;
            }
            let Ok(found) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let touched = found.st_mtime.max(found.st_ctime);
            let age = u64::try_from(touched).ok().and_then(|seconds| {
                SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(seconds)).ok()
            });
            if FileType::from_raw_mode(found.st_mode).is_file()
                && age.is_some_and(|age| age > older_than)
                && rustix::fs::unlinkat(&folder, name, AtFlags::empty()).is_ok()
            {
                removed += 1;
            }
        }
        Ok(removed)
    }
}
