//! The private PostgreSQL with real processes: made, killed, moved, shared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rowlock_catalog::connect::{ConnectSettings, Connector};
use rowlock_catalog::embedded::{Embedded, EmbeddedError, EmbeddedSettings};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use tokio_postgres::Client;

const OWNER: &str = "ROWLOCK_TEST_OWNER";

/// A place for data folders that PostgreSQL's user can enter.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("rl").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(name)
    }

    fn settings(&self, name: &str) -> EmbeddedSettings {
        settings(self.path(name), self.path("elsewhere"))
    }
}

/// With the programs that the usual variable names, so that the suite runs on any version.
fn settings(data_dir: PathBuf, elsewhere: PathBuf) -> EmbeddedSettings {
    EmbeddedSettings {
        bin_dir: std::env::var_os("POSTGRES_BIN_DIR").map(PathBuf::from),
        path: std::env::var_os("PATH"),
        elsewhere,
        ..EmbeddedSettings::new(data_dir)
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn postgres_user() -> (u32, u32) {
    let number = |flag| {
        let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    (number("-u"), number("-g"))
}

async fn client(url: &str) -> Client {
    Connector::new(&ConnectSettings::new(url)).unwrap().connect().await.unwrap().0
}

async fn remember(embedded: &Embedded, what: &str) {
    let client = client(embedded.postgres_url()).await;
    client.batch_execute("CREATE TABLE IF NOT EXISTS public.memory (what text)").await.unwrap();
    client.execute("INSERT INTO public.memory VALUES ($1)", &[&what]).await.unwrap();
}

async fn memories(embedded: &Embedded) -> Vec<String> {
    let client = client(embedded.postgres_url()).await;
    let rows = client.query("SELECT what FROM public.memory ORDER BY what", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn pid_of(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

fn lives(number: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    let zombie = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
    test_kill_process(pid_of(number)).is_ok() && !zombie
}

/// A server in a process of its own, so that it can be killed.
struct Owner {
    process: Child,
    postmaster: u32,
}

impl Owner {
    fn start(settings: &EmbeddedSettings) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "owner_process", "--nocapture", "--test-threads=1"]);
        command.env(OWNER, &settings.data_dir).env("ROWLOCK_TEST_ELSEWHERE", &settings.elsewhere);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let postmaster = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once("postmaster=")?.1.trim().parse().ok())
            .expect("the owner says which process its database is");
        Self { process, postmaster }
    }

    fn kill(mut self) -> u32 {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.postmaster
    }
}

/// Not a test of its own: the process that [`Owner`] starts.
#[tokio::test]
async fn owner_process() {
    let Some(data_dir) = std::env::var_os(OWNER) else { return };
    let elsewhere = std::env::var_os("ROWLOCK_TEST_ELSEWHERE").unwrap();
    let settings = settings(data_dir.into(), elsewhere.into());
    let embedded = Embedded::start(&settings).await.unwrap();
    println!("postmaster={}", embedded.pid().unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn starts_stops_and_starts_again() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    let not_running = Embedded::urls_of_running(&settings).unwrap_err();
    assert!(matches!(not_running, EmbeddedError::NotRunning { .. }), "{not_running}");

    let embedded = Embedded::start(&settings).await.unwrap();
    assert_eq!(&Embedded::urls_of_running(&settings).unwrap(), embedded.urls());
    remember(&embedded, "first").await;

    let postgres = client(embedded.postgres_url()).await;
    let row = postgres
        .query_one(
            "SELECT current_user::text, rolsuper, rolbypassrls, current_setting('listen_addresses'),
                 current_setting('fsync'), current_setting('data_checksums'), encoding_name
             FROM pg_roles, LATERAL (SELECT pg_encoding_to_char(encoding)::text AS encoding_name
                 FROM pg_database WHERE datname = current_database()) AS d
             WHERE rolname = current_user",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "postgres");
    assert!(!row.get::<_, bool>(1), "no superuser");
    assert!(row.get::<_, bool>(2), "bypasses row-level security, as in the stack");
    assert_eq!(row.get::<_, String>(3), "");
    assert_eq!(row.get::<_, String>(4), "on");
    assert_eq!(row.get::<_, String>(5), "on");
    assert_eq!(row.get::<_, String>(6), "UTF8");
    let storage = client(embedded.storage_url()).await;
    storage.batch_execute("SET ROLE service_role").await.unwrap();

    let url = embedded.postgres_url().to_owned();
    let psql = Embedded::psql(&settings).unwrap().expect("psql beside the server");
    let answer = Command::new(&psql).args([&url, "-Atc", "SELECT what FROM memory"]).output();
    assert_eq!(String::from_utf8(answer.unwrap().stdout).unwrap(), "first\n");
    let quiet = Command::new(&psql)
        .envs(embedded.urls().postgres_environment())
        .args(["-Atc", "SELECT current_user"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(quiet.stdout).unwrap(), "postgres\n");

    let pid = embedded.pid().unwrap();
    embedded.stop().await;
    assert!(!lives(pid));
    assert!(matches!(Embedded::urls_of_running(&settings), Err(EmbeddedError::NotRunning { .. })));

    let again = Embedded::start(&settings).await.unwrap();
    assert_eq!(again.postgres_url(), url, "passwords and place stay");
    assert_eq!(memories(&again).await, ["first"]);
    again.stop().await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_password() {
    let scene = Scene::new();
    let embedded = Embedded::start(&scene.settings("data")).await.unwrap();
    let urls = [embedded.postgres_url(), embedded.admin_url(), embedded.storage_url()];
    for url in urls {
        let (before, after) = url.rsplit_once('@').unwrap();
        let role = before.rsplit_once(':').unwrap().0;
        for url in [format!("{role}@{after}"), format!("{role}:wrong@{after}")] {
            let connector = Connector::new(&ConnectSettings::new(&url)).unwrap();
            assert!(connector.connect().await.is_err(), "{role}");
        }
    }
    let home = scene.path("data/postgres");
    let mode = |name: &str| fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("passwords"), mode("socket"), mode("data")), (0o600, 0o700, 0o700));
    embedded.stop().await;
}

#[tokio::test]
async fn a_killed_owner_leaves_a_database_that_the_next_one_gets() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    let first = Embedded::start(&settings).await.unwrap();
    remember(&first, "acknowledged").await;
    first.stop().await;

    let orphan = Owner::start(&settings).kill();
    assert!(lives(orphan), "the database outlives its owner");
    let next = Embedded::start(&settings).await.unwrap();
    assert!(!lives(orphan));
    assert_eq!(memories(&next).await, ["acknowledged"]);
    next.stop().await;
}

#[tokio::test]
async fn owner_and_database_killed_together_recover() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    let first = Embedded::start(&settings).await.unwrap();
    remember(&first, "acknowledged").await;
    first.stop().await;
    let postmaster = Owner::start(&settings).kill();
    kill_process(pid_of(postmaster), Signal::KILL).unwrap();
    let next = Embedded::start(&settings).await.unwrap();
    assert_eq!(memories(&next).await, ["acknowledged"]);
    next.stop().await;
}

#[tokio::test]
async fn a_second_owner_is_refused_and_harms_nobody() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    let owner = Owner::start(&settings);
    let owner_pid = owner.process.id();
    match Embedded::start(&settings).await {
        Err(EmbeddedError::InUse { pid, .. }) => assert_eq!(pid, Some(owner_pid)),
        other => panic!("{other:?}"),
    }
    assert!(lives(owner.postmaster));
    let running = Embedded::urls_of_running(&settings).unwrap();
    client(running.postgres()).await.batch_execute("SELECT 1").await.unwrap();
    owner.kill();
    Embedded::start(&settings).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_killed_database_is_started_again() {
    let scene = Scene::new();
    let embedded = Embedded::start(&scene.settings("data")).await.unwrap();
    remember(&embedded, "acknowledged").await;
    // A statement that goes on after its server's death keeps a new server from starting.
    let busy = client(embedded.postgres_url()).await;
    let busy = tokio::spawn(async move {
        busy.batch_execute("SELECT count(*) FROM generate_series(1, 1000000000)").await
    });
    let observer = client(embedded.postgres_url()).await;
    let working = "SELECT count(*) FROM pg_stat_activity
        WHERE state = 'active' AND query LIKE '%generate_series%' AND pid <> pg_backend_pid()";
    while observer.query_one(working, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut status = embedded.status();
    let first = embedded.pid().unwrap();
    kill_process(pid_of(first), Signal::KILL).unwrap();
    let back = status.wait_for(|status| status.running && status.restarts == 1);
    tokio::time::timeout(Duration::from_secs(60), back).await.unwrap().unwrap();
    assert!(busy.await.unwrap().is_err());
    assert_ne!(embedded.pid(), Some(first));
    assert_eq!(memories(&embedded).await, ["acknowledged"]);
    embedded.stop().await;
}

#[tokio::test]
async fn dropped_it_stops_by_itself() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    let embedded = Embedded::start(&settings).await.unwrap();
    let pid = embedded.pid().unwrap();
    drop(embedded);
    let begun = Instant::now();
    while lives(pid) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it goes on running");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_number_that_now_belongs_to_a_stranger_stops_nothing() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    let first = Embedded::start(&settings).await.unwrap();
    let socket = first.postgres_url().rsplit_once("host=").unwrap().1.to_owned();
    remember(&first, "kept").await;
    first.stop().await;

    let mut stranger = Command::new("sleep");
    if is_root() {
        // As the database's own user: the only strangers that PostgreSQL mistakes for itself.
        let (uid, gid) = postgres_user();
        stranger.uid(uid).gid(gid);
    }
    let mut stranger = stranger.arg("600").spawn().unwrap();
    let cluster = scene.path("data/postgres/data");
    let pid_file =
        format!("{}\n{}\n1\n5432\n{socket}\n\n1 1\nready\n", stranger.id(), cluster.display());
    fs::write(cluster.join("postmaster.pid"), &pid_file).unwrap();
    fs::write(Path::new(&socket).join(".s.PGSQL.5432.lock"), &pid_file).unwrap();

    let again = Embedded::start(&settings).await.unwrap();
    assert_eq!(memories(&again).await, ["kept"]);
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was left alone");
    again.stop().await;
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn data_of_another_version_are_refused_with_advice() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    Embedded::start(&settings).await.unwrap().stop().await;
    let version = scene.path("data/postgres/data/PG_VERSION");
    let before = fs::read_to_string(&version).unwrap();
    fs::write(&version, "11\n").unwrap();
    let error = Embedded::start(&settings).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::OtherVersion { made_by: 11, .. }), "{error}");
    let advice = error.to_string();
    assert!(advice.contains("POSTGRES_BIN_DIR") && advice.contains("pg_dumpall"), "{advice}");
    fs::write(&version, before).unwrap();
    Embedded::start(&settings).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_folder_without_programs_is_named() {
    let scene = Scene::new();
    let settings = EmbeddedSettings {
        bin_dir: Some(scene.path("no-programs-here")),
        ..scene.settings("data")
    };
    let error = Embedded::start(&settings).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::BinDir { .. }), "{error}");
    assert!(error.to_string().contains("no-programs-here, and there is no such folder"));
}

