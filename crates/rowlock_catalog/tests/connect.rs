//! Connections against a real PostgreSQL with certificates made for the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rowlock_catalog::connect::{ConnectError, ConnectSettings, Connector, TlsMode};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_postgres::error::SqlState;

const PASSWORD: &str = "p@ss/w:rd?";
const ENCODED: &str = "p%40ss%2Fw%3Ard%3F";

/// A certificate authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A server's certificate for these names, and its key.
    fn certify(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A PostgreSQL of the test's own, on a port of 127.0.0.1 and a socket.
struct Server {
    dir: TempDir,
    process: Child,
    port: u16,
}

impl Server {
    /// `tls`: a certificate and its key; `access`: lines of pg_hba.conf.
    fn start(tls: Option<&(String, String)>, access: &str) -> Self {
        let bin = newest_programs();
        let dir = tempfile::Builder::new().prefix("rlc").tempdir_in("/tmp").unwrap();
        let user = unprivileged_user();
        own(dir.path(), user);
        let file = |name: &str, content: &str| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            own(&path, user);
            path
        };
        let cluster = dir.path().join("data");
        let password = file("password", PASSWORD);
        let mut initdb = as_user(&bin.join("initdb"), user);
        initdb.arg("-D").arg(&cluster).arg("--pwfile").arg(&password);
        initdb.args(["-U", "tester", "-A", "scram-sha-256", "--no-sync", "--locale", "C"]);
        assert!(initdb.stdout(Stdio::null()).status().unwrap().success());
        let access = file("pg_hba.conf", access);

        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut postgres = as_user(&bin.join("postgres"), user);
        postgres.arg("-D").arg(&cluster).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
        postgres.arg("-c").arg(format!("unix_socket_directories={}", dir.path().display()));
        postgres.arg("-c").arg(format!("hba_file={}", access.display())).args(["-c", "fsync=off"]);
        if let Some((certificate, key)) = tls {
            postgres.args(["-c", "ssl=on"]);
            for (setting, path) in [
                ("ssl_cert_file", file("server.crt", certificate)),
                ("ssl_key_file", file("server.key", key)),
            ] {
                postgres.arg("-c").arg(format!("{setting}={}", path.display()));
            }
        }
        let process = postgres.stderr(Stdio::null()).spawn().unwrap();
        let pid_file = cluster.join("postmaster.pid");
        while !fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready")) {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { dir, process, port }
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://tester:{ENCODED}@{host}:{}/postgres?{parameters}", self.port)
    }

    fn socket_url(&self, parameters: &str) -> String {
        let (folder, port) = (self.dir.path().display(), self.port);
        format!("postgres://tester:{ENCODED}@/postgres?host={folder}&port={port}&{parameters}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::INT);
        let _ = self.process.wait();
    }
}

fn newest_programs() -> PathBuf {
    let folders = fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
    let bins = folders.map(|folder| folder.path().join("bin")).filter(|bin| bin.exists());
    bins.max().expect("PostgreSQL is installed")
}

fn unprivileged_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let number = |flag| {
        let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    Some((number("-u"), number("-g")))
}

fn own(path: &Path, user: Option<(u32, u32)>) {
    if let Some((uid, gid)) = user {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

fn as_user(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").process_group(0);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

fn connector(url: String, root_cert: Option<&str>) -> Connector {
    let settings = ConnectSettings {
        ssl_root_cert: root_cert.map(str::to_owned),
        ..ConnectSettings::new(url)
    };
    Connector::new(&settings).unwrap()
}

/// Whether the connection that comes about is inside TLS. One without the driver must come about,
/// or be refused, in the same way.
async fn secured(url: String, root_cert: Option<&str>) -> Result<bool, ConnectError> {
    let connector = connector(url, root_cert);
    let raw = connector.connect_raw().await;
    let opened = connector.connect().await;
    let (client, _driver) = match (opened, raw) {
        (Ok(opened), Ok(Some(_raw))) => {
            // Ours and the other, which is still open.
            let both = "SELECT count(*), count(DISTINCT ssl) FROM pg_stat_ssl
                        JOIN pg_stat_activity USING (pid) WHERE backend_type = 'client backend'";
            let both = opened.0.query_one(both, &[]).await.unwrap();
            assert_eq!((both.get::<_, i64>(0), both.get::<_, i64>(1)), (2, 1));
            opened
        }
        (Err(error), Err(raw)) => {
            assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&raw), "{raw}");
            return Err(error);
        }
        (opened, raw) => panic!("with the driver {:?}, without {raw:?}", opened.map(|_| ())),
    };
    let statement = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(client.query_one(statement, &[]).await.unwrap().get(0))
}

#[track_caller]
fn refused_by_tls(result: &Result<bool, ConnectError>) {
    match result {
        Err(error @ ConnectError::Tls { .. }) => {
            let text = error.to_string();
            assert!(!text.contains(PASSWORD) && !text.contains(ENCODED), "{text}");
        }
        other => panic!("TLS should have failed: {other:?}"),
    }
}

#[tokio::test]
async fn every_mode_against_a_server_with_a_certificate() {
    let authority = Authority::new();
    let stranger = Authority::new();
    // Neither "127.0.0.1" as an address nor another name: one server per set of names is slow.
    let server = Server::start(
        Some(&authority.certify(&["localhost"])),
        "host all all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n",
    );
    let (ca, other) = (Some(authority.pem.as_str()), Some(stranger.pem.as_str()));
    let by_name = |mode: &str| server.url("localhost", &format!("sslmode={mode}"));
    let by_address = |mode: &str| server.url("127.0.0.1", &format!("sslmode={mode}"));

    // Without certificates to trust.
    assert!(!secured(by_name("disable"), None).await.unwrap());
    for mode in ["prefer", "require", "no-verify"] {
        assert!(secured(by_name(mode), None).await.unwrap(), "{mode}");
        assert!(secured(by_address(mode), None).await.unwrap(), "{mode}");
    }
    assert!(secured(server.url("localhost", ""), None).await.unwrap());
    // The machine's authorities know nothing of this one (or there are none at all).
    for mode in ["verify-ca", "verify-full"] {
        let settings = ConnectSettings::new(by_name(mode));
        match Connector::new(&settings) {
            Ok(connector) => refused_by_tls(&connector.connect().await.map(|_| true)),
            Err(error) => assert!(matches!(error, ConnectError::Certificates(_)), "{error}"),
        }
    }

    // With the right ones: the chain always, the name where it is asked for.
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        assert!(secured(by_name(mode), ca).await.unwrap(), "{mode}");
    }
    assert!(secured(server.url("localhost", ""), ca).await.unwrap());
    for mode in ["prefer", "require", "verify-ca"] {
        assert!(secured(by_address(mode), ca).await.unwrap(), "{mode}");
    }
    refused_by_tls(&secured(by_address("verify-full"), ca).await);
    refused_by_tls(&secured(server.url("127.0.0.1", ""), ca).await);

    // With wrong ones nothing passes, on an address either, unless verification is switched off.
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        refused_by_tls(&secured(by_name(mode), other).await);
        refused_by_tls(&secured(by_address(mode), other).await);
    }
    assert!(secured(by_name("no-verify"), other).await.unwrap());
    assert!(!secured(by_name("disable"), other).await.unwrap());

    // The URL's own file, and the log-in bound to the certificate.
    let file = server.dir.path().join("root.crt");
    fs::write(&file, &authority.pem).unwrap();
    let named = format!("sslrootcert={}&channel_binding=require", file.display());
    assert!(secured(server.url("localhost", &named), None).await.unwrap());
    fs::write(&file, &stranger.pem).unwrap();
    refused_by_tls(&secured(server.url("localhost", &named), None).await);

    // A socket has no wire.
    for mode in ["disable", "prefer", "require", "verify-full"] {
        let url = server.socket_url(&format!("sslmode={mode}"));
        assert!(!secured(url, ca).await.unwrap(), "{mode}");
    }
}

