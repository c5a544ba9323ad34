//! Why a connection could not be opened.

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::error::SqlState;

/// Why there is no connection. No variant contains a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL makes no sense.
    #[error("the database URL cannot be read: {0}")]
    Url(String),
    /// The certificates given to trust make no sense, or there are none.
    #[error("the certificates to trust cannot be used: {0}")]
    Certificates(String),
    /// Nothing was ready in time.
    #[error("the database did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// No socket could be opened.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// TLS was wanted and failed.
    #[error("TLS to the database failed: {reason}")]
    Tls {
        /// What was wrong with the handshake or the certificate.
        reason: String,
    },
    /// The server is older than the catalog's statements.
    #[error("the database server is PostgreSQL {found}; PostgreSQL 15 or newer is needed")]
    OldServer {
        /// The version as the server says it.
        found: String,
    },
    /// The server refused, or the protocol broke off.
    #[error("the database refused the connection: {reason}")]
    Refused {
        /// The server's message, or what broke.
        reason: String,
        /// The driver's error, with the SQLSTATE where there is one.
        #[source]
        source: tokio_postgres::Error,
    },
}

impl ConnectError {
    /// The SQLSTATE of the server's refusal: `53300` too many connections, `28P01` wrong password,
    /// `3D000` no such database, `57P03` starting up …
    #[must_use]
    pub fn sqlstate(&self) -> Option<&SqlState> {
        match self {
            Self::Refused { source, .. } => source.code(),
            _ => None,
        }
    }

    /// Whether the same attempt may succeed later without anyone changing a setting.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Unreachable(_) => true,
            Self::Refused { source, .. } => source.code().is_none_or(|code| {
                // Class 53: resources; 57: the operator stops or starts the server; 08: the wire.
                ["53", "57", "08"].iter().any(|class| code.code().starts_with(class))
            }),
            _ => false,
        }
    }

    pub(crate) fn from_driver(error: tokio_postgres::Error) -> Self {
        let kind = error.to_string();
        let reason = causes(&error);
        // The driver keeps its kinds to itself; the words it begins with are all there is.
        if kind.starts_with("error performing TLS handshake") {
            return Self::Tls { reason };
        }
        if kind.starts_with("error connecting to server") {
            return Self::Unreachable(reason);
        }
        let reason = match error.as_db_error() {
            Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
            None if reason.is_empty() => kind,
            None => format!("{kind}: {reason}"),
        };
        Self::Refused { reason, source: error }
    }
}

/// What lies under an error, outermost first, without repeating itself.
fn causes(error: &tokio_postgres::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            let separator = if text.is_empty() { "" } else { ": " };
            let _ = write!(text, "{separator}{words}");
        }
        next = cause.source();
    }
    text
}
