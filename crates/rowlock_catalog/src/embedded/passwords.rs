//! The passwords of the private database's roles.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::{At, EmbeddedError};

/// One password per role that logs in; letters and digits only, so that they need no quoting.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Passwords {
    pub(super) supabase_admin: String,
    pub(super) storage_admin: String,
    pub(super) postgres: String,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// Reads the file, `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, EmbeddedError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("reading the database's passwords", path),
        };
        let value = |role: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(role)?.strip_prefix('='))
                .filter(|value| {
                    !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric())
                })
                .map(str::to_owned)
        };
        let read = (value("supabase_admin"), value("supabase_storage_admin"), value("postgres"));
        match read {
            (Some(supabase_admin), Some(storage_admin), Some(postgres)) => {
                Ok(Some(Self { supabase_admin, storage_admin, postgres }))
            }
            _ => Err(EmbeddedError::Passwords(path.to_owned())),
        }
    }

    /// Makes new ones and writes them, readable by us alone, before anything uses them.
    pub(super) fn create(path: &Path) -> Result<Self, EmbeddedError> {
        let made = Self { supabase_admin: secret(), storage_admin: secret(), postgres: secret() };
        let text = format!(
            "supabase_admin={}\nsupabase_storage_admin={}\npostgres={}\n",
            made.supabase_admin, made.storage_admin, made.postgres
        );
        write_private(path, text.as_bytes())?;
        Ok(made)
    }
}

/// 192 random bits in hexadecimal.
pub(super) fn secret() -> String {
    hex::encode(rand::random::<[u8; 24]>())
}

/// Writes a file that only its owner may read, whole or not at all.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), EmbeddedError> {
    let what = "writing a file";
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).at(what, &draft);
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .at(what, &draft)?;
    file.write_all(content).and_then(|()| file.sync_all()).at(what, &draft)?;
    fs::rename(&draft, path).at(what, path)?;
    sync_folder_of(path)
}

/// Makes a new name in a folder last.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), EmbeddedError> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all()).at("writing a folder", folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn come_back_as_written_and_stay_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        assert_eq!(Passwords::read(&path).unwrap(), None);
        let made = Passwords::create(&path).unwrap();
        assert_eq!(Passwords::read(&path).unwrap(), Some(made.clone()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(Passwords::create(&path).unwrap(), made);
    }

    #[test]
    fn a_cut_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        for text in ["", "supabase_admin=a\npostgres=b\n", "supabase_admin=a'\n"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Passwords::read(&path), Err(EmbeddedError::Passwords(_))));
        }
    }
}
