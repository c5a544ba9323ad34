//! Telling our database's processes from all others.
//!
//! A process number in a file proves nothing: the machine may have been restarted since, and the
//! number given to someone else.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
#[cfg(target_os = "linux")]
use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::MetadataExt, process::CommandExt},
    path::PathBuf,
    process::Stdio,
};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// The process that `postmaster.pid` names, running or not.
pub(super) fn recorded(cluster: &Path) -> Option<Pid> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    // Negative for a single-user server.
    let number: i32 = text.lines().next()?.trim().parse().ok()?;
    Pid::from_raw(number.checked_abs()?)
}

/// Whether `postmaster.pid` says that this process accepts connections.
pub(super) fn is_ready(cluster: &Path, pid: Pid) -> bool {
    let Ok(text) = fs::read_to_string(cluster.join("postmaster.pid")) else { return false };
    let mut lines = text.lines();
    let first = lines.next().and_then(|line| line.trim().parse().ok());
    // The eighth line: starting, standby, ready or stopping.
    first == Some(pid.as_raw_nonzero().get())
        && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}

/// What a process number turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// No living process has it.
    Gone,
    /// A server process of this cluster.
    Ours,
    /// Proven to be something else.
    Stranger,
    /// The system does not let us see.
    Unknown,
}

/// Finds out what a process is, by its owner, its name and the folder it works in: a server
/// process works in the cluster it serves.
#[cfg(target_os = "linux")]
pub(super) fn identify(pid: Pid, cluster: &Path) -> Identity {
    let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    let Ok(folder) = fs::metadata(cluster) else { return Identity::Unknown };
    let stat = match fs::read_to_string(process.join("stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Identity::Gone,
        Err(_) if !exists(pid) => return Identity::Gone,
        Err(_) => return Identity::Unknown,
    };
    // number (name) state …; a name may contain parentheses.
    let Some((before, after)) = stat.rsplit_once(") ") else { return Identity::Unknown };
    if after.starts_with(['Z', 'X']) {
        return Identity::Gone;
    }
    let owner = fs::metadata(&process).map(|process| process.uid());
    // Some distributions wrap the program and call it .postgres-wrapped.
    if owner.is_ok_and(|owner| owner != folder.uid()) || !before.contains("postgres") {
        return Identity::Stranger;
    }
    match fs::metadata(process.join("cwd")) {
        Ok(cwd) if (cwd.dev(), cwd.ino()) == (folder.dev(), folder.ino()) => Identity::Ours,
        Ok(_) => Identity::Stranger,
        // Root in a container may not look into other users' processes. Their user may.
        Err(_) => match folder_as_seen_by(&folder, &process) {
            Some(cwd) if cwd == cluster => Identity::Ours,
            Some(_) => Identity::Stranger,
            None => Identity::Unknown,
        },
    }
}

#[cfg(target_os = "linux")]
fn folder_as_seen_by(owner: &fs::Metadata, process: &Path) -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let mut command = Command::new("readlink");
    command.arg(process.join("cwd")).uid(owner.uid()).gid(owner.gid()).current_dir("/");
    let output = command.stderr(Stdio::null()).output().ok()?;
    let path = output.stdout.strip_suffix(b"\n")?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

/// Finds out what a process is by its arguments.
#[cfg(not(target_os = "linux"))]
pub(super) fn identify(pid: Pid, cluster: &Path) -> Identity {
    if !exists(pid) {
        return Identity::Gone;
    }
    let number = pid.as_raw_nonzero().to_string();
    let output = Command::new("ps").args(["-o", "command=", "-p", &number]).output();
    let Ok(output) = output else { return Identity::Unknown };
    let command = String::from_utf8_lossy(&output.stdout).into_owned();
    if command.contains(&format!("postgres -D {} ", cluster.display())) {
        Identity::Ours
    } else if command.trim().is_empty() || command.contains("postgres") {
        Identity::Unknown
    } else {
        Identity::Stranger
    }
}

/// Whether the number is taken, be it by a process that has ended.
pub(super) fn exists(pid: Pid) -> bool {
    test_kill_process(pid) != Err(Errno::SRCH)
}

/// Whether this process is alive and serves this cluster.
pub(super) fn is_server_of(pid: Pid, cluster: &Path) -> bool {
    identify(pid, cluster) == Identity::Ours
}

/// Processes of this cluster, when its server is dead: what outlived it. On systems without
/// `/proc` none are seen; PostgreSQL itself does not start before they are gone.
pub(super) fn leftovers(cluster: &Path) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| is_server_of(*pid, cluster))
        .collect()
}

/// Waits until the leftovers of a dead server are gone, and ends those that do not go.
pub(super) fn clear_leftovers(cluster: &Path) {
    for signal in [None, Some(Signal::QUIT), Some(Signal::KILL)] {
        for pid in leftovers(cluster) {
            if let Some(signal) = signal {
                send(pid, signal);
            }
        }
        if wait_until(Duration::from_secs(3), || leftovers(cluster).is_empty()) {
            return;
        }
    }
}

/// Sends a signal; that the process is gone already is no error.
pub(super) fn send(pid: Pid, signal: Signal) {
    if let Err(error) = kill_process(pid, signal)
        && error != Errno::SRCH
    {
        tracing::warn!(%error, "a signal to PostgreSQL could not be sent");
    }
}

/// Whether the condition came true in time.
pub(super) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > limit {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_someone_else_is_not_our_server() {
        let dir = tempfile::tempdir().unwrap();
        let own = Pid::from_raw(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert_eq!(identify(own, dir.path()), Identity::Stranger);
        assert!(leftovers(dir.path()).is_empty());
    }

    #[test]
    fn a_dead_process_is_gone_though_nobody_asked_for_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(wait_until(Duration::from_secs(30), || {
            identify(pid, dir.path()) == Identity::Gone
        }));
        assert!(exists(pid));
        child.wait().unwrap();
        assert_eq!(identify(pid, dir.path()), Identity::Gone);
    }

    #[test]
    fn reads_the_pid_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postmaster.pid");
        assert_eq!(recorded(dir.path()), None);
        fs::write(&file, "4711\n/d\n1\n5432\n/s\n\n  1 2\nstarting\n").unwrap();
        let pid = Pid::from_raw(4711).unwrap();
        assert_eq!(recorded(dir.path()), Some(pid));
        assert!(!is_ready(dir.path(), pid));
        fs::write(&file, "4711\n/d\n1\n5432\n/s\n\n  1 2\nready   \n").unwrap();
        assert!(is_ready(dir.path(), pid));
        assert!(!is_ready(dir.path(), Pid::from_raw(4712).unwrap()));
        fs::write(&file, "-12\n").unwrap();
        assert_eq!(recorded(dir.path()), Pid::from_raw(12));
    }
}
