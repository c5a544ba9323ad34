//! Memory that was freed goes back to the system: glibc keeps it for whoever asks next, and after
//! a crowd of slow clients that would be a hundred megabytes for good.
#![allow(unsafe_code)]

use std::time::Duration;

/// Often enough that a crowd that comes finds little to leave holes in, too seldom to cost
/// anything.
const EVERY: Duration = Duration::from_secs(10);

/// How many bytes of memory there are: the machine's, or the container's where that has fewer.
pub(super) fn of_the_machine() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|text| text.trim().parse().ok());
    [machine, container].into_iter().flatten().min()
}

/// `MemTotal` of `/proc/meminfo` (proc_meminfo(5)), which says kB and means KiB.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Gives memory back now and then, for as long as it is polled.
pub(super) async fn give_back() {
    loop {
        tokio::time::sleep(EVERY).await;
        // It may take some milliseconds. Should the thread be lost, the next one does it.
        let _ = tokio::task::spawn_blocking(trim).await;
    }
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: malloc_trim takes no pointer and may be called by any thread at any time; it gives
    // away only pages that no allocation uses.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give back what is freed by themselves.
#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says() {
        let text = "MemTotal:        2048 kB\nMemFree:            1 kB\n";
        assert_eq!(total(text), Some(2 << 20));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(of_the_machine().is_some_and(|bytes| bytes > 64 << 20));
    }
}
