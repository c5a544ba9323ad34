//! A private PostgreSQL for a server that stands alone: found on the machine, made on the first
//! start, run as a child of this process, reachable through a socket in a private folder only.

mod account;
mod advice;
mod cluster;
mod error;
mod home;
mod lock;
mod passwords;
mod postmaster;
mod process;
mod programs;
mod roles;
mod socket;
mod supervise;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::error::SqlState;

use crate::connect::{ConnectError, ConnectSettings, Connector};
use account::Account;
use error::At;
pub use error::EmbeddedError;
use home::{Home, Place};
use lock::FolderLock;
use passwords::{Passwords, write_private};
use postmaster::Launch;
use programs::Programs;
pub use supervise::Status;
use supervise::Supervisor;

/// The role that the server's own connections log in as.
const STORAGE_ADMIN: &str = "supabase_storage_admin";
/// The role that people log in as.
const POSTGRES: &str = "postgres";

/// Where the private database is kept, and where its programs may be.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// The server's data folder (`ROWLOCK_DATA`); made if it is missing.
    pub data_dir: PathBuf,
    /// The folder with `initdb` and `postgres` (`POSTGRES_BIN_DIR`); only this one is looked at.
    pub bin_dir: Option<PathBuf>,
    /// The value of `PATH`, searched before the usual folders.
    pub path: Option<OsString>,
    /// Where databases are kept whose data folder PostgreSQL's user cannot enter (only as root).
    pub elsewhere: PathBuf,
}

impl EmbeddedSettings {
    /// Settings for a data folder, with nothing else chosen.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            path: None,
            elsewhere: PathBuf::from("/var/lib/rowlock"),
        }
    }
}

/// How to reach the private database; each is a URL that psql and other libpq programs take.
#[derive(Clone, PartialEq, Eq)]
pub struct EmbeddedUrls {
    storage: String,
    admin: String,
    postgres: String,
    socket_folder: PathBuf,
    password: String,
}

// They carry passwords.
impl std::fmt::Debug for EmbeddedUrls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedUrls")
            .field("socket_folder", &self.socket_folder)
            .finish_non_exhaustive()
    }
}

impl EmbeddedUrls {
    fn new(passwords: &Passwords, socket_folder: &Path) -> Self {
        let url = |role: &str, password: &str| {
            // The folder's name needs no encoding: see `socket::folder`.
            format!("postgresql://{role}:{password}@/postgres?host={}", socket_folder.display())
        };
        Self {
            storage: url(STORAGE_ADMIN, &passwords.storage_admin),
            admin: url(cluster::SUPERUSER, &passwords.supabase_admin),
            postgres: url(POSTGRES, &passwords.postgres),
            socket_folder: socket_folder.to_owned(),
            password: passwords.postgres.clone(),
        }
    }

    /// As the server itself connects: role `supabase_storage_admin`.
    #[must_use]
    pub fn storage(&self) -> &str {
        &self.storage
    }

    /// As the bootstrap superuser `supabase_admin`: for set-up only.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// As people connect: role `postgres`, no superuser, who may create tables and policies.
    #[must_use]
    pub fn postgres(&self) -> &str {
        &self.postgres
    }

    /// As people connect, in the environment variables that psql reads: unlike a URL among the
    /// arguments these are not shown to other users.
    #[must_use]
    pub fn postgres_environment(&self) -> [(&'static str, OsString); 5] {
        [
            ("PGHOST", self.socket_folder.clone().into()),
            ("PGPORT", socket::PORT.to_string().into()),
            ("PGDATABASE", "postgres".into()),
            ("PGUSER", POSTGRES.into()),
            ("PGPASSWORD", self.password.clone().into()),
        ]
    }
}

/// A running private database. It ends with [`Self::stop`]; dropped, it is told to stop and not
/// waited for; killed with its owner, it is stopped by the next start.
#[derive(Debug)]
pub struct Embedded {
    urls: EmbeddedUrls,
    supervisor: Supervisor,
    // Released last, so that nobody else starts while the server still stops.
    _locks: (FolderLock, Option<FolderLock>),
}

impl Embedded {
    /// Starts the database of a data folder, making it first where there is none, and returns
    /// once it accepts connections and its roles are set up.
    ///
    /// # Errors
    /// [`EmbeddedError`]; each says what to do about it.
    pub async fn start(settings: &EmbeddedSettings) -> Result<Self, EmbeddedError> {
        let settings = settings.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&settings)).await;
        let prepared = prepared.map_err(|error| EmbeddedError::Start {
            reason: format!("preparing it broke off ({error})"),
            log: None,
        })?;
        let Prepared { launch, passwords, locks } = prepared?;
        let urls = EmbeddedUrls::new(&passwords, &launch.socket_folder);
        let mut postmaster = launch.start().await?;
        if let Err(error) = set_up(&launch.home, &urls, &passwords).await {
            postmaster.stop(&launch.home.cluster()).await;
            return Err(error);
        }
        let supervisor = Supervisor::new(launch, postmaster);
        Ok(Self { urls, supervisor, _locks: locks })
    }

    /// How to reach it.
    #[must_use]
    pub fn urls(&self) -> &EmbeddedUrls {
        &self.urls
    }

    /// See [`EmbeddedUrls::storage`].
    #[must_use]
    pub fn storage_url(&self) -> &str {
        &self.urls.storage
    }

    /// See [`EmbeddedUrls::admin`].
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.urls.admin
    }

    /// See [`EmbeddedUrls::postgres`].
    #[must_use]
    pub fn postgres_url(&self) -> &str {
        &self.urls.postgres
    }

    /// The server's process, `None` while it is being started again.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.pid()
    }

    /// Follows whether the server runs: it is started again by itself when it dies.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.supervisor.status()
    }

    /// Stops the server and waits for its end. All sessions are closed; what was committed stays.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }

    /// How to reach the database that a server of this data folder runs now. Starts nothing.
    ///
    /// # Errors
    /// [`EmbeddedError::NotRunning`], or that this user may not read the passwords.
    pub fn urls_of_running(settings: &EmbeddedSettings) -> Result<EmbeddedUrls, EmbeddedError> {
        let not_running = || EmbeddedError::NotRunning { data_dir: settings.data_dir.clone() };
        let data_dir = match fs::canonicalize(&settings.data_dir) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_running()),
            Err(error) => return Err(error).at("finding the data folder", &settings.data_dir),
        };
        let home = match home::locate(&data_dir, &settings.elsewhere)? {
            Place::Inside(home) | Place::Elsewhere(home) => home,
            Place::Undecided => return Err(not_running()),
        };
        let passwords = Passwords::read(&home.passwords())?.ok_or_else(not_running)?;
        let note = match fs::read_to_string(home.socket_note()) {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_running()),
            Err(error) => return Err(error).at("reading a file", &home.socket_note()),
        };
        let socket_folder = PathBuf::from(note.trim());
        let socket = socket_folder.join(format!(".s.PGSQL.{}", socket::PORT));
        if std::os::unix::net::UnixStream::connect(socket).is_err() {
            return Err(not_running());
        }
        Ok(EmbeddedUrls::new(&passwords, &socket_folder))
    }

    /// The program `psql` that fits the database of this data folder, where there is one.
    ///
    /// # Errors
    /// As for [`Self::start`], as far as finding the database and programs goes.
    pub fn psql(settings: &EmbeddedSettings) -> Result<Option<PathBuf>, EmbeddedError> {
        let data_dir = fs::canonicalize(&settings.data_dir);
        let data_dir = data_dir.at("finding the data folder", &settings.data_dir)?;
        let place = home::locate(&data_dir, &settings.elsewhere)?;
        let cluster = home::cluster_of(&place, &data_dir);
        let account = Account::choose(&cluster)?;
        let programs = Programs::find(settings, &account, &cluster, home::major_of(&place)?)?;
        Ok(programs.psql(settings.path.as_deref()))
    }
}

