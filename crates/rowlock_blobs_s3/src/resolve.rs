//! Names to addresses: the system's, but for `localhost` and what is below it, which many systems
//! only half know. A bucket at a service on this machine is `<bucket>.localhost`.

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, Clone)]
pub(crate) struct Resolver;

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        if is_loopback(name) {
            let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return DnsFuture::ready(Ok(here.to_vec()));
        }
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
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
