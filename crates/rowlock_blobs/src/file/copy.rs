//! Copying bytes from file to file inside the kernel.

use super::sys::failed;
use super::temp::Temp;
use crate::Error;
use rustix::fd::OwnedFd;
use rustix::fs::copy_file_range;
use rustix::io::{Errno, retry_on_intr};

/// How much is asked of the kernel at once: write-back of long copies begins in between.
const PIECE: u64 = 8 << 20;

/// A file to copy from, and its length.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: OwnedFd,
    pub(super) size: u64,
}

/// Copies a whole file into an empty one: shares its blocks where the file system can.
pub(super) fn whole(source: &Source, temp: &mut Temp) -> Result<(), Error> {
    if source.size > 0 && rustix::fs::ioctl_ficlone(temp.file()?, &source.file).is_ok() {
        return temp.grown(source.size);
    }
    append(source, temp)
}

/// Appends a file to another.
///
/// # Errors
/// [`Error::WrongLength`] when the file turns out to be shorter than it was, or the system's.
pub(super) fn append(source: &Source, temp: &mut Temp) -> Result<(), Error> {
    let mut at = 0;
    while at < source.size {
        let want = (source.size - at).min(PIECE);
        // 8 MiB fit any usize.
        let want = usize::try_from(want).unwrap_or(usize::MAX);
        let mut offset = at;
        let out = temp.file()?;
        let copied =
            retry_on_intr(|| copy_file_range(&source.file, Some(&mut offset), out, None, want));
        let copied = match copied {
            // Some file systems say 0 where they cannot copy; a plain read tells the truth.
            Ok(0) => through_memory(source, temp, at, want)?,
            Ok(copied) => {
                temp.grown(copied as u64)?;
                copied
            }
            Err(
                Errno::XDEV
                | Errno::NOSYS
                | Errno::OPNOTSUPP
                | Errno::INVAL
                | Errno::PERM
                | Errno::BADF
                | Errno::TXTBSY,
            ) => through_memory(source, temp, at, want)?,
            Err(errno) => return Err(failed("copying a file")(errno)),
        };
        at += copied as u64;
    }
    Ok(())
}

fn through_memory(source: &Source, temp: &mut Temp, at: u64, want: usize) -> Result<usize, Error> {
    let mut buffer = Vec::with_capacity(want.min(1 << 20));
    let read = retry_on_intr(|| {
        rustix::io::pread(&source.file, rustix::buffer::spare_capacity(&mut buffer), at)
    })
    .map_err(failed("copying a file"))?;
    if read == 0 {
        return Err(Error::WrongLength { expected: source.size, found: at });
    }
    buffer.truncate(want);
    temp.append(&buffer)?;
    Ok(buffer.len())
}
