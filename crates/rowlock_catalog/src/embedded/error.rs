//! Why the private database does not run, in words that say what to do.

use std::io;
use std::path::PathBuf;

use super::advice;
use crate::connect::ConnectError;

/// Why the private database could not be started, stopped or reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No server programs of a version that fits.
    #[error(
        "{looked_at}. Install them: {}; or set POSTGRES_BIN_DIR to the folder that holds initdb \
         and postgres, or DATABASE_URL to use a database that runs already",
        advice::install()
    )]
    NoPrograms {
        /// What was found instead and why it does not do, in a sentence.
        looked_at: String,
    },
    /// The folder that was named holds no programs that do.
    #[error(
        "POSTGRES_BIN_DIR is {}, {wrong}; name the folder that holds `initdb` and `postgres` of \
         PostgreSQL 15 or newer, or unset it to have them searched for", .bin_dir.display()
    )]
    BinDir {
        /// The folder.
        bin_dir: PathBuf,
        /// What is wrong with it, going on from its name.
        wrong: String,
    },
    /// The data were written by another major version.
    #[error(
        "the database in {} was made by PostgreSQL {made_by}, and {found}. {}; to change to \
         another version, start once with version {made_by}, save with `pg_dumpall`, move the \
         folder away and load the dump into the new one (or use pg_upgrade)", .cluster.display(),
        match .named {
            true => format!("Set it to the programs of PostgreSQL {made_by}"),
            false => format!(
                "Install PostgreSQL {made_by} beside the other, or set POSTGRES_BIN_DIR to its \
                 programs"
            ),
        }
    )]
    OtherVersion {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The major version it needs.
        made_by: u32,
        /// What is at hand, going on from "and".
        found: String,
        /// Whether POSTGRES_BIN_DIR names the programs.
        named: bool,
    },
    /// Another server holds the data folder.
    #[error(
        "another rowlock{} uses the data folder {}; stop it first, or set ROWLOCK_DATA to a \
         folder of its own", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
         .data_dir.display()
    )]
    InUse {
        /// The folder.
        data_dir: PathBuf,
        /// The process that holds it, where it could be learnt.
        pid: Option<u32>,
    },
    /// No server runs on the data folder.
    #[error("the database of {} is not running: start `rowlock serve` first", .data_dir.display())]
    NotRunning {
        /// The folder.
        data_dir: PathBuf,
    },
    /// The data folder and the database that was kept outside of it do not belong together.
    #[error(
        "the data folder {} was moved or copied, or its database was: {detail}. If you moved the \
         folder, move its database along (mv {} {}); if you copied it, delete {} to begin with an \
         empty database", .data_dir.display(), .database.display(), .expected.display(),
         .marker.display()
    )]
    Moved {
        /// The folder.
        data_dir: PathBuf,
        /// Where its database lies as far as is known.
        database: PathBuf,
        /// Where it would have to lie.
        expected: PathBuf,
        /// The file in the data folder that points to its database.
        marker: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// PostgreSQL refuses to run as root, and there is no user to run it as.
    #[error(
        "PostgreSQL does not run as root, and this machine has no user `postgres` to run it as. \
         If its server programs are not installed yet, their package makes that user: {}. \
         Otherwise create one (useradd --system postgres), or start rowlock as an ordinary user",
        advice::install()
    )]
    NoAccount,
    /// Files of another user.
    #[error(
        "{} belongs to another user (uid {uid}); start rowlock as that user, as the last time",
        .path.display()
    )]
    OtherOwner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// The user that the database runs as cannot enter its folder.
    #[error(
        "the user that PostgreSQL runs as (uid {uid}) cannot enter {}: move the data folder back \
         to where it was, or let others pass through the folders above it (chmod o+x)",
        .path.display()
    )]
    NoEntry {
        /// The folder.
        path: PathBuf,
        /// The user.
        uid: u32,
    },
    /// No folder for the socket that is short enough and private.
    #[error("no private folder for the database's socket: {0}")]
    SocketFolder(String),
    /// A program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The end of what it said.
        output: String,
    },
    /// The server ended, or did not become ready.
    #[error("PostgreSQL did not start: {reason}{}", .log.as_ref()
        .map(|log| format!("\nThe end of its log {}:\n{}", log.0.display(), log.1))
        .unwrap_or_default())]
    Start {
        /// What happened.
        reason: String,
        /// Its log and the log's end.
        log: Option<(PathBuf, String)>,
    },
    /// The folder's passwords do not fit its database.
    #[error(
        "the passwords in {} do not fit the database; move that file away, and new ones are set \
         at the next start", .0.display()
    )]
    Passwords(PathBuf),
    /// A file or folder could not be read or written.
    #[error("{what} ({}): {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The database runs and cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Setting up roles failed.
    #[error("setting up the database failed: {0}")]
    SetUp(String),
}

/// Names the path in an error of the system.
pub(super) trait At<T> {
    fn at(self, what: &'static str, path: &std::path::Path) -> Result<T, EmbeddedError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &std::path::Path) -> Result<T, EmbeddedError> {
        self.map_err(|source| EmbeddedError::Io { what, path: path.to_owned(), source })
    }
}
