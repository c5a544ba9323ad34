//! Memory that was freed goes back to the system: glibc keeps it for whoever asks next, and after
//! a crowd of slow clients that would be a hundred megabytes for good.
#![allow(unsafe_code)]

use std::time::Duration;

/// Often enough that a crowd that comes finds little to leave holes in, too seldom to cost
/// anything.
const EVERY: Duration = Duration::from_secs(10);

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