#[tokio::test]
async fn a_first_start_that_was_cut_is_begun_again() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    let home = scene.path("data/postgres");
    // Cut in the middle of initdb: passwords and a draft, no cluster.
    Embedded::start(&settings).await.unwrap().stop().await;
    fs::rename(home.join("data"), home.join("new-cut")).unwrap();
    let first_passwords = fs::read(home.join("passwords")).unwrap();
    let embedded = Embedded::start(&settings).await.unwrap();
    assert!(!home.join("new-cut").exists());
    assert_eq!(fs::read(home.join("passwords")).unwrap(), first_passwords);
    remember(&embedded, "kept").await;
    embedded.stop().await;
    // Cut before the set-up was done.
    fs::remove_file(home.join("ready")).unwrap();
    let embedded = Embedded::start(&settings).await.unwrap();
    assert_eq!(memories(&embedded).await, ["kept"]);
    assert!(home.join("ready").exists());
    embedded.stop().await;
}

#[tokio::test]
async fn lost_passwords_are_replaced_and_wrong_ones_named() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    let first = Embedded::start(&settings).await.unwrap();
    remember(&first, "kept").await;
    let url = first.postgres_url().to_owned();
    first.stop().await;
    let passwords = scene.path("data/postgres/passwords");
    fs::remove_file(&passwords).unwrap();
    let again = Embedded::start(&settings).await.unwrap();
    assert_ne!(again.postgres_url(), url);
    assert_eq!(memories(&again).await, ["kept"]);
    again.stop().await;

    let wrong = "supabase_admin=a1\nsupabase_storage_admin=b2\npostgres=c3\n";
    fs::write(&passwords, wrong).unwrap();
    let error = Embedded::start(&settings).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Passwords(_)), "{error}");
}

