use std::path::PathBuf;

use rowlock_catalog::embedded::EmbeddedError;

use crate::config::ConfigError;
use crate::server::ServeError;

/// Why a command fails: each text is one plain sentence for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The private database doesn't run.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The server does not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Objects and store can't be compared.
    #[error(transparent)]
    Scrub(#[from] rowlock_storage::ScrubError),
    /// The runtime does not start.
    #[error("can't start: {0}")]
    Runtime(std::io::Error),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file can't be written.
    #[error("can't write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// Standard output can't be written.
    #[error("can't print: {0}")]
    Output(std::io::Error),
}
