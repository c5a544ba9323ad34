use crate::layout::Separator;
use std::fmt;
use std::time::Duration;

/// Where blobs are kept, and how the service is talked to.
#[derive(Clone)]
pub struct S3Settings {
    /// The bucket that holds all blobs; it must exist.
    pub bucket: String,
    /// The tenant: the first segment of every key.
    pub tenant: String,
    /// What stands between a blob's key and its version.
    pub separator: Separator,
    /// The region to sign for.
    pub region: String,
    /// The service's URL; `None`: AWS, by the region.
    pub endpoint: Option<String>,
    /// Name the bucket in the path instead of the host's name.
    pub force_path_style: bool,
    /// What requests are signed with.
    pub credentials: Credentials,
    /// Whether uploads carry a CRC32 beside them.
    pub request_checksums: Checksums,
    /// Whether downloads are checked against the CRC the service keeps.
    pub response_checksums: Checksums,
    /// The size of a part in bytes (at least 5 MiB): larger uploads go in parts of this size.
    pub part_size: u64,
    /// The size of the parts, in bytes, of a blob that grows over several requests to a length that
    /// nobody told; others get parts of [`S3Settings::part_size`] or smaller, where there are not
    /// too many of them.
    pub growing_part_size: u64,
    /// How many parts of one upload are sent at a time.
    pub queue_size: usize,
    /// The most bytes that all uploads of the process hold in memory for sending again.
    pub buffer_budget: usize,
    /// The most requests at a time.
    pub max_sockets: usize,
    /// How long to wait for what.
    pub limits: Limits,
    /// Larger blobs are copied by parts (AWS: 5 GiB).
    pub copy_limit: u64,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection.
    pub connect: Duration,
    /// For the first byte of an answer once the request was sent; also for a free socket.
    pub first_byte: Duration,
    /// For the next byte of a body, either way.
    pub progress: Duration,
}

impl Default for Limits {
    /// 5 s, 30 s, 30 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            progress: Duration::from_secs(30),
        }
    }
}

/// What requests are signed with.
#[derive(Clone)]
pub enum Credentials {
    /// This key.
    Static {
        /// Its id.
        access_key_id: String,
        /// Its secret.
        secret_access_key: String,
        /// The token that goes with temporary keys.
        session_token: Option<String>,
    },
    /// Whatever AWS's chain finds: a profile, web identity, the container's or the instance's
    /// role.
    Ambient,
}

// Secrets are not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static { .. } => "Static",
            Self::Ambient => "Ambient",
        })
    }
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("bucket", &self.bucket)
            .field("tenant", &self.tenant)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("force_path_style", &self.force_path_style)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// Which checksums are used beside `Content-MD5`, which every service knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksums {
    /// CRC32 wherever the service supports it; given up at its first refusal.
    #[default]
    WhenSupported,
    /// Only where an operation cannot do without.
    WhenRequired,
}

/// Why a store cannot be opened, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The tenant's name would mix with our own keys.
    #[error(
        "the tenant id must be one segment of a key, and not \".rowlock\", for blobs to be kept"
    )]
    Tenant,
    /// There is no bucket's name.
    #[error("the root bucket's name is empty or holds a slash")]
    Bucket,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}
