//! Making a new cluster, so that an interruption at any point leaves either none or a whole one.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use super::account::Account;
use super::error::{At, EmbeddedError};
use super::home::Home;
use super::passwords::{Passwords, secret, sync_folder_of, write_private};
use super::programs::Programs;

/// The bootstrap superuser; only set-up uses it.
pub(super) const SUPERUSER: &str = "supabase_admin";

/// Prefix of folders in which clusters are made.
const DRAFT: &str = "new-";

/// Appended to `postgresql.conf`, where users may change it.
const SETTINGS: &str = "
# Set by rowlock when it made this database; yours to change.
timezone = 'UTC'
log_timezone = 'UTC'
max_connections = 60
shared_buffers = 64MB
max_wal_size = 512MB
min_wal_size = 80MB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
max_worker_processes = 4
max_parallel_workers = 2
max_parallel_workers_per_gather = 0
autovacuum_max_workers = 2
password_encryption = scram-sha-256
# Errors of single statements go to whoever sent them; the log is for the server's own events.
log_min_messages = log
log_min_error_statement = panic
log_checkpoints = off
";

/// Everyone logs in with a password, through the socket; there is no other way in.
const ACCESS: &str = "\
# TYPE  DATABASE     USER  METHOD
local   all          all   scram-sha-256
local   replication  all   scram-sha-256
";

/// Makes a cluster with `initdb` in a folder beside its place and renames it there.
pub(super) fn create(
    home: &Home,
    account: &Account,
    programs: &Programs,
    passwords: &Passwords,
) -> Result<(), EmbeddedError> {
    remove_drafts(home);
    let draft = home.folder().join(format!("{DRAFT}{}", &secret()[..8]));
    account.private_folder(&draft)?;
    let password_file = draft.join("password");
    write_private(&password_file, passwords.supabase_admin.as_bytes())?;
    account.give(&password_file)?;
    let cluster = draft.join("data");

    let run = |locale: &str| {
        let mut command = account.command(&programs.path("initdb"));
        command.args(["--username", SUPERUSER, "--encoding", "UTF8", "--data-checksums"]);
        command.args(["--auth", "scram-sha-256", "--locale", locale]);
        command.arg("--pwfile").arg(&password_file).arg("--pgdata").arg(&cluster);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).output()
    };
    let what = "running initdb";
    let initdb = programs.path("initdb");
    let mut output = run("C.UTF-8").at(what, &initdb)?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("locale") {
        // Systems without that locale still have C: the same order of bytes.
        output = run("C").at(what, &initdb)?;
    }
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        remove_drafts(home);
        return Err(EmbeddedError::Program { program: "initdb", output });
    }

    append(&cluster.join("postgresql.conf"), SETTINGS)?;
    let access = cluster.join("pg_hba.conf");
    write_private(&access, ACCESS.as_bytes())?;
    account.give(&access)?;
    let place = home.cluster();
    fs::rename(&cluster, &place).at("putting the new database in its place", &place)?;
    sync_folder_of(&place)?;
    remove_drafts(home);
    Ok(())
}

/// Gives the bootstrap superuser a new password without knowing the old one: the file with the
/// passwords was lost, as happens when only PostgreSQL's own folder was restored from a backup.
pub(super) fn reset_password(
    home: &Home,
    account: &Account,
    programs: &Programs,
    passwords: &Passwords,
) -> Result<(), EmbeddedError> {
    let program = programs.path("postgres");
    let what = "running postgres";
    let mut command = account.command(&program);
    command.args(["--single", "-D"]).arg(home.cluster()).arg("postgres");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .at(what, &program)?;
    if let Some(mut stdin) = child.stdin.take() {
        let statement = format!("ALTER ROLE {SUPERUSER} PASSWORD '{}'\n", passwords.supabase_admin);
        stdin.write_all(statement.as_bytes()).at(what, &program)?;
    }
    let output = child.wait_with_output().at(what, &program)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && !said.contains("ERROR") {
        return Ok(());
    }
    // The statement may be quoted, so what was said cannot be shown whole.
    let output = said
        .lines()
        .filter(|line| line.contains("FATAL") || line.contains("ERROR"))
        .collect::<Vec<_>>()
        .join("; ");
    Err(EmbeddedError::Program { program: "postgres --single", output })
}

/// What an interrupted `initdb` left. A failure is no harm: it is tried again next time.
fn remove_drafts(home: &Home) {
    let Ok(entries) = fs::read_dir(home.folder()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(DRAFT) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn append(path: &Path, text: &str) -> Result<(), EmbeddedError> {
    let mut file = OpenOptions::new().append(true).open(path).at("writing settings", path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).at("writing settings", path)
}