#[tokio::test]
async fn two_folders_have_two_databases() {
    let scene = Scene::new();
    let (one, two) = (scene.settings("one"), scene.settings("two"));
    let (one, two) = tokio::join!(Embedded::start(&one), Embedded::start(&two));
    let (one, two) = (one.unwrap(), two.unwrap());
    remember(&one, "of one").await;
    remember(&two, "of two").await;
    assert_eq!(memories(&one).await, ["of one"]);
    assert_eq!(memories(&two).await, ["of two"]);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn deep_and_odd_paths_work() {
    let scene = Scene::new();
    for name in [format!("{0}/{0}/data", "deep-".repeat(18)), "with space, 'and' more".to_owned()] {
        let settings = scene.settings(&name);
        let embedded = Embedded::start(&settings).await.unwrap();
        let running = Embedded::urls_of_running(&settings).unwrap();
        let psql = Embedded::psql(&settings).unwrap().unwrap();
        let mut command = Command::new(psql);
        let answer = command.args([running.postgres(), "-Atc", "SELECT 1"]).output().unwrap();
        assert_eq!(String::from_utf8(answer.stdout).unwrap(), "1\n", "{name}");
        let socket = running.postgres().rsplit_once("host=").unwrap().1.to_owned();
        embedded.stop().await;
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!socket.starts_with(scene.dir.path().to_str().unwrap()));
        fs::remove_dir_all(socket).unwrap();
    }
}

