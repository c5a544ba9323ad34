//! Where the private database lies: in the data folder, or, where PostgreSQL's user cannot enter
//! that (a clone in root's home), in a folder of the system that is bound to it by a marker.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::account::{Account, make_folder};
use super::error::{At, EmbeddedError};
use super::lock::FolderLock;
use super::passwords::{secret, write_private};
use super::programs::Programs;

/// The file in the data folder that says that its database lies elsewhere.
const MARKER: &str = "postgres-elsewhere";
/// The file beside a database elsewhere that says whose it is.
const ORIGIN: &str = "origin";

/// The folder that holds a cluster and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home(PathBuf);

impl Home {
    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
    /// PostgreSQL's own data folder.
    pub(super) fn cluster(&self) -> PathBuf {
        self.0.join("data")
    }
    pub(super) fn passwords(&self) -> PathBuf {
        self.0.join("passwords")
    }
    /// Exists once roles and rights are set up.
    pub(super) fn ready(&self) -> PathBuf {
        self.0.join("ready")
    }
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("postgres.log")
    }
    /// Says which folder the socket of the running server is in.
    pub(super) fn socket_note(&self) -> PathBuf {
        self.0.join("socket-folder")
    }

    /// The major version that wrote the cluster, `None` where there is none yet.
    pub(super) fn major(&self) -> Result<Option<u32>, EmbeddedError> {
        let path = self.cluster().join("PG_VERSION");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at("reading the database's version", &path),
        };
        // Versions before 10 read `9.6`; any number will lead to the right refusal.
        let number = text.trim().split('.').next().and_then(|major| major.parse().ok());
        number.map(Some).ok_or_else(|| EmbeddedError::Start {
            reason: format!("{} names no version", path.display()),
            log: None,
        })
    }
}

/// What a data folder says about its database.
#[derive(Debug)]
pub(super) enum Place {
    /// In the data folder.
    Inside(Home),
    /// In a folder of the system, by an intact pair of markers.
    Elsewhere(Home),
    /// There is none yet.
    Undecided,
}

/// Finds the database of a data folder (a real path) without changing anything.
pub(super) fn locate(data_dir: &Path, base: &Path) -> Result<Place, EmbeddedError> {
    let inside = inside(data_dir);
    if inside.cluster().exists() {
        return Ok(Place::Inside(inside));
    }
    let marker = data_dir.join(MARKER);
    let Some(ours) = read_note(&marker)? else { return Ok(Place::Undecided) };
    let expected = elsewhere(data_dir, base);
    let origin = read_note(&expected.folder().join(ORIGIN))?;
    if origin.as_ref().is_some_and(|origin| origin.id == ours.id) {
        return Ok(Place::Elsewhere(expected));
    }
    let (database, detail) = match find_by_id(base, &ours.id)? {
        Some((database, owner)) => {
            let detail =
                format!("the database was made for {} and is in {}", owner, database.display());
            (database, detail)
        }
        None => (PathBuf::from(&ours.path), format!("the database is no longer in {}", ours.path)),
    };
    Err(EmbeddedError::Moved {
        data_dir: data_dir.to_owned(),
        database,
        expected: expected.0,
        marker,
        detail,
    })
}

/// PostgreSQL's own folder, there already or where it is tried first.
pub(super) fn cluster_of(place: &Place, data_dir: &Path) -> PathBuf {
    match place {
        Place::Inside(home) | Place::Elsewhere(home) => home.cluster(),
        Place::Undecided => inside(data_dir).cluster(),
    }
}

/// See [`Home::major`].
pub(super) fn major_of(place: &Place) -> Result<Option<u32>, EmbeddedError> {
    match place {
        Place::Inside(home) | Place::Elsewhere(home) => home.major(),
        Place::Undecided => Ok(None),
    }
}

