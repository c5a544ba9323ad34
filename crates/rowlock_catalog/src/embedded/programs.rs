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
        Self::find_in(&FOLDERS, settings, account, cluster, needed)
    }

    /// The same, where the usual folders are these.
    fn find_in(
        folders: &[&str],
        settings: &EmbeddedSettings,
        account: &Account,
        cluster: &Path,
        needed: Option<u32>,
    ) -> Result<Self, EmbeddedError> {
        let bin_dir = settings.bin_dir.as_deref();
        let mut search = Search { account, bin_dir, found: Vec::new(), unfit: Vec::new() };
        match &settings.bin_dir {
            Some(bin) => search.look_in(bin),
            None => {
                let path = settings.path.as_deref().unwrap_or_default();
                std::env::split_paths(path)
                    .filter(|folder| folder.is_absolute())
                    .for_each(|folder| search.look_in(&folder));
                let first = search.found.len();
                folders.iter().flat_map(|pattern| matching(pattern)).for_each(|folder| {
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
    bin_dir: Option<&'a Path>,
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
        let versions = (!versions.is_empty()).then(|| versions.join(", "));
        let unfit = (!self.unfit.is_empty()).then(|| self.unfit.join("; "));
        let named = self.bin_dir.is_some();
        match (needed, self.bin_dir) {
            (Some(made_by), _) if versions.is_some() || !named => {
                let found = match (versions, named) {
                    (Some(versions), true) => {
                        format!("POSTGRES_BIN_DIR holds the programs of version {versions}")
                    }
                    (Some(versions), false) => format!(
                        "its server programs are not here (those of version {versions} are)"
                    ),
                    (None, _) => "no server programs are here".to_owned(),
                };
                let cluster = cluster.to_owned();
                Err(EmbeddedError::OtherVersion { cluster, made_by, found, named })
            }
            (_, Some(bin)) => {
                let wrong = match (versions, unfit) {
                    (Some(versions), _) => format!("which holds PostgreSQL {versions}"),
                    (None, Some(unfit)) => format!("whose programs can't be run ({unfit})"),
                    (None, None) => what_is_wrong_with(bin),
                };
                Err(EmbeddedError::BinDir { bin_dir: bin.to_owned(), wrong })
            }
            (_, None) => {
                let looked_at = match (versions, unfit) {
                    (Some(versions), _) => format!(
                        "PostgreSQL 15 or newer is needed, and only the server programs of version \
                         {versions} are here"
                    ),
                    (None, Some(unfit)) => {
                        format!("PostgreSQL's server programs can't be run ({unfit})")
                    }
                    (None, None) => "PostgreSQL's server programs (15 or newer; no running \
                                     server) are needed and not here"
                        .to_owned(),
                };
                Err(EmbeddedError::NoPrograms { looked_at })
            }
        }
    }
}

/// Why a folder that was named for its programs has none.
fn what_is_wrong_with(bin: &Path) -> String {
    let below = bin.join("bin");
    if is_executable(&below.join("postgres")) {
        format!("and the programs are in {}", below.display())
    } else if !bin.is_dir() {
        "and there is no such folder".to_owned()
    } else if is_executable(&bin.join("psql")) {
        "which holds the client's programs only".to_owned()
    } else {
        "which does not hold both of them".to_owned()
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

    /// A machine: usual folders and a PATH, with what stands in them.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
            Self(dir)
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// A program that prints a line (to standard error, and fails, where it begins with `!`).
        fn program(&self, name: &str, says: &str) -> &Self {
            let path = self.at(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let script = match says.strip_prefix('!') {
                Some(error) => format!("#!/bin/sh\necho '{error}' >&2\nexit 1\n"),
                None => format!("#!/bin/sh\necho '{says}'\n"),
            };
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            self
        }

        fn server(&self, bin: &str, version: u32) -> &Self {
            self.program(&format!("{bin}/initdb"), "initdb")
                .program(&format!("{bin}/postgres"), &format!("postgres (PostgreSQL) {version}.3"))
        }

        fn find(&self, bin_dir: Option<&str>, needed: Option<u32>) -> Result<Programs, String> {
            let own = rustix::process::geteuid().as_raw();
            let account =
                Account { uid: own, gid: rustix::process::getegid().as_raw(), switch: false };
            let settings = EmbeddedSettings {
                bin_dir: bin_dir.map(|name| self.at(name)),
                path: Some(self.at("path").into()),
                ..EmbeddedSettings::new("/nowhere")
            };
            let usual = format!("{}/usual/*/bin", self.0.path().display());
            Programs::find_in(&[&usual], &settings, &account, Path::new("/cluster"), needed)
                .map_err(|error| error.to_string())
        }

        fn refusal(&self, bin_dir: Option<&str>, needed: Option<u32>) -> String {
            let text = self.find(bin_dir, needed).unwrap_err();
            assert!(!text.contains(['\n', '{']), "{text}");
            text
        }
    }

    #[test]
    fn without_programs_the_advice_is_to_install_them() {
        let machine = Machine::new();
        let text = machine.refusal(None, None);
        assert!(text.contains("are needed and not here. Install them: "), "{text}");
        assert!(text.contains(&super::super::advice::install()), "{text}");
        assert!(text.contains("DATABASE_URL"), "{text}");
        // A client alone is no server.
        machine.program("path/psql", "psql (PostgreSQL) 17.2");
        assert_eq!(machine.refusal(None, None), text);

        machine.server("usual/13/bin", 13).server("usual/14/bin", 14);
        let text = machine.refusal(None, None);
        assert!(text.contains("only the server programs of version 13, 14 are here"), "{text}");

        machine.server("usual/16/bin", 16).server("usual/17/bin", 17);
        assert_eq!(machine.find(None, None).unwrap().major, 17);
        assert_eq!(machine.find(None, Some(16)).unwrap().bin, machine.at("usual/16/bin"));
        machine.server("path", 15);
        assert_eq!(machine.find(None, None).unwrap().major, 15, "the PATH comes first");
    }

    #[test]
    fn a_folder_that_was_named_is_what_the_message_is_about() {
        let machine = Machine::new();
        machine.server("usual/17/bin", 17);
        let about = |name: &str, needed| {
            let text = machine.refusal(Some(name), needed);
            let begin = format!("POSTGRES_BIN_DIR is {}, ", machine.at(name).display());
            let rest = text.strip_prefix(&begin).unwrap_or_else(|| panic!("{text}"));
            assert!(rest.contains("unset it") && !rest.contains("Install"), "{rest}");
            rest.to_owned()
        };
        assert!(about("gone", None).starts_with("and there is no such folder; "));
        fs::create_dir_all(machine.at("empty")).unwrap();
        assert!(about("empty", None).starts_with("which does not hold both of them; "));
        let below = format!("and the programs are in {}; ", machine.at("usual/17/bin").display());
        assert!(about("usual/17", None).starts_with(&below));
        machine.program("client/psql", "psql");
        assert!(about("client", None).starts_with("which holds the client's programs only; "));
        machine.server("old", 14);
        assert!(about("old", None).starts_with("which holds PostgreSQL 14; "));
        machine.program("torn/initdb", "x").program("torn/postgres", "!no libpq.so.5");
        assert!(
            about("torn", None).contains("can't be run") && about("torn", None).contains("libpq")
        );
        assert!(about("gone", Some(17)).starts_with("and there is no such folder; "));
        assert_eq!(machine.find(Some("usual/17/bin"), None).unwrap().major, 17);
    }

    #[test]
    fn a_database_of_another_version_says_which_programs_it_needs() {
        let machine = Machine::new();
        let begin = "the database in /cluster was made by PostgreSQL 15, and ";
        let text = machine.refusal(None, Some(15));
        assert!(
            text.starts_with(&format!("{begin}no server programs are here. Install")),
            "{text}"
        );
        machine.server("usual/17/bin", 17);
        let text = machine.refusal(None, Some(15));
        assert!(text.contains("those of version 17 are") && text.contains("Install"), "{text}");
        let text = machine.refusal(Some("usual/17/bin"), Some(15));
        let named = "POSTGRES_BIN_DIR holds the programs of version 17. Set it to";
        assert!(text.starts_with(&format!("{begin}{named}")), "{text}");
    }
}