/// A data folder in the home of root: nobody else can enter it.
fn closed_clone(scene: &Scene, name: &str) -> EmbeddedSettings {
    let home = scene.path(name);
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    scene.settings(&format!("{name}/rowlock-data"))
}

#[tokio::test]
async fn a_folder_that_only_root_can_enter_keeps_its_database_elsewhere() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let settings = closed_clone(&scene, "root");
    let first = Embedded::start(&settings).await.unwrap();
    remember(&first, "kept").await;
    assert!(!scene.path("root/rowlock-data/postgres").exists());
    assert_eq!(fs::read_dir(&settings.elsewhere).unwrap().count(), 1);
    assert_eq!(&Embedded::urls_of_running(&settings).unwrap(), first.urls());
    first.stop().await;

    let orphan = Owner::start(&settings).kill();
    let again = Embedded::start(&settings).await.unwrap();
    assert!(!lives(orphan));
    assert_eq!(memories(&again).await, ["kept"]);

    // A copy of the folder does not get at the original's database.
    let copy = closed_clone(&scene, "copy");
    copy_folder(&settings.data_dir, &copy.data_dir);
    let error = Embedded::start(&copy).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Moved { .. }), "{error}");
    assert_eq!(memories(&again).await, ["kept"]);
    again.stop().await;

    // Following the advice for a copy: it begins with a database of its own.
    fs::remove_file(copy.data_dir.join("postgres-elsewhere")).unwrap();
    let own = Embedded::start(&copy).await.unwrap();
    remember(&own, "the copy's").await;
    assert_eq!(memories(&own).await, ["the copy's"]);
    own.stop().await;

    // Following the advice for a move.
    let moved = closed_clone(&scene, "moved");
    fs::rename(&settings.data_dir, &moved.data_dir).unwrap();
    let Err(EmbeddedError::Moved { database, expected, .. }) = Embedded::start(&moved).await else {
        panic!("a moved folder is refused");
    };
    fs::rename(database, expected).unwrap();
    let found = Embedded::start(&moved).await.unwrap();
    assert_eq!(memories(&found).await, ["kept"]);
    found.stop().await;
    Embedded::start(&moved).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_folder_made_anew_does_not_inherit_the_old_database() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let settings = closed_clone(&scene, "root");
    let first = Embedded::start(&settings).await.unwrap();
    remember(&first, "old").await;
    first.stop().await;
    // The clone is deleted, with a database that outlived its owner, and cloned again.
    let orphan = Owner::start(&settings).kill();
    fs::remove_dir_all(&settings.data_dir).unwrap();
    let anew = Embedded::start(&settings).await.unwrap();
    assert!(!lives(orphan));
    remember(&anew, "new").await;
    assert_eq!(memories(&anew).await, ["new"]);
    assert_eq!(fs::read_dir(&settings.elsewhere).unwrap().count(), 2, "the old one is kept");
    anew.stop().await;
}

