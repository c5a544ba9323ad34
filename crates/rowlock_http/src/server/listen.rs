use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::settings::ServerSettings;

const BACKLOG: i32 = 1024;
const MOST_FILES: u64 = 1024 * 1024;

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The settings name no address.
    #[error("no address to listen on")]
    NoAddress,
    /// An address could not be taken.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// What to do about it, where that is clear.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program, or another server of this kind, has this port: stop it, or set \
             SERVER_PORT"
        }
        io::ErrorKind::PermissionDenied => "; set SERVER_PORT to one above 1023",
        io::ErrorKind::AddrNotAvailable => "; set SERVER_HOST to an address of this machine",
        _ => "",
    }
}

/// Bound sockets that don't accept yet.
#[derive(Debug)]
pub struct Listeners {
    pub(super) sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// The addresses listened on, with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Takes the addresses of the settings. An address of a family that this machine does not have
/// is skipped when there is another.
///
/// # Errors
/// When an address is taken or not ours, or none is left.
pub fn bind(settings: &ServerSettings) -> Result<Listeners, BindError> {
    let mut sockets = Vec::new();
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let mut skipped = None;
    let both_families = settings.listen.iter().any(SocketAddr::is_ipv4);
    for &address in &settings.listen {
        let mut wanted = address;
        if let (0, Some(first)) = (address.port(), addresses.first()) {
            wanted.set_port(first.port());
        }
        match listen(wanted, both_families) {
            Ok((socket, local)) => {
                sockets.push(socket);
                addresses.push(local);
            }
            Err(source) if settings.listen.len() > 1 && is_missing_family(&source) => {
                tracing::warn!(%address, "not listening there: this machine has no such address");
                skipped = Some(BindError::Address { address, source });
            }
            Err(source) => return Err(BindError::Address { address, source }),
        }
    }
    if sockets.is_empty() {
        return Err(skipped.unwrap_or(BindError::NoAddress));
    }
    Ok(Listeners { sockets, addresses })
}

fn listen(address: SocketAddr, only_v6: bool) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from_std(socket.into())?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

fn is_missing_family(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Raises this process's limit of open files as far as it may: each connection is a file, and so
/// is each object being read. Returns the limit in force.
pub fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(MOST_FILES);
    let maximum = limit.maximum.unwrap_or(MOST_FILES);
    // What the system has set as the maximum may be raised by a privileged process alone.
    let beyond = Rlimit { current: Some(MOST_FILES), maximum: Some(MOST_FILES) };
    if maximum < MOST_FILES && setrlimit(Resource::Nofile, beyond).is_ok() {
        return MOST_FILES;
    }
    let wanted = maximum.min(MOST_FILES);
    if wanted <= current {
        return current;
    }
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, limit = current, "cannot raise the limit of open files");
            current
        }
    }
}
