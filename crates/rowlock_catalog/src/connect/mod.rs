//! Opening one connection to PostgreSQL: URL, TLS, time limit, version check.
//!
//! Pools and listeners call [`Connector::connect`] as often as they like; the connector itself
//! holds no connection.

mod error;
mod raw;
mod target;
mod tls;
mod verify;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, Connection, Notification, Socket};

pub use error::ConnectError;
pub(crate) use raw::Duplex;
pub use raw::RawConnection;
use target::Target;
pub use target::{TlsMode, split_password};
use tls::{MakeRustls, RustlsStream};

/// The oldest server that the catalog's statements are written for.
pub const OLDEST_SERVER: u32 = 15;

/// Where a database is and how to talk to it.
#[derive(Clone)]
pub struct ConnectSettings {
    /// `postgres://user:password@host:port/database?sslmode=…`; parts may be percent-encoded. A
    /// unix socket is a host that begins with `/`: `postgres://user@/db?host=/run/postgresql`.
    pub url: String,
    /// Certificates (PEM text) that the server's certificate must lead to. With them a
    /// certificate is always verified, whatever the host looks like, unless `sslmode` is
    /// `disable` or `no-verify`.
    pub ssl_root_cert: Option<String>,
    /// What `pg_stat_activity` shows. The URL's own `application_name` wins.
    pub application_name: Option<String>,
    /// How long the whole of connecting may take: name, socket, TLS, log-in.
    pub connect_timeout: Duration,
    /// Run-time settings of the session (`search_path`, `statement_timeout` …), sent in the first
    /// packet. Leave empty for a pooler: it refuses a connection that asks for such settings.
    pub session: Vec<(String, String)>,
}

impl ConnectSettings {
    /// Settings for `url` with nothing else chosen and ten seconds to connect.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ssl_root_cert: None,
            application_name: None,
            connect_timeout: Duration::from_secs(10),
            session: Vec::new(),
        }
    }
}

// The URL carries the password.
impl fmt::Debug for ConnectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectSettings")
            .field("application_name", &self.application_name)
            .field("connect_timeout", &self.connect_timeout)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Opens connections to one database. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    config: Arc<Config>,
    tls: MakeRustls,
    mode: TlsMode,
    may_fall_back: bool,
    timeout: Duration,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("config", &self.config).field("tls", &self.mode).finish()
    }
}

