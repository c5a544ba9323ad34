use std::net::IpAddr;
use std::time::Duration;

use super::Mode;
use super::source::Source;
use super::variable::Variable;

const SERVER_HOST: Variable =
    Variable::new("SERVER_HOST", "The address or host name to listen on.")
        .also(&["HOST"])
        .default("alone: 127.0.0.1 and [::1]; with a database: 0.0.0.0");
const SERVER_PORT: Variable = Variable::new("SERVER_PORT", "The port to listen on.")
    .also(&["PORT"])
    .default("alone: 8000; with a database: 5000");
const SERVER_KEEP_ALIVE_TIMEOUT: Variable =
    Variable::new("SERVER_KEEP_ALIVE_TIMEOUT", "Seconds an idle connection is kept.").default("61");
const SERVER_HEADERS_TIMEOUT: Variable = Variable::new(
    "SERVER_HEADERS_TIMEOUT",
    "Seconds within which a request's headers must have arrived.",
)
.default("65");
const SERVER_MAX_CONNECTIONS: Variable = Variable::new(
    "SERVER_MAX_CONNECTIONS",
    "How many connections are served at once; more wait, and answers end their connections then. \
     Two thirds of what `ulimit -n` leaves for them and for blobs at the most (docs/operations.md); \
     each that is slow takes some 35 KB of memory.",
)
.default("16384");
const VERSION: Variable = Variable::new("VERSION", "What `/version` answers.").default("0.0.0");

pub(crate) const VARIABLES: &[&Variable] = &[
    &SERVER_HOST,
    &SERVER_PORT,
    &SERVER_KEEP_ALIVE_TIMEOUT,
    &SERVER_HEADERS_TIMEOUT,
    &SERVER_MAX_CONNECTIONS,
    &VERSION,
];

/// Where and how to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BindSettings {
    /// Addresses or host names (`SERVER_HOST`). In alone mode without it: both loopbacks.
    pub(crate) hosts: Vec<String>,
    /// `SERVER_PORT`.
    pub(crate) port: u16,
    /// `SERVER_KEEP_ALIVE_TIMEOUT`.
    pub(crate) keep_alive_timeout: Duration,
    /// `SERVER_HEADERS_TIMEOUT`.
    pub(crate) headers_timeout: Duration,
    /// `SERVER_MAX_CONNECTIONS`.
    pub(crate) max_connections: usize,
    /// `VERSION`.
    pub(crate) version: String,
}

impl BindSettings {
    pub(crate) fn from_source(source: &Source, mode: Mode) -> Self {
        let (hosts, port): (&[&str], u16) = match mode {
            Mode::Alone => (&["127.0.0.1", "::1"], 8000),
            Mode::Stack => (&["0.0.0.0"], 5000),
        };
        let hosts = match source.text(&SERVER_HOST) {
            // Brackets belong to URLs; people write them here too.
            Some(host) => vec![host.trim().trim_matches(['[', ']']).to_owned()],
            None => hosts.iter().copied().map(str::to_owned).collect(),
        };
        let port = match source.number(&SERVER_PORT).map(u16::try_from) {
            None => port,
            Some(Ok(set)) => set,
            Some(Err(_)) => {
                source.warn(format!("SERVER_PORT is over 65535. The default {port} is used"));
                port
            }
        };
        let seconds =
            |variable, default| Duration::from_secs(source.number(variable).unwrap_or(default));
        Self {
            hosts,
            port,
            keep_alive_timeout: seconds(&SERVER_KEEP_ALIVE_TIMEOUT, 61),
            headers_timeout: seconds(&SERVER_HEADERS_TIMEOUT, 65),
            max_connections: source
                .number(&SERVER_MAX_CONNECTIONS)
                .filter(|most| *most > 0)
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(16_384),
            version: source.text_or(&VERSION, "0.0.0"),
        }
    }
    /// The URL under which this machine reaches a server that listens on that port: of the one
    /// address that it listens on, else of `localhost`.
    pub(crate) fn local_url(&self, port: u16) -> String {
        let plain = |host: &&String| {
            host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte))
        };
        let only = self.hosts.first().filter(|_| self.hosts.len() == 1).filter(plain);
        let host = match only.map(|host| (host, host.parse::<IpAddr>())) {
            Some((host, Err(_))) => host.clone(),
            Some((_, Ok(ip))) if ip.is_unspecified() || ip.is_loopback() => "localhost".to_owned(),
            Some((_, Ok(IpAddr::V6(ip)))) => format!("[{ip}]"),
            Some((_, Ok(IpAddr::V4(ip)))) => ip.to_string(),
            None => "localhost".to_owned(),
        };
        format!("http://{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_url_is_one_that_answers() {
        for (host, url) in [
            (None, "http://localhost:9000"),
            (Some("0.0.0.0"), "http://localhost:9000"),
            (Some("[::]"), "http://localhost:9000"),
            (Some("127.0.0.1"), "http://localhost:9000"),
            (Some("192.0.2.7"), "http://192.0.2.7:9000"),
            (Some("[2001:db8::1]"), "http://[2001:db8::1]:9000"),
            (Some("store.internal"), "http://store.internal:9000"),
            // It goes into a file that shells read.
            (Some("$(id)"), "http://localhost:9000"),
        ] {
            let set: Vec<_> = host.map(|host| ("SERVER_HOST", host)).into_iter().collect();
            let bind = BindSettings::from_source(&Source::new(&set, &[]), Mode::Alone);
            assert_eq!(bind.local_url(9000), url, "{host:?}");
        }
    }
}
