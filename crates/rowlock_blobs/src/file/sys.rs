//! The system calls that need more than a line, and how their errors are told.

use crate::Error;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use std::io;

/// Turns a system error into the store's: no space and too long names have variants of their own.
pub(super) fn failed(doing: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| match errno {
        Errno::NOSPC | Errno::DQUOT => Error::Full,
        Errno::MFILE | Errno::NFILE => Error::Busy { doing },
        Errno::NAMETOOLONG => Error::UnsupportedKey("a name in it is too long for the file system"),
        _ => Error::Io { doing, source: errno.into() },
    }
}

/// Reads up to `want` bytes at `offset` into the spare room of `buffer`, but only what is in the
/// page cache: it never waits for a disk. Returns the number of bytes read, 0 at the end.
///
/// # Errors
/// `EAGAIN` when nothing is cached there, `EOPNOTSUPP` or `ENOSYS` where this is not supported.
#[allow(unsafe_code)]
pub(super) fn read_cached(
    file: impl AsFd,
    buffer: &mut Vec<u8>,
    want: usize,
    offset: u64,
) -> Result<usize, Errno> {
    let Ok(offset) = libc::off_t::try_from(offset) else { return Err(Errno::INVAL) };
    buffer.reserve(want);
    let room = &mut buffer.spare_capacity_mut()[..want];
    let slice = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: `slice` describes `want` writable bytes that outlive the call, and the kernel
    // writes nowhere else. rustix's `preadv2` takes only memory that has been zeroed first.
    let read = unsafe {
        libc::preadv2(file.as_fd().as_raw_fd(), &raw const slice, 1, offset, libc::RWF_NOWAIT)
    };
    match usize::try_from(read) {
        Ok(read) => {
            // SAFETY: the kernel has filled the first `read` bytes of the spare room.
            unsafe { buffer.set_len(buffer.len() + read) };
            Ok(read)
        }
        Err(_) => Err(last_error()),
    }
}

/// Asks the kernel to begin writing `len` bytes from `offset` to the disk, so that a later fsync
/// has less to wait for. Only a hint: errors are left to that fsync to tell.
#[allow(unsafe_code)]
pub(super) fn begin_write_back(file: impl AsFd, offset: u64, len: u64) {
    if let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) {
        // SAFETY: the descriptor is open for the whole call, and no memory is handed over.
        unsafe {
            libc::sync_file_range(
                file.as_fd().as_raw_fd(),
                offset,
                len,
                libc::SYNC_FILE_RANGE_WRITE,
            );
        }
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_long_name_have_their_own_errors() {
        assert!(matches!(failed("x")(Errno::NOSPC), Error::Full));
        assert!(matches!(failed("x")(Errno::DQUOT), Error::Full));
        assert!(matches!(failed("x")(Errno::NAMETOOLONG), Error::UnsupportedKey(_)));
        assert!(matches!(failed("x")(Errno::MFILE), Error::Busy { doing: "x" }));
        assert!(matches!(failed("x")(Errno::ACCESS), Error::Io { doing: "x", .. }));
    }

    #[test]
    fn cached_reads_take_only_what_was_asked() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"hello world").unwrap();
        let mut buffer = Vec::with_capacity(100);
        match read_cached(&file, &mut buffer, 5, 6) {
            Ok(read) => assert_eq!((read, buffer.as_slice()), (5, b"world".as_slice())),
            // Some file systems (tmpfs on older kernels) cannot.
            Err(errno) => assert!(matches!(errno, Errno::OPNOTSUPP | Errno::AGAIN)),
        }
    }
}