#[tokio::test]
async fn addresses_and_self_signed_certificates_verify() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    // As `openssl req -x509` makes them: its own authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let tls = (pem.clone(), key.serialize_pem());
    let server = Server::start(Some(&tls), "host all all 127.0.0.1/32 scram-sha-256\n");
    let full = server.url("127.0.0.1", "sslmode=verify-full");
    assert!(secured(full.clone(), Some(&pem)).await.unwrap());
    refused_by_tls(&secured(full, Some(&Authority::new().pem)).await);
    drop(server);

    let authority = Authority::new();
    let tls = authority.certify(&["127.0.0.1"]);
    let server = Server::start(Some(&tls), "host all all 127.0.0.1/32 scram-sha-256\n");
    let full = server.url("127.0.0.1", "sslmode=verify-full");
    assert!(secured(full, Some(&authority.pem)).await.unwrap());
    let by_name = server.url("localhost", "sslmode=verify-full");
    refused_by_tls(&secured(by_name, Some(&authority.pem)).await);
}

#[tokio::test]
async fn a_server_without_tls_is_for_those_who_allow_it() {
    let authority = Authority::new();
    let server = Server::start(
        None,
        "host all all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n",
    );
    assert!(!secured(server.url("127.0.0.1", "sslmode=prefer"), None).await.unwrap());
    assert!(!secured(server.url("127.0.0.1", ""), None).await.unwrap());
    for mode in ["require", "no-verify"] {
        let url = server.url("127.0.0.1", &format!("sslmode={mode}"));
        refused_by_tls(&secured(url, None).await);
    }
    // An authority that somebody on the way could talk us out of would be no use.
    for parameters in ["sslmode=prefer", ""] {
        let url = server.url("127.0.0.1", parameters);
        refused_by_tls(&secured(url, Some(&authority.pem)).await);
    }

    // Settings of the session, and its name.
    let settings = ConnectSettings {
        application_name: Some("a name".to_owned()),
        session: vec![("search_path".to_owned(), "storage, \"odd \\ one\"".to_owned())],
        ..ConnectSettings::new(server.url("127.0.0.1", ""))
    };
    let connector = Connector::new(&settings).unwrap();
    let (client, driver) = connector.connect().await.unwrap();
    let statement = "SELECT current_setting('search_path'), current_setting('application_name')";
    let row = client.query_one(statement, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "storage, \"odd \\ one\"");
    assert_eq!(row.get::<_, String>(1), "a name");

    // A statement can be stopped, and the driver ends with its client.
    let sleeping = client.batch_execute("SELECT pg_sleep(600)");
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        connector.cancel(client.cancel_token()).await.unwrap();
    };
    let (stopped, ()) = tokio::join!(sleeping, stop);
    assert_eq!(stopped.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    drop(client);
    tokio::time::timeout(Duration::from_secs(30), driver).await.unwrap().unwrap();

    // What LISTEN hears arrives.
    let (client, mut heard) = connector.connect_listening().await.unwrap();
    client.batch_execute("LISTEN door; NOTIFY door, 'knock'").await.unwrap();
    assert_eq!(heard.recv().await.unwrap().payload(), "knock");

    // Refusals carry their SQLSTATE and no secret.
    let wrong = server.url("127.0.0.1", "").replace(ENCODED, "hunter2");
    let error = secured(wrong, None).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some(&SqlState::INVALID_PASSWORD));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert!(!error.is_transient());
    let missing = server.url("127.0.0.1", "dbname=nowhere");
    let error = secured(missing, None).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some(&SqlState::UNDEFINED_DATABASE));
}

