//! One server per data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::{At, EmbeddedError};

/// A folder held by this process until it ends, however it ends.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock in `folder`, or says who has it.
    pub(super) fn take(folder: &Path) -> Result<Self, EmbeddedError> {
        let path = folder.join("rowlock.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .at("opening the lock", &path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let pid = holder.trim().parse().ok();
                return Err(EmbeddedError::InUse { data_dir: folder.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(error).at("locking", &path),
        }
        let own = std::process::id().to_string();
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(own.as_bytes()))
            .at("writing the lock", &path)?;
        Ok(Self { _file: file })
    }
}
