use std::path::PathBuf;

/// Why the configuration can't be used. Each text is one sentence for the operator, and none
/// quotes a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A value that is not allowed.
    #[error("{name} is {value:?}; allowed: {allowed}")]
    Malformed { name: &'static str, value: String, allowed: String },
    /// A secret that is not allowed.
    #[error("{name} is not usable (its value is a secret and not shown); allowed: {allowed}")]
    MalformedSecret { name: &'static str, allowed: String },
    /// A value that has no default.
    #[error("{name} is not set: {why}")]
    Missing { name: &'static str, why: &'static str },
    /// Values that can't be true together, or that this version can't serve.
    #[error("{0}")]
    Refused(String),
    /// The `.env` file exists and can't be read.
    #[error("can't read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// The `.env` file exists and keys are missing in it and in the environment.
    #[error(
        "{} exists but lacks {}; add what is missing (a new file from `rowlock init` would have new keys: all tokens and keys in use would end) \
         (nothing was written)",
        path.display(),
        names.join(", ")
    )]
    Incomplete { path: PathBuf, names: Vec<&'static str> },
}
