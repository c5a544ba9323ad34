//! The operating system's user that PostgreSQL runs as.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::{At, EmbeddedError};

/// Users that exist for this purpose, on one system or another.
const NAMES: [&str; 4] = ["postgres", "_postgres", "pgsql", "rowlock"];

/// Whom the server's processes run as, and who owns its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// We are root, so children change to this user.
    pub(super) switch: bool,
}

impl Account {
    /// Ourselves, or as root: the owner of the cluster where one exists, else a system user.
    pub(super) fn choose(cluster: &Path) -> Result<Self, EmbeddedError> {
        let own = rustix::process::geteuid().as_raw();
        let owner = match fs::metadata(cluster) {
            Ok(metadata) => Some((metadata.uid(), metadata.gid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).at("reading the database folder", cluster),
        };
        if own != 0 {
            return match owner {
                Some((uid, _)) if uid != own => {
                    Err(EmbeddedError::OtherOwner { path: cluster.to_owned(), uid })
                }
                _ => Ok(Self { uid: own, gid: rustix::process::getegid().as_raw(), switch: false }),
            };
        }
        let (uid, gid) = match owner {
            Some((0, _)) | None => {
                NAMES.iter().find_map(|name| look_up(name)).ok_or(EmbeddedError::NoAccount)?
            }
            Some(owner) => owner,
        };
        Ok(Self { uid, gid, switch: true })
    }

    /// A command that runs as this user, in its own process group (a Ctrl-C in the terminal is
    /// for the server; it stops the database after its last statement), without our environment,
    /// which holds secrets.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .process_group(0);
        if self.switch {
            // The standard library drops root's other groups together with its user.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives a file that we made to this user.
    pub(super) fn give(&self, path: &Path) -> Result<(), EmbeddedError> {
        if !self.switch {
            return Ok(());
        }
        lchown(path, Some(self.uid), Some(self.gid)).at("giving a file to the database", path)
    }

    /// A folder of this user that nobody else can enter (root apart).
    pub(super) fn private_folder(&self, path: &Path) -> Result<(), EmbeddedError> {
        make_folder(path, 0o700)?;
        self.give(path)
    }

    /// Whether this user can enter a folder: asked of the system itself, which knows all rules.
    pub(super) fn may_enter(&self, folder: &Path, harmless_program: &Path) -> bool {
        let mut command = self.command(harmless_program);
        command.arg("--version").current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// Makes a folder with this mode, or gives an existing one this mode.
pub(super) fn make_folder(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(error).at("making a folder", path),
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).at("protecting a folder", path)
}

fn look_up(name: &str) -> Option<(u32, u32)> {
    // `id` asks every source of users that the machine has, not only /etc/passwd.
    let number = |flag: &str| -> Option<u32> {
        let output = Command::new("id").args([flag, name]).stderr(Stdio::null()).output().ok()?;
        std::str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
    };
    let (uid, gid) = (number("-u")?, number("-g")?);
    (uid != 0).then_some((uid, gid))
}
