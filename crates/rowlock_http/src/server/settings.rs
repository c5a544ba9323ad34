use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where the server listens and how much it grants each connection.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Addresses to listen on. Port 0 takes a free port; further addresses with port 0 then take
    /// the same one.
    pub listen: Vec<SocketAddr>,
    /// How many connections are served at once, at least one (`SERVER_MAX_CONNECTIONS`, or what the
    /// limit of open files has room for); more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a request's head may take, from its first byte to its last
    /// (`SERVER_HEADERS_TIMEOUT`).
    pub header_timeout: Duration,
    /// How long a connection may idle between two requests (`SERVER_KEEP_ALIVE_TIMEOUT`).
    pub keep_alive_timeout: Duration,
    /// How long a request's body may pause while a handler waits for it.
    pub body_idle_timeout: Duration,
    /// How long a client may refuse to take another byte of an answer.
    pub send_timeout: Duration,
    /// How long running requests may take to finish once the server is told to stop.
    pub shutdown_grace: Duration,
    /// The largest head of a request in bytes; more is answered 431.
    pub max_head_bytes: usize,
    /// The most that a connection's read buffer grows to, in bytes, while its peer keeps up.
    pub max_buffer_bytes: usize,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            max_connections: 16_384,
            header_timeout: Duration::from_secs(65),
            keep_alive_timeout: Duration::from_secs(61),
            body_idle_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(300),
            shutdown_grace: Duration::from_secs(30),
            max_head_bytes: 64 * 1024,
            max_buffer_bytes: 128 * 1024,
        }
    }
}
