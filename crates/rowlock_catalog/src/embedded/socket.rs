//! The folder of the database's socket: private, and short enough for the system.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::account::Account;
use super::error::EmbeddedError;
use super::home::{Home, short_hash};

/// The number in the socket's file name; there is no port.
pub(super) const PORT: u16 = 5432;

/// A socket's path may have 103 bytes on macOS and 107 on Linux; `/.s.PGSQL.5432` takes 14.
const LONGEST: usize = 103 - 14;

/// Makes sure of a folder for the socket.
///
/// In the database's own folder where its path is short and plain (commas and spaces mean
/// something in PostgreSQL's setting and in URLs), else under a name made from it.
pub(super) fn folder(home: &Home, account: &Account) -> Result<PathBuf, EmbeddedError> {
    let preferred = home.folder().join("socket");
    if is_plain(&preferred) {
        account.private_folder(&preferred)?;
        return Ok(preferred);
    }
    let hash = short_hash(home.folder());
    let mut reasons = Vec::new();
    let mut candidates = Vec::new();
    if account.switch && fs::create_dir_all("/run/rowlock").is_ok() {
        candidates.push(PathBuf::from(format!("/run/rowlock/{hash}")));
    }
    candidates.push(PathBuf::from(format!("/tmp/rowlock-{}-{hash}", account.uid)));
    for candidate in candidates {
        match claim(&candidate, account) {
            Ok(()) => return Ok(candidate),
            Err(reason) => reasons.push(format!("{}: {reason}", candidate.display())),
        }
    }
    Err(EmbeddedError::SocketFolder(reasons.join("; ")))
}

/// Makes a folder where others may make some too, and trusts an existing one only if it is ours.
fn claim(path: &Path, account: &Account) -> Result<(), String> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.to_string()),
    }
    // Not through a link: whoever made one could point it anywhere.
    let found = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    let ours = found.uid() == account.uid || (account.switch && found.uid() == 0);
    if !found.is_dir() || !ours || found.mode() & 0o077 != 0 {
        return Err("it exists and is not ours alone".to_owned());
    }
    account.give(path).map_err(|error| error.to_string())
}

fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|text| {
        text.len() <= LONGEST
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Account {
        Account {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            switch: false,
        }
    }

    #[test]
    fn long_and_strange_paths_are_not_plain() {
        assert!(is_plain(Path::new("/srv/rowlock-data/postgres/socket")));
        assert!(!is_plain(Path::new("/srv/a,b/socket")));
        assert!(!is_plain(Path::new("/srv/a b/socket")));
        assert!(!is_plain(Path::new(&format!("/{}", "d".repeat(LONGEST)))));
    }

    #[test]
    fn takes_no_folder_that_others_can_enter_or_redirect() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::DirBuilder::new().mode(0o755).create(&open).unwrap();
        assert!(claim(&open, &own()).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert!(claim(&link, &own()).is_err());
        let foreign = Account { uid: own().uid + 1, ..own() };
        let private = dir.path().join("private");
        assert!(claim(&private, &own()).is_ok());
        assert!(claim(&private, &own()).is_ok(), "a second time");
        assert!(claim(&private, &foreign).is_err());
    }
}
