//! The CPU time that processes spend, from `/proc`: unlike a rate it hardly changes when others use
//! the machine too.

use std::collections::HashMap;
use std::fs;

/// Clock ticks of `/proc/<pid>/stat` per second: 100 on every Linux (`man 5 proc`, USER_HZ).
const TICKS: f64 = 100.0;

/// Whose CPU time is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    server: Option<u32>,
    database: Option<u32>,
}

/// CPU seconds spent so far; not a number where nobody knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    server: f64,
    database: f64,
}

/// CPU microseconds of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerRequest {
    pub(crate) server: f64,
    pub(crate) database: f64,
}

impl Cpu {
    /// The server's process; its database's first process, if it is no child of the server's.
    pub(crate) fn of(server: Option<u32>, database: Option<u32>) -> Self {
        Self { server, database }
    }

    /// What was spent until now. All that the server has started counts as the database.
    pub(crate) fn now(self) -> Spent {
        let all = processes();
        let server = self.server.and_then(|pid| all.get(&pid)).map(|process| process.own);
        let database = match (self.database, self.server) {
            (Some(pid), _) => Some(all.get(&pid).map_or(0.0, |p| p.whole()) + below(&all, pid)),
            (None, Some(pid)) => Some(below(&all, pid)).filter(|spent| *spent > 0.0),
            (None, None) => None,
        };
        Spent { server: server.unwrap_or(f64::NAN), database: database.unwrap_or(f64::NAN) }
    }
}

impl Spent {
    pub(crate) fn until(self, later: Self, requests: usize) -> PerRequest {
        let each = |from: f64, to: f64| (to - from) * 1e6 / requests.max(1) as f64;
        PerRequest {
            server: each(self.server, later.server),
            database: each(self.database, later.database),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Process {
    parent: u32,
    /// Its own seconds.
    own: f64,
    /// Those of its children that have ended.
    ended: f64,
}

impl Process {
    fn whole(self) -> f64 {
        self.own + self.ended
    }
}

fn below(all: &HashMap<u32, Process>, root: u32) -> f64 {
    let children = all.iter().filter(|(_, process)| process.parent == root);
    children.map(|(pid, process)| process.whole() + below(all, *pid)).sum()
}

fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parse(&line)?))
    })
    .collect()
}

/// A line of `/proc/<pid>/stat`. The command in it may hold spaces and brackets.
fn parse(line: &str) -> Option<Process> {
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Of the manual's numbering, the first field behind the command is the third.
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        own: (ticks(14)? + ticks(15)?) / TICKS,
        ended: (ticks(16)? + ticks(17)?) / TICKS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_look_like_fields() {
        let line = "7 (a) 1 b) S 3 7 7 0 -1 4194560 9 0 0 0 100 50 20 30 20 0 1 0 99 0 0";
        assert_eq!(parse(line), Some(Process { parent: 3, own: 1.5, ended: 0.5 }));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn grandchildren_count_once() {
        let process = |parent| Process { parent, own: 1.0, ended: 0.5 };
        let all = HashMap::from([(2, process(1)), (3, process(2)), (4, process(9))]);
        assert!((below(&all, 1) - 3.0).abs() < 1e-9);
    }
}
