//! S3 servers started as children: Garage where it is installed, moto's everywhere.

use rowlock_blobs_s3::{Checksums, Credentials, Limits, S3Settings, S3Store, Separator};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const KEY: &str = "GK0123456789abcdef01234567";
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const BUCKET: &str = "stub";
pub(crate) const REGION: &str = "us-east-1";

/// A running server with an empty bucket; stopped when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cache() -> PathBuf {
    match std::env::var_os("ROWLOCK_CACHE") {
        Some(folder) => folder.into(),
        None => PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/rowlock"),
    }
}

/// A port that is free and stays so: the kernel gives it to no client, and no test beside this one
/// takes it, since its name among abstract sockets is taken until the process ends.
fn free_port() -> u16 {
    loop {
        let port = 11_000 + (RandomState::new().build_hasher().finish() % 20_000) as u16;
        let name = SocketAddr::from_abstract_name(format!("rowlock-test-port-{port}")).unwrap();
        if let Ok(claim) = UnixListener::bind_addr(&name)
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            std::mem::forget(claim);
            return port;
        }
    }
}

fn wait_for(port: u16, child: &mut Child) {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "the server ended at once");
        assert!(begun.elapsed() < Duration::from_secs(60), "the server does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Garage, if it is installed (`./soak garage` does that).
pub(crate) fn garage() -> Option<Server> {
    let program = cache().join("bin/garage");
    if !program.exists() {
        eprintln!("Garage is not installed (./soak garage): only moto's server is tested");
        return None;
    }
    let folder = TempDir::new().unwrap();
    let (port, rpc) = (free_port(), free_port());
    let root = folder.path().display();
    let config = format!(
        "metadata_dir = '{root}/meta'\ndata_dir = '{root}/data'\ndb_engine = 'lmdb'\n\
         metadata_fsync = false\nreplication_factor = 1\nrpc_bind_addr = '127.0.0.1:{rpc}'\n\
         rpc_secret = '{SECRET}'\n[s3_api]\ns3_region = '{REGION}'\n\
         api_bind_addr = '127.0.0.1:{port}'\nroot_domain = '.s3.localhost'\n"
    );
    std::fs::write(folder.path().join("garage.toml"), config).unwrap();
    let mut child = Command::new(program)
        .arg("-c")
        .arg(folder.path().join("garage.toml"))
        .args(["server", "--single-node", "--default-bucket"])
        .env("GARAGE_DEFAULT_ACCESS_KEY", KEY)
        .env("GARAGE_DEFAULT_SECRET_KEY", SECRET)
        .env("GARAGE_DEFAULT_BUCKET", BUCKET)
        .env("GARAGE_ALLOW_WORLD_READABLE_SECRETS", "true")
        .env("RUST_LOG", "error")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(port, &mut child);
    Some(Server { child, port, _folder: folder })
}

/// moto's server; the Python packages of `tests/clients` bring it.
pub(crate) async fn moto() -> Server {
    let program = cache().join("venv/bin/moto_server");
    assert!(program.exists(), "moto's server is missing: run ./test once, which installs it");
    let port = free_port();
    let mut child = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(port, &mut child);
    let server = Server { child, port, _folder: TempDir::new().unwrap() };
    // Nothing is checked there, so that a bucket is made by a plain request.
    let made = tokio::task::spawn_blocking(move || put(port, &format!("/{BUCKET}"))).await.unwrap();
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    server
}

fn put(port: u16, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 0\r\n\
         authorization: AWS4-HMAC-SHA256 Credential={KEY}/20260101/{REGION}/s3/aws4_request, \
         SignedHeaders=host, Signature=0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Settings for a server on this machine.
pub(crate) fn settings(port: u16) -> S3Settings {
    S3Settings {
        bucket: BUCKET.into(),
        tenant: "ten".into(),
        separator: Separator::Slash,
        region: REGION.into(),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        force_path_style: true,
        credentials: Credentials::Static {
            access_key_id: KEY.into(),
            secret_access_key: SECRET.into(),
            session_token: None,
        },
        request_checksums: Checksums::WhenSupported,
        response_checksums: Checksums::WhenRequired,
        part_size: 5 << 20,
        growing_part_size: 50 << 20,
        queue_size: 2,
        buffer_budget: 64 << 20,
        max_sockets: 200,
        limits: Limits::default(),
        copy_limit: 5 << 30,
    }
}

pub(crate) async fn open(settings: S3Settings) -> S3Store {
    S3Store::open(settings).await.unwrap()
}