/// Decides where a new database will lie, makes the folder, and takes its lock where it is not
/// the data folder's.
pub(super) fn prepare(
    place: Place,
    data_dir: &Path,
    base: &Path,
    account: &Account,
    programs: &Programs,
) -> Result<(Home, Option<FolderLock>), EmbeddedError> {
    let harmless = programs.path("postgres");
    let mode = if account.switch { 0o711 } else { 0o700 };
    match place {
        Place::Inside(home) => {
            if !account.may_enter(&home.cluster(), &harmless) {
                let path = home.cluster();
                return Err(EmbeddedError::NoEntry { path, uid: account.uid });
            }
            Ok((home, None))
        }
        Place::Elsewhere(home) => {
            let lock = FolderLock::take(home.folder())?;
            // The folder may have been moved along with its data folder.
            bind(data_dir, &home, None)?;
            Ok((home, Some(lock)))
        }
        Place::Undecided => {
            let home = inside(data_dir);
            make_folder(home.folder(), mode)?;
            if account.may_enter(home.folder(), &harmless) {
                return Ok((home, None));
            }
            // Only if it is empty; a failure leaves an empty folder and no harm.
            let _ = fs::remove_dir(home.folder());
            let home = elsewhere(data_dir, base);
            fs::create_dir_all(base).at("making a folder", base)?;
            make_folder(base, 0o755)?;
            make_folder(home.folder(), mode)?;
            let lock = FolderLock::take(home.folder())?;
            if home.folder().join(ORIGIN).exists() {
                let lock = set_aside(&home, mode, lock)?;
                bind(data_dir, &home, Some(secret()))?;
                return Ok((home, Some(lock)));
            }
            bind(data_dir, &home, Some(secret()))?;
            Ok((home, Some(lock)))
        }
    }
}

/// A database whose data folder is gone (deleted and made anew at the same path) is kept, under
/// another name: it must neither be shared with the new folder nor be deleted on suspicion.
fn set_aside(home: &Home, mode: u32, lock: FolderLock) -> Result<FolderLock, EmbeddedError> {
    super::postmaster::stop_orphan(&home.cluster())?;
    let number = (1..).map(|n| format!("{}.left-{n}", home.folder().display()));
    let aside = number.map(PathBuf::from).find(|path| !path.exists()).unwrap_or_default();
    fs::rename(home.folder(), &aside).at("setting an old database aside", home.folder())?;
    tracing::warn!(
        kept_as = %aside.display(),
        "a database of an earlier data folder at this path was set aside"
    );
    drop(lock);
    make_folder(home.folder(), mode)?;
    FolderLock::take(home.folder())
}

/// Writes both markers; keeps the identity that the origin has unless a new one is given.
fn bind(data_dir: &Path, home: &Home, id: Option<String>) -> Result<(), EmbeddedError> {
    let origin = home.folder().join(ORIGIN);
    let marker = data_dir.join(MARKER);
    let (id, new) = match (id, read_note(&origin)?) {
        (Some(id), _) => (id, true),
        (None, Some(note)) if Path::new(&note.path) == data_dir => return Ok(()),
        (None, Some(note)) => (note.id, false),
        (None, None) => (secret(), true),
    };
    let note = |path: &Path| format!("id={id}\npath={}\n", path.display());
    if new {
        // The data folder's last: alone it would stop the next start, whereas a database
        // without it is only set aside.
        write_private(&origin, note(data_dir).as_bytes())?;
        return write_private(&marker, note(home.folder()).as_bytes());
    }
    write_private(&marker, note(home.folder()).as_bytes())?;
    write_private(&origin, note(data_dir).as_bytes())
}

fn inside(data_dir: &Path) -> Home {
    Home(data_dir.join("postgres"))
}

fn elsewhere(data_dir: &Path, base: &Path) -> Home {
    Home(base.join(short_hash(data_dir)))
}

/// A short name for a path: 64 bits of its SHA-256 in hexadecimal.
pub(super) fn short_hash(path: &Path) -> String {
    let hash = digest::digest(&digest::SHA256, path.as_os_str().as_bytes());
    hex::encode(&hash.as_ref()[..8])
}

struct Note {
    id: String,
    path: String,
}

fn read_note(path: &Path) -> Result<Option<Note>, EmbeddedError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("reading a marker", path),
    };
    let value = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    Ok(Some(Note { id: value("id"), path: value("path") }))
}

fn find_by_id(base: &Path, id: &str) -> Result<Option<(PathBuf, String)>, EmbeddedError> {
    let Ok(entries) = fs::read_dir(base) else { return Ok(None) };
    for entry in entries.flatten() {
        if let Some(note) = read_note(&entry.path().join(ORIGIN))?
            && note.id == id
        {
            return Ok(Some((entry.path(), note.path)));
        }
    }
    Ok(None)
}
