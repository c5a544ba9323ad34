//! A proxy between the pool and PostgreSQL that counts what travels.

use rowlock_catalog::testing::TestDatabase;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// What was counted since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Travelled {
    /// How often the client had to wait for the server before it could go on.
    pub(crate) trips: u32,
    /// Statements: Sync and simple Query messages.
    pub(crate) statements: u32,
}

#[derive(Default)]
struct Counters {
    trips: AtomicU32,
    statements: AtomicU32,
}

pub(crate) struct Proxy {
    port: u16,
    counters: Arc<Counters>,
}

impl Proxy {
    pub(crate) async fn start(db: &TestDatabase, user: &str) -> Self {
        let socket = db.config(user);
        let folder = match &socket.get_hosts()[0] {
            tokio_postgres::config::Host::Unix(path) => path.clone(),
            tokio_postgres::config::Host::Tcp(_) => panic!("a socket was expected"),
        };
        let path = folder.join(format!(".s.PGSQL.{}", socket.get_ports()[0]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (path, shared) = (path.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Ok(server) = UnixStream::connect(&path).await {
                        relay(client, server, &shared).await;
                    }
                });
            }
        });
        Self { port, counters }
    }

    pub(crate) fn url(&self, db: &TestDatabase, user: &str) -> String {
        format!("postgresql://{user}@127.0.0.1:{}/{}?sslmode=disable", self.port, db.name())
    }

    /// What travelled since the last call.
    pub(crate) fn take(&self) -> Travelled {
        Travelled {
            trips: self.counters.trips.swap(0, Ordering::SeqCst),
            statements: self.counters.statements.swap(0, Ordering::SeqCst),
        }
    }
}

/// Cuts a byte stream into messages of the protocol (type, length, contents).
#[derive(Default)]
struct Messages {
    pending: Vec<u8>,
    started: bool,
}

impl Messages {
    fn types(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pending.extend_from_slice(bytes);
        let mut types = Vec::new();
        loop {
            // The client's first packet has no type.
            let head = usize::from(self.started);
            let Some(length) = self.pending.get(head..head + 4) else { return types };
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if self.pending.len() < head + length {
                return types;
            }
            if self.started {
                types.push(self.pending[0]);
            }
            self.pending.drain(..head + length);
            self.started = true;
        }
    }
}

async fn relay(client: TcpStream, server: UnixStream, counters: &Counters) {
    client.set_nodelay(true).unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // Answers that the client still waits for.
    let waiting = AtomicI64::new(0);
    let up = async {
        let mut messages = Messages::default();
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n) = from_client.read(&mut buffer).await {
            if n == 0 {
                break;
            }
            for kind in messages.types(&buffer[..n]) {
                if kind == b'S' || kind == b'Q' {
                    counters.statements.fetch_add(1, Ordering::SeqCst);
                    if waiting.fetch_add(1, Ordering::SeqCst) == 0 {
                        counters.trips.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
            if to_server.write_all(&buffer[..n]).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let mut messages = Messages { started: true, ..Messages::default() };
        let mut buffer = vec![0; 64 * 1024];
        let mut greeted = false;
        while let Ok(n) = from_server.read(&mut buffer).await {
            if n == 0 {
                break;
            }
            for kind in messages.types(&buffer[..n]) {
                if kind == b'Z' {
                    // The first one ends the log-in.
                    if greeted {
                        waiting.fetch_sub(1, Ordering::SeqCst);
                    }
                    greeted = true;
                }
            }
            if to_client.write_all(&buffer[..n]).await.is_err() {
                break;
            }
        }
        let _ = to_client.shutdown().await;
    };
    futures_util::join!(up, down);
}
