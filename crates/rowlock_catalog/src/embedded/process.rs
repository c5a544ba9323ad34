//! Telling our database's processes from all others.
//!
//! A process number in a file proves nothing: the machine may have been restarted since, and the
//! number given to someone else.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

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

/// Whether any process has this number.
pub(super) fn exists(pid: Pid) -> bool {
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

/// Whether this process is the PostgreSQL server of this cluster, and alive.
#[cfg(target_os = "linux")]
pub(super) fn is_server_of(pid: Pid, cluster: &Path) -> bool {
    let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    let (Ok(process_owner), Ok(folder)) = (fs::metadata(&process), fs::metadata(cluster)) else {
        return false;
    };
    if process_owner.uid() != folder.uid() || !is_postgres(&process) {
        return false;
    }
    match fs::metadata(process.join("cwd")) {
        Ok(cwd) => (cwd.dev(), cwd.ino()) == (folder.dev(), folder.ino()),
        // Root in a container may not look into another user's process; the arguments show.
        Err(_) => fs::read(process.join("cmdline")).is_ok_and(|arguments| {
            let mut arguments = arguments.split(|byte| *byte == 0);
            arguments.any(|argument| argument == b"-D")
                && arguments.next() == Some(cluster.as_os_str().as_encoded_bytes())
        }),
    }
}

/// Whether this process is the PostgreSQL server of this cluster, and alive.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_server_of(pid: Pid, cluster: &Path) -> bool {
    let number = pid.as_raw_nonzero().to_string();
    let output = std::process::Command::new("ps").args(["-o", "command=", "-p", &number]).output();
    output.is_ok_and(|output| {
        let command = String::from_utf8_lossy(&output.stdout).into_owned();
        command.contains("postgres") && command.contains(&format!("-D {}", cluster.display()))
    })
}

/// Processes of this cluster that outlived their server.
#[cfg(target_os = "linux")]
pub(super) fn leftovers(cluster: &Path) -> Vec<Pid> {
    let Ok(folder) = fs::metadata(cluster) else { return Vec::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let of_cluster = processes.flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let cwd = fs::metadata(entry.path().join("cwd")).ok()?;
        let here = (cwd.dev(), cwd.ino()) == (folder.dev(), folder.ino());
        // A shell whose user looks around in the folder is none.
        (here && is_postgres(&entry.path())).then(|| Pid::from_raw(number)).flatten()
    });
    of_cluster.collect()
}

/// Processes of this cluster that outlived their server: not to be seen on this system. They
/// end by themselves once their statement does, and PostgreSQL does not start before.
#[cfg(not(target_os = "linux"))]
pub(super) fn leftovers(_cluster: &Path) -> Vec<Pid> {
    Vec::new()
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
        && error != rustix::io::Errno::SRCH
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

#[cfg(target_os = "linux")]
fn is_postgres(process: &Path) -> bool {
    match fs::read_link(process.join("exe")) {
        // A package's update replaces the file under a running server.
        Ok(exe) => exe.file_name().is_some_and(|name| {
            matches!(name.as_encoded_bytes(), b"postgres" | b"postgres (deleted)")
        }),
        Err(_) => {
            fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "postgres")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_someone_else_is_not_our_server() {
        let dir = tempfile::tempdir().unwrap();
        let own = Pid::from_raw(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(exists(own));
        assert!(!is_server_of(own, dir.path()));
        assert!(leftovers(dir.path()).is_empty());
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
