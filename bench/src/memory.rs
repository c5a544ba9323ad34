//! A process's resident memory, from `/proc`.

use std::fs;

/// The process to look at, if there is one on this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory(Option<u32>);

impl Memory {
    pub(crate) fn of(pid: Option<u32>) -> Self {
        Self(pid)
    }

    /// Resident megabytes now.
    pub(crate) fn now(self) -> Option<f64> {
        self.line("VmRSS:")
    }

    /// The most megabytes since the start, or since [`Self::forget_peak`] where that is permitted.
    pub(crate) fn peak(self) -> Option<f64> {
        self.line("VmHWM:")
    }

    /// Lets the kernel begin the peak anew (`man 5 proc`, clear_refs).
    pub(crate) fn forget_peak(self) {
        if let Some(pid) = self.0 {
            // Without the right to do so the peak is that since the start: higher, never lower.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    fn line(self, name: &str) -> Option<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0?)).ok()?;
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: f64 = rest.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024.0 / 1e6)
    }
}