impl Connector {
    /// Reads the URL and the certificates. Opens no connection.
    ///
    /// # Errors
    /// [`ConnectError::Url`] and [`ConnectError::Certificates`], neither of which quotes a secret.
    pub fn new(settings: &ConnectSettings) -> Result<Self, ConnectError> {
        let Target { mut config, tls: chosen, root_cert, ignored } = target::parse(&settings.url)?;
        if !ignored.is_empty() {
            tracing::warn!(parameters = ignored.join(", "), "database URL: parameters ignored");
        }
        if config.get_application_name().is_none()
            && let Some(name) = &settings.application_name
        {
            config.application_name(name);
        }
        if !settings.session.is_empty() {
            let options = target::options(config.get_options(), &settings.session);
            config.options(options);
        }
        config.connect_timeout(settings.connect_timeout);
        config.keepalives(true);
        // Probes don't run while sent data waits for its acknowledgement: without a limit of its
        // own a statement would hang for a quarter of an hour when the network goes silent.
        config.tcp_user_timeout(Duration::from_secs(30));
        if config.get_keepalives_idle() > Duration::from_secs(60) {
            // The system's two hours would let a request hang on a connection that a firewall
            // has forgotten long ago.
            config.keepalives_idle(Duration::from_secs(60));
            config.keepalives_interval(Duration::from_secs(10));
            config.keepalives_retries(3);
        }

        let roots = match (&settings.ssl_root_cert, root_cert) {
            (Some(pem), _) => Some(verify::roots_from_pem(pem)?),
            (None, Some(named)) => Some(verify::roots_from_name(&named)?),
            (None, None) => None,
        };
        let mode = chosen.unwrap_or(match roots {
            Some(_) => TlsMode::VerifyFull,
            None => TlsMode::Prefer,
        });
        let only_sockets = config
            .get_hosts()
            .iter()
            .all(|host| matches!(host, tokio_postgres::config::Host::Unix(_)));
        let trusts = roots.is_some();
        config.ssl_mode(match mode {
            // A unix socket has no wire to listen on; libpq never uses TLS there either.
            _ if only_sockets => SslMode::Disable,
            TlsMode::Disable => SslMode::Disable,
            // A certificate authority that an attacker can strip away would be no use.
            TlsMode::Prefer if !trusts => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let direct = config.get_ssl_negotiation() == tokio_postgres::config::SslNegotiation::Direct;
        let verifier = verify::verifier(mode, roots)?;
        Ok(Self {
            may_fall_back: config.get_ssl_mode() == SslMode::Prefer,
            config: Arc::new(config),
            tls: MakeRustls::new(verifier, mode, direct)?,
            mode,
            timeout: settings.connect_timeout,
        })
    }

    /// How the connections are secured (on TCP; a unix socket never uses TLS).
    #[must_use]
    pub fn tls_mode(&self) -> TlsMode {
        self.mode
    }

    /// The role that the URL logs in as, where it names one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// Opens a connection. Its protocol runs in a task of its own that ends, and closes the
    /// socket, once the client is dropped and its last statement answered.
    ///
    /// # Errors
    /// See [`ConnectError`]; none of them contains the password.
    pub async fn connect(&self) -> Result<(Client, JoinHandle<()>), ConnectError> {
        let (client, connection) = self.open().await?;
        Ok((client, tokio::spawn(drive(connection, None))))
    }

    /// As [`Self::connect`], and passes on what `LISTEN` hears. The receiver ends with the
    /// connection.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_listening(
        &self,
    ) -> Result<(Client, mpsc::UnboundedReceiver<Notification>), ConnectError> {
        let (client, connection) = self.open().await?;
        let (heard, receiver) = mpsc::unbounded_channel();
        tokio::spawn(drive(connection, Some(heard)));
        Ok((client, receiver))
    }

    /// Asks the server to stop the statement that runs on the connection the token came from.
    ///
    /// # Errors
    /// When the request could not be delivered; the server never says whether it had an effect.
    pub async fn cancel(&self, token: CancelToken) -> Result<(), ConnectError> {
        match tokio::time::timeout(self.timeout, token.cancel_query(self.tls.clone())).await {
            Ok(sent) => sent.map_err(ConnectError::from_driver),
            Err(_) => Err(ConnectError::Timeout(self.timeout)),
        }
    }

    async fn open(&self) -> Result<(Client, Opened), ConnectError> {
        let (client, connection) = match tokio::time::timeout(self.timeout, self.attempt()).await {
            Ok(opened) => opened?,
            Err(_) => return Err(ConnectError::Timeout(self.timeout)),
        };
        if let Some(version) = connection.parameter("server_version")
            && major(version).is_some_and(|major| major < OLDEST_SERVER)
        {
            return Err(ConnectError::OldServer { found: version.to_owned() });
        }
        Ok((client, connection))
    }

    async fn attempt(&self) -> Result<(Client, Opened), ConnectError> {
        let error = match self.config.connect(self.tls.clone()).await {
            Ok(opened) => return Ok(opened),
            Err(error) => ConnectError::from_driver(error),
        };
        if !self.works_plain(&error) {
            return Err(error);
        }
        let mut plain = Config::clone(&self.config);
        plain.ssl_mode(SslMode::Disable);
        plain.connect(self.tls.clone()).await.map_err(ConnectError::from_driver)
    }

    /// `prefer` means: without TLS where TLS is what fails, as libpq does it.
    fn works_plain(&self, error: &ConnectError) -> bool {
        let plain_may_work = match error {
            ConnectError::Tls { .. } => true,
            other => other.sqlstate() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
        };
        self.may_fall_back && plain_may_work
    }
}

type Opened = Connection<Socket, RustlsStream<Socket>>;

async fn drive(mut connection: Opened, heard: Option<mpsc::UnboundedSender<Notification>>) {
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(notification)) => {
                if let Some(heard) = &heard {
                    // A receiver that is gone wants to hear nothing; the connection may live on.
                    let _ = heard.send(notification);
                }
            }
            Ok(AsyncMessage::Notice(notice)) => {
                tracing::debug!(severity = notice.severity(), "{}", notice.message());
            }
            Ok(_) => {}
            Err(error) => {
                let error = ConnectError::from_driver(error);
                tracing::debug!(%error, "a database connection ended");
                return;
            }
        }
    }
}

/// The major number of a `server_version` such as `15.13 (Debian 15.13-0+deb12u1)` or `18beta1`.
fn major(version: &str) -> Option<u32> {
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_server_versions_of_every_kind() {
        assert_eq!(major("15.13 (Debian 15.13-0+deb12u1)"), Some(15));
        assert_eq!(major("18beta1"), Some(18));
        assert_eq!(major("9.6.24"), Some(9));
        assert_eq!(major("unknown"), None);
    }

    #[test]
    fn says_nothing_secret_about_itself() {
        let settings = ConnectSettings::new("postgres://u:hunter2@127.0.0.1/db");
        let connector = Connector::new(&settings).unwrap();
        assert!(!format!("{settings:?} {connector:?}").contains("hunter2"));
    }

    #[test]
    fn a_given_authority_turns_verification_on() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["db".to_owned()]).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let mode = |url: &str, pem: Option<&str>| {
            let settings = ConnectSettings {
                ssl_root_cert: pem.map(str::to_owned),
                ..ConnectSettings::new(url)
            };
            let connector = Connector::new(&settings).unwrap();
            (connector.mode, connector.config.get_ssl_mode())
        };
        assert_eq!(mode("postgres://h/d", None), (TlsMode::Prefer, SslMode::Prefer));
        assert_eq!(mode("postgres://h/d", Some(&pem)), (TlsMode::VerifyFull, SslMode::Require));
        assert_eq!(
            mode("postgres://h/d?sslmode=prefer", Some(&pem)),
            (TlsMode::Prefer, SslMode::Require)
        );
        assert_eq!(
            mode("postgres:///d?host=/run/postgresql", Some(&pem)),
            (TlsMode::VerifyFull, SslMode::Disable)
        );
    }
}
