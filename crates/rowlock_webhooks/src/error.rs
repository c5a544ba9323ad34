use std::time::Duration;

/// Why there can be no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not an address that requests can go to.
    #[error("an http:// or https:// URL is needed")]
    Url,
    /// A key that no header can carry.
    #[error("the key has characters that no header can carry")]
    Key,
    /// TLS cannot be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why something was not taken. The texts hold neither addresses nor keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The answer was no 2xx.
    #[error("status {0}")]
    Status(u16),
    /// No answer came in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// There was no connection, or it broke.
    #[error("{0}")]
    Connection(String),
}

impl PostError {
    /// The innermost cause, in the system's words.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self::Connection(cause.to_string())
    }
}
