//! Starting and stopping the server process.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use super::account::Account;
use super::error::{At, EmbeddedError};
use super::home::Home;
use super::process::{self, Identity};
use super::programs::Programs;
use super::socket::PORT;

/// How long a fast stop may take: it ends all sessions and writes what is in memory.
const FAST_STOP: Duration = Duration::from_secs(20);
/// How long an immediate stop may take: it only ends the processes.
const IMMEDIATE_STOP: Duration = Duration::from_secs(5);
/// How long a start may take. Recovery after a crash reads the log since the last checkpoint.
const START: Duration = Duration::from_secs(600);
/// A longer log is put aside at the next start.
const LONGEST_LOG: u64 = 8 << 20;

/// All that is needed to start the server, again and again.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    pub(super) home: Home,
    pub(super) account: Account,
    pub(super) programs: Programs,
    pub(super) socket_folder: PathBuf,
}

/// A running server, child of this process.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
    pub(super) pid: Pid,
}

impl Launch {
    /// Starts the server and waits until it accepts connections.
    pub(super) async fn start(&self) -> Result<Postmaster, EmbeddedError> {
        let cluster = self.home.cluster();
        forget_dead_server(&cluster, &self.socket_folder);
        let log = self.home.log();
        let log_end = open_log(&log)?;
        let program = self.programs.path("postgres");
        let mut command = self.account.command(&program);
        command.arg("-D").arg(&cluster);
        // Given here, no file can change them: no way in but the private socket.
        for setting in [
            "listen_addresses=".to_owned(),
            format!("unix_socket_directories={}", self.socket_folder.display()),
            "unix_socket_permissions=0700".to_owned(),
            format!("port={PORT}"),
            "logging_collector=off".to_owned(),
            "log_destination=stderr".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        let log_start = log_end.metadata().at("reading the log", &log)?.len();
        command.stdout(Stdio::null()).stderr(log_end);
        let child = Command::from(command).spawn().at("starting PostgreSQL", &program)?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let failed = |reason: String| EmbeddedError::Start {
            reason,
            log: end_of_log(&log, log_start).map(|end| (log.clone(), end)),
        };
        let Some(pid) = pid else { return Err(failed("it ended at once".to_owned())) };
        let mut postmaster = Postmaster { child, pid };
        let begun = Instant::now();
        let mut told = 0;
        while !process::is_ready(&cluster, pid) {
            let ended = postmaster.child.try_wait().at("waiting for PostgreSQL", &program)?;
            if let Some(status) = ended {
                return Err(failed(format!("it ended with {status}")));
            }
            if begun.elapsed() > START {
                postmaster.stop(&cluster).await;
                return Err(failed("it was not ready in time".to_owned()));
            }
            let waited = begun.elapsed().as_secs() / 10;
            if waited > told {
                told = waited;
                tracing::info!(seconds = waited * 10, "waiting for PostgreSQL to be ready");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(postmaster)
    }
}

impl Postmaster {
    /// Waits for the server's end.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Stops the server: fast, and by force where that takes too long. Nothing acknowledged is
    /// lost either way.
    pub(super) async fn stop(&mut self, cluster: &Path) {
        for (signal, limit) in [
            (Signal::INT, FAST_STOP),
            (Signal::QUIT, IMMEDIATE_STOP),
            (Signal::KILL, IMMEDIATE_STOP),
        ] {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            process::send(self.pid, signal);
            if tokio::time::timeout(limit, self.child.wait()).await.is_ok() {
                break;
            }
            tracing::warn!("PostgreSQL takes long to stop");
        }
        let cluster = cluster.to_owned();
        let _ = tokio::task::spawn_blocking(move || process::clear_leftovers(&cluster)).await;
    }
}

/// Whoever drops a server without stopping it (a start that is given up, a runtime that ends)
/// cannot wait, but can ask it to stop.
impl Drop for Postmaster {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            process::send(self.pid, Signal::INT);
        }
    }
}

/// Stops a server of this cluster whose owner died. Only whoever holds the locks may call this:
/// they are the proof that the owner is dead.
pub(super) fn stop_orphan(cluster: &Path) -> Result<(), EmbeddedError> {
    let Some(pid) = process::recorded(cluster) else { return Ok(()) };
    if process::is_server_of(pid, cluster) {
        tracing::info!("stopping a PostgreSQL whose owner was killed");
        for (signal, limit) in [
            (Signal::INT, FAST_STOP),
            (Signal::QUIT, IMMEDIATE_STOP),
            (Signal::KILL, IMMEDIATE_STOP),
        ] {
            process::send(pid, signal);
            if process::wait_until(limit, || !process::is_server_of(pid, cluster)) {
                break;
            }
        }
        if process::is_server_of(pid, cluster) {
            return Err(EmbeddedError::Start {
                reason: "an older server of this database does not stop".to_owned(),
                log: None,
            });
        }
    }
    process::clear_leftovers(cluster);
    Ok(())
}

/// Removes the files by which PostgreSQL would take a stranger for its own older server: it
/// believes any living process that has the number. Where nothing is proven, they stay, and
/// PostgreSQL refuses to start.
fn forget_dead_server(cluster: &Path, socket_folder: &Path) {
    let Some(pid) = process::recorded(cluster) else {
        // A socket without a server stays behind when the machine loses power.
        return remove_socket(socket_folder);
    };
    let deceives = match process::identify(pid, cluster) {
        Identity::Ours | Identity::Unknown => return,
        Identity::Stranger => true,
        // Killed, and nobody has asked for its end yet: it still answers to its number.
        Identity::Gone => process::exists(pid),
    };
    if deceives {
        let _ = fs::remove_file(cluster.join("postmaster.pid"));
    }
    remove_socket(socket_folder);
}

fn remove_socket(folder: &Path) {
    for suffix in ["", ".lock"] {
        let _ = fs::remove_file(folder.join(format!(".s.PGSQL.{PORT}{suffix}")));
    }
}

fn open_log(path: &Path) -> Result<fs::File, EmbeddedError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LONGEST_LOG) {
        fs::rename(path, path.with_extension("log.1")).at("putting the log aside", path)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).at("opening the log", path)
}

/// What the log says since this start, at most its last 2000 bytes.
fn end_of_log(path: &Path, start: u64) -> Option<String> {
    let mut file = fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(2000)))).ok()?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).ok()?;
    Some(String::from_utf8_lossy(&end).trim().to_owned())
}
