//! Private PostgreSQL servers for tests, of this crate and of those above it (feature `testing`).
//!
//! A server lives in a temporary folder and dies with the test process, however that ends. Its
//! binaries come from the folder in `ROWLOCK_TEST_POSTGRES_BIN`, else from Debian's PostgreSQL 15.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "only tests come here")]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::chown;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Config, NoTls};

use crate::schema::{StackSettings, bootstrap_stack};

const DEFAULT_BINARIES: &str = "/usr/lib/postgresql/15/bin";
const START_LIMIT: Duration = Duration::from_secs(60);

/// Ends the server when our end of the pipe closes, which the kernel sees to in every case.
const KEEPER: &str = r#"
"$1/postgres" -D "$2/data" -k "$2" -h 127.0.0.1 -p "$3" -c fsync=off -c full_page_writes=off \
    -c max_connections=200 -c shared_buffers=32MB -c jit=off -c autovacuum=off \
    >"$2/log" 2>&1 </dev/null &
server=$!
read -r _
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$2"
"#;

/// Which world a server imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// An installation of its own: superuser `postgres` and nothing else.
    Plain,
    /// The stack: superuser `supabase_admin`, and the stack's roles in every database.
    Stack,
}

/// A PostgreSQL server that listens on a private socket and on a port of 127.0.0.1; every role may
/// log in without a password.
#[derive(Debug)]
pub struct TestServer {
    world: World,
    folder: PathBuf,
    port: u16,
    keeper: Child,
    databases: AtomicU32,
    roles: tokio::sync::Mutex<()>,
}

impl TestServer {
    /// Starts a server of its own, stopped and removed when dropped.
    pub fn start(world: World) -> Self {
        let binaries = std::env::var_os("ROWLOCK_TEST_POSTGRES_BIN")
            .map_or_else(|| PathBuf::from(DEFAULT_BINARIES), PathBuf::from);
        let account = rustix::process::geteuid().is_root().then(postgres_account);
        let folder = tempfile::Builder::new().prefix("rl-").tempdir_in("/tmp").unwrap().keep();
        if let Some((uid, gid)) = account {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let unprivileged = |program: &Path| {
            let mut command = Command::new(program);
            if let Some((uid, gid)) = account {
                command.uid(uid).gid(gid);
            }
            command.current_dir(&folder);
            command
        };
        let superuser = superuser(world);
        let made = unprivileged(&binaries.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
            .arg(folder.join("data"))
            .args(["-U", superuser])
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        // A port found free may be taken before the server binds it.
        for _ in 0..5 {
            let port = free_port();
            let keeper = unprivileged(Path::new("/bin/sh"))
                .args(["-c", KEEPER, "keeper"])
                .arg(&binaries)
                .arg(&folder)
                .arg(port.to_string())
                .stdin(Stdio::piped())
                .process_group(0)
                .spawn()
                .expect("a shell runs");
            if ready(&folder) {
                return Self {
                    world,
                    folder,
                    port,
                    keeper,
                    databases: AtomicU32::new(0),
                    roles: tokio::sync::Mutex::new(()),
                };
            }
            end(keeper);
        }
        panic!("PostgreSQL did not start");
    }

    /// The one server per world that a test process shares.
    pub fn shared(world: World) -> &'static Self {
        static PLAIN: OnceLock<TestServer> = OnceLock::new();
        static STACK: OnceLock<TestServer> = OnceLock::new();
        let cell = match world {
            World::Plain => &PLAIN,
            World::Stack => &STACK,
        };
        cell.get_or_init(|| Self::start(world))
    }

    /// The folder of the socket; the folder `data` in it is the cluster.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The port, on 127.0.0.1 and in the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new database: empty in the plain world, else as the stack has it before the storage server
    /// first starts, without CREATE on the database for that server's user.
    pub async fn database(&self) -> TestDatabase {
        self.database_with(StackSettings { storage_admin_creates: false }).await
    }

    /// Like [`TestServer::database`] with a choice of the stack's state.
    pub async fn database_with(&self, settings: StackSettings) -> TestDatabase {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let admin = self.named("template1");
        let client = admin.connect(superuser(self.world)).await;
        client
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await
            .expect("the database is created");
        let database = self.named(&name);
        if self.world == World::Stack {
            let mut client = database.connect(superuser(self.world)).await;
            // Roles belong to the cluster: two databases at once must not both create them.
            let _turn = self.roles.lock().await;
            bootstrap_stack(&mut client, settings).await.expect("the stack is set up");
        }
        database
    }

    fn named(&self, name: &str) -> TestDatabase {
        TestDatabase {
            name: name.to_owned(),
            folder: self.folder.clone(),
            port: self.port,
            superuser: superuser(self.world),
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _status = self.keeper.wait();
    }
}

/// A database of a [`TestServer`].
#[derive(Debug, Clone)]
pub struct TestDatabase {
    name: String,
    folder: PathBuf,
    port: u16,
    superuser: &'static str,
}

impl TestDatabase {
    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster's superuser.
    pub fn superuser(&self) -> &'static str {
        self.superuser
    }

    /// Connection settings of a role, over the socket.
    pub fn config(&self, user: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.folder).port(self.port).user(user).dbname(&self.name);
        config
    }

    /// A URL of a role, over TCP.
    pub fn url(&self, user: &str) -> String {
        format!("postgresql://{user}@127.0.0.1:{}/{}?sslmode=disable", self.port, self.name)
    }

    /// A connection as a role, driven by a task of the current runtime.
    pub async fn connect(&self, user: &str) -> Client {
        let (client, connection) = self.config(user).connect(NoTls).await.expect("connects");
        tokio::spawn(connection);
        client
    }
}

/// A fresh database of the shared stack server, without CREATE for `supabase_storage_admin`.
pub async fn stack_database() -> TestDatabase {
    TestServer::shared(World::Stack).database().await
}

/// A fresh, empty database of the shared plain server; its superuser is `postgres`.
pub async fn plain_database() -> TestDatabase {
    TestServer::shared(World::Plain).database().await
}

fn superuser(world: World) -> &'static str {
    match world {
        World::Plain => "postgres",
        World::Stack => "supabase_admin",
    }
}

/// A port that is free and stays so: the kernel gives it to no client, and no test beside this one
/// takes it, since its name among abstract sockets is taken until the process ends.
fn free_port() -> u16 {
    loop {
        let port = 11_000 + (RandomState::new().build_hasher().finish() % 20_000) as u16;
        let name = SocketAddr::from_abstract_name(format!("rowlock-test-port-{port}")).unwrap();
        if let Ok(claim) = UnixListener::bind_addr(&name)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            std::mem::forget(claim);
            return port;
        }
    }
}

fn ready(folder: &Path) -> bool {
    let deadline = Instant::now() + START_LIMIT;
    let mut seen = false;
    while Instant::now() < deadline {
        match std::fs::read_to_string(folder.join("data/postmaster.pid")) {
            Ok(text) if text.lines().nth(7).is_some_and(|l| l.trim() == "ready") => return true,
            Ok(_) => seen = true,
            Err(_) if seen => return false,
            Err(_) => {}
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        if log.contains("FATAL") {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn end(mut keeper: Child) {
    let _status = keeper.kill();
    let _status = keeper.wait();
}

/// PostgreSQL refuses to run as root; its Debian packages bring this account.
fn postgres_account() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|l| l.starts_with("postgres:")).expect("user postgres exists");
    let mut fields = line.split(':').skip(2);
    let mut number = || fields.next().unwrap().parse().unwrap();
    (number(), number())
}
