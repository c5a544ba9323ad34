//! Finding PostgreSQL's server programs on the machine.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::EmbeddedSettings;
use super::account::Account;
use super::error::EmbeddedError;
use crate::connect::OLDEST_SERVER;

/// Folders where packages put server programs; `*` stands for one version.
const FOLDERS: [&str; 10] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/lib/postgresql*/bin",
    "/usr/local/lib/postgresql*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/opt/local/lib/postgresql*/bin",
    "/usr/local/pgsql/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// A folder with the server programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    pub(super) bin: PathBuf,
    pub(super) major: u32,
}

impl Programs {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Finds programs that can run a cluster: of its version where there is one, else the first
    /// on the PATH that is new enough, else the newest in the usual folders.
    pub(super) fn find(
        settings: &EmbeddedSettings,
        account: &Account,
        cluster: &Path,
        needed: Option<u32>,
    ) -> Result<Self, EmbeddedError> {
        let mut search = Search { account, found: Vec::new(), unfit: Vec::new() };
        match &settings.bin_dir {
            Some(bin) => search.look_in(bin),
            None => {
                let path = settings.path.as_deref().unwrap_or_default();
                std::env::split_paths(path)
                    .filter(|folder| folder.is_absolute())
                    .for_each(|folder| search.look_in(&folder));
                let first = search.found.len();
                FOLDERS.iter().flat_map(|pattern| matching(pattern)).for_each(|folder| {
                    search.look_in(&folder);
                });
                search.found[first..].sort_by_key(|programs| std::cmp::Reverse(programs.major));
            }
        }
        search.choose(cluster, needed)
    }

    /// The client program `psql`: beside the server programs, else on the PATH.
    pub(super) fn psql(&self, path: Option<&OsStr>) -> Option<PathBuf> {
        let beside = self.path("psql");
        std::iter::once(beside)
            .chain(std::env::split_paths(path.unwrap_or_default()).map(|dir| dir.join("psql")))
            .find(|candidate| is_executable(candidate))
    }
}

struct Search<'a> {
    account: &'a Account,
    found: Vec<Programs>,
    unfit: Vec<String>,
}

impl Search<'_> {
    fn look_in(&mut self, bin: &Path) {
        let server = bin.join("postgres");
        if !(is_executable(&server) && is_executable(&bin.join("initdb"))) {
            return;
        }
        match self.account.command(&server).arg("--version").output() {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                match version(&text) {
                    Some(major) => self.found.push(Programs { bin: bin.to_owned(), major }),
                    None => self.unfit.push(format!("{}: {}", bin.display(), text.trim())),
                }
            }
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                self.unfit.push(format!("{}: {}", bin.display(), text.trim()));
            }
            Err(error) => self.unfit.push(format!(
                "{}: not to be run as uid {}: {error}",
                bin.display(),
                self.account.uid
            )),
        }
    }

    fn choose(self, cluster: &Path, needed: Option<u32>) -> Result<Programs, EmbeddedError> {
        let fits = |programs: &&Programs| match needed {
            Some(major) => programs.major == major,
            None => programs.major >= OLDEST_SERVER,
        };
        if let Some(programs) = self.found.iter().find(fits) {
            return Ok(programs.clone());
        }
        let versions: BTreeSet<u32> = self.found.iter().map(|programs| programs.major).collect();
        let versions: Vec<String> = versions.iter().map(u32::to_string).collect();
        if let Some(made_by) = needed {
            let found = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
            return Err(EmbeddedError::OtherVersion {
                cluster: cluster.to_owned(),
                made_by,
                found,
            });
        }
        let mut looked_at = self.unfit;
        if !versions.is_empty() {
            looked_at.insert(0, format!("only version {}", versions.join(", ")));
        }
        let looked_at = match looked_at.is_empty() {
            true => String::new(),
            false => format!(" ({})", looked_at.join("; ")),
        };
        Err(EmbeddedError::NoPrograms { looked_at })
    }
}

/// The major version in `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`.
fn version(text: &str) -> Option<u32> {
    let number = text.split_whitespace().nth(2)?;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The folders that fit a pattern with at most one `*`, which stays within one name.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let Some((parent, prefix)) = before.rsplit_once('/') else { return Vec::new() };
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let fitting = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.starts_with(prefix).then(|| PathBuf::from(format!("{parent}/{name}{after}")))
    });
    fitting.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_postgres_says_of_itself() {
        assert_eq!(version("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(version("postgres (PostgreSQL) 18beta2\n"), Some(18));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_star_stands_for_one_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["pg-15/bin", "pg-16/bin", "other/bin"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let mut found = matching(&format!("{}/pg-*/bin", dir.path().display()));
        found.sort();
        assert_eq!(found, [dir.path().join("pg-15/bin"), dir.path().join("pg-16/bin")]);
        assert!(matching("/nowhere-at-all/*/bin").is_empty());
    }
}