struct Prepared {
    launch: Launch,
    passwords: Passwords,
    locks: (FolderLock, Option<FolderLock>),
}

/// Everything up to the start of the server itself.
fn prepare(settings: &EmbeddedSettings) -> Result<Prepared, EmbeddedError> {
    let wanted = &settings.data_dir;
    fs::create_dir_all(wanted).at("making the data folder", wanted)?;
    let data_dir = fs::canonicalize(wanted).at("finding the data folder", wanted)?;
    // Before the lock, which another user's files would not let us open either: this says why.
    let whose = |place: &Place| Account::choose(&home::cluster_of(place, &data_dir));
    whose(&home::locate(&data_dir, &settings.elsewhere)?)?;
    let lock = FolderLock::take(&data_dir)?;

    let place = home::locate(&data_dir, &settings.elsewhere)?;
    let account = whose(&place)?;
    let cluster = home::cluster_of(&place, &data_dir);
    let programs = Programs::find(settings, &account, &cluster, home::major_of(&place)?)?;
    let (home, home_lock) =
        home::prepare(place, &data_dir, &settings.elsewhere, &account, &programs)?;

    postmaster::stop_orphan(&home.cluster())?;
    let known = Passwords::read(&home.passwords())?;
    let passwords = match &known {
        Some(passwords) => passwords.clone(),
        None => Passwords::create(&home.passwords())?,
    };
    if home.major()?.is_none() {
        tracing::info!(version = programs.major, "making a new PostgreSQL database");
        forget_set_up(&home)?;
        cluster::create(&home, &account, &programs, &passwords)?;
    } else if known.is_none() {
        // Roles get their new passwords when they are set up again.
        forget_set_up(&home)?;
        cluster::reset_password(&home, &account, &programs, &passwords)?;
    }

    let socket_folder = socket::folder(&home, &account)?;
    let note = socket_folder.display().to_string();
    write_private(&home.socket_note(), note.as_bytes())?;
    let launch = Launch { home, account, programs, socket_folder };
    Ok(Prepared { launch, passwords, locks: (lock, home_lock) })
}

/// Lets the next start set up roles and passwords, whatever an older database had.
fn forget_set_up(home: &Home) -> Result<(), EmbeddedError> {
    match fs::remove_file(home.ready()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).at("removing a file", &home.ready())
        }
        _ => Ok(()),
    }
}

/// Sets up roles and rights once, and makes sure that the server's own role can log in.
async fn set_up(
    home: &Home,
    urls: &EmbeddedUrls,
    passwords: &Passwords,
) -> Result<(), EmbeddedError> {
    let wrong_password = |error: ConnectError| {
        if error.sqlstate() == Some(&SqlState::INVALID_PASSWORD) {
            return EmbeddedError::Passwords(home.passwords());
        }
        EmbeddedError::Connect(error)
    };
    let connect = async |url: &str| {
        let settings = ConnectSettings {
            application_name: Some("rowlock set-up".to_owned()),
            connect_timeout: Duration::from_secs(30),
            ..ConnectSettings::new(url)
        };
        Connector::new(&settings)?.connect().await
    };
    if !home.ready().exists() {
        let (mut client, _driver) = connect(&urls.admin).await.map_err(wrong_password)?;
        roles::set_up(&mut client, passwords).await?;
        write_private(&home.ready(), b"")?;
    }
    connect(&urls.storage).await.map_err(wrong_password)?;
    Ok(())
}
