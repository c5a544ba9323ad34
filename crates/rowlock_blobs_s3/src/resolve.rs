//! Names to addresses: the system's, but for `localhost` and what is below it, which many systems
//! only half know. A bucket at a service on this machine is `<bucket>.localhost`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses of a host, without ports.
///
/// # Errors
/// The system's.
pub(crate) async fn addresses(name: &str) -> io::Result<Vec<SocketAddr>> {
    if is_loopback(name) {
        return Ok(vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]);
    }
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

/// `localhost` and all below it are this machine (RFC 6761 section 6.3).
fn is_loopback(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_localhost_is_here() {
        for here in ["localhost", "LOCALHOST.", "stub.localhost", "a.s3.localhost"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in ["localhost.example", "notlocalhost", "minio", ""] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