#[tokio::test]
async fn prefer_goes_without_tls_where_only_that_is_let_in() {
    let authority = Authority::new();
    let tls = authority.certify(&["localhost"]);
    let server = Server::start(Some(&tls), "hostnossl all all 127.0.0.1/32 scram-sha-256\n");
    assert!(!secured(server.url("localhost", "sslmode=prefer"), None).await.unwrap());
    let error = secured(server.url("localhost", "sslmode=require"), None).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION));
    assert!(
        secured(server.url("localhost", "sslmode=prefer"), Some(&authority.pem)).await.is_err()
    );
}

/// A server that says just enough to be taken for an old one.
fn old_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
        stream.read_exact(&mut startup).unwrap();
        let mut answer = b"R\0\0\0\x08\0\0\0\0".to_vec();
        let parameter = b"server_version\x0014.9 (Debian)\0";
        answer.push(b'S');
        answer.extend(u32::try_from(parameter.len() + 4).unwrap().to_be_bytes());
        answer.extend(parameter);
        answer.extend(b"Z\0\0\0\x05I");
        stream.write_all(&answer).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    port
}

#[tokio::test]
async fn old_servers_are_refused_in_a_sentence() {
    let url = format!("postgres://u@127.0.0.1:{}/d?sslmode=disable", old_server());
    let error = connector(url, None).connect().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the database server is PostgreSQL 14.9 (Debian); PostgreSQL 15 or newer is needed"
    );
}

#[tokio::test]
async fn waiting_has_an_end() {
    // Accepts in the kernel, answers never.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = ConnectSettings {
        connect_timeout: Duration::from_secs(1),
        ..ConnectSettings::new(format!("postgres://u:hunter2@127.0.0.1:{port}/d"))
    };
    let connector = Connector::new(&settings).unwrap();
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout(_)), "{error}");
    assert!(error.is_transient());
    drop(listener);
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
    assert_eq!(connector.tls_mode(), TlsMode::Prefer);
}