#[tokio::test]
async fn a_folder_deleted_under_a_running_owner_is_not_taken_over() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let settings = closed_clone(&scene, "root");
    let owner = Owner::start(&settings);
    fs::remove_dir_all(&settings.data_dir).unwrap();
    let error = Embedded::start(&settings).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::InUse { .. }), "{error}");
    assert!(lives(owner.postmaster));
    let postmaster = owner.kill();
    kill_process(pid_of(postmaster), Signal::INT).unwrap();
}

#[tokio::test]
async fn an_ordinary_user_needs_no_root() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let (uid, gid) = postgres_user();
    let folder = scene.path("user");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).unwrap();
    let program = scene.path("test-program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let data_dir = folder.join("data");
    let mut command = Command::new(&program);
    command.args(["--exact", "owner_process", "--nocapture", "--test-threads=1"]);
    command.env(OWNER, &data_dir).env("ROWLOCK_TEST_ELSEWHERE", scene.path("elsewhere"));
    command.uid(uid).gid(gid).current_dir("/").stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let postmaster: u32 = lines
        .map(Result::unwrap)
        .find_map(|line| line.split_once("postmaster=")?.1.trim().parse().ok())
        .unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(lives(postmaster));
    // Root later on the same folder goes on as that user.
    let settings = scene.settings("user/data");
    let as_root = Embedded::start(&settings).await.unwrap();
    assert!(!lives(postmaster));
    remember(&as_root, "kept").await;
    as_root.stop().await;
}

#[tokio::test]
async fn another_user_is_told_whose_folder_it_is() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    Embedded::start(&scene.settings("data")).await.unwrap().stop().await;
    let program = scene.path("test-program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["--exact", "owner_process", "--nocapture", "--test-threads=1"]);
    command.env(OWNER, scene.path("data")).env("ROWLOCK_TEST_ELSEWHERE", scene.path("elsewhere"));
    let output = command.uid(65534).gid(65534).current_dir("/").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("OtherOwner"), "{said}");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_dead_process_that_nobody_buried_does_not_stop_the_start() {
    let scene = Scene::new();
    let settings = scene.settings("data");
    let first = Embedded::start(&settings).await.unwrap();
    remember(&first, "kept").await;
    first.stop().await;
    let mut dead = Command::new("true");
    if is_root() {
        let (uid, gid) = postgres_user();
        dead.uid(uid).gid(gid);
    }
    let mut dead = dead.spawn().unwrap();
    while lives(dead.id()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let cluster = scene.path("data/postgres/data");
    let pid_file = format!("{}\n{}\n1\n5432\n\n\n1 1\nready\n", dead.id(), cluster.display());
    fs::write(cluster.join("postmaster.pid"), pid_file).unwrap();
    let again = Embedded::start(&settings).await.unwrap();
    assert_eq!(memories(&again).await, ["kept"]);
    again.stop().await;
    dead.wait().unwrap();
}
