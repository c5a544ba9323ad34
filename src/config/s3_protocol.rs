use std::fmt;

use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

const S3_PROTOCOL_ENABLED: Variable =
    Variable::new("S3_PROTOCOL_ENABLED", "Whether the S3 endpoint exists.")
        .default("true")
        .strict();
const S3_PROTOCOL_PREFIX: Variable = Variable::new(
    "S3_PROTOCOL_PREFIX",
    "A path that a proxy cuts off before requests arrive here, and that clients signed.",
)
.strict();
const S3_ALLOW_FORWARDED_HEADER: Variable = Variable::new(
    "S3_ALLOW_FORWARDED_HEADER",
    "Whether `Forwarded: host=` may name the host that clients signed.",
)
.default("false")
.strict();
const S3_PROTOCOL_ENFORCE_REGION: Variable = Variable::new(
    "S3_PROTOCOL_ENFORCE_REGION",
    "Accept signatures for the server's own region only.",
)
.default("false")
.strict();
const S3_PROTOCOL_NON_CANONICAL_HOST_HEADER: Variable = Variable::new(
    "S3_PROTOCOL_NON_CANONICAL_HOST_HEADER",
    "A header in which a proxy passes the host that clients signed.",
)
.strict();
pub(crate) const S3_PROTOCOL_ACCESS_KEY_ID: Variable = Variable::new(
    "S3_PROTOCOL_ACCESS_KEY_ID",
    "The access key with full access, past row-level security.",
)
.secret();
pub(crate) const S3_PROTOCOL_ACCESS_KEY_SECRET: Variable =
    Variable::new("S3_PROTOCOL_ACCESS_KEY_SECRET", "Its secret key.").secret();
pub(crate) const REGION: Variable =
    Variable::new("STORAGE_S3_REGION", "The region of the S3 endpoint.")
        .also(&["REGION"])
        .default("not-specified");

pub(crate) const VARIABLES: &[&Variable] = &[
    &S3_PROTOCOL_ENABLED,
    &S3_PROTOCOL_ACCESS_KEY_ID,
    &S3_PROTOCOL_ACCESS_KEY_SECRET,
    &REGION,
    &S3_PROTOCOL_ENFORCE_REGION,
    &S3_PROTOCOL_PREFIX,
    &S3_ALLOW_FORWARDED_HEADER,
    &S3_PROTOCOL_NON_CANONICAL_HOST_HEADER,
];

/// The static credentials: full access, past row-level security.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StaticCredentials {
    /// `S3_PROTOCOL_ACCESS_KEY_ID`.
    pub(crate) access_key: String,
    /// `S3_PROTOCOL_ACCESS_KEY_SECRET`.
    pub(crate) secret_key: String,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticCredentials").finish_non_exhaustive()
    }
}

/// The S3 endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3ProtocolSettings {
    /// `S3_PROTOCOL_ENABLED`.
    pub(crate) enabled: bool,
    /// `S3_PROTOCOL_ACCESS_KEY_ID` and `…_SECRET`; nothing unless both are set.
    pub(crate) credentials: Option<StaticCredentials>,
    /// `STORAGE_S3_REGION`, `REGION`.
    pub(crate) region: String,
    /// `S3_PROTOCOL_ENFORCE_REGION`.
    pub(crate) enforce_region: bool,
    /// `S3_PROTOCOL_PREFIX`, with a slash in front and none at the end; empty for none.
    pub(crate) prefix: String,
    /// `S3_ALLOW_FORWARDED_HEADER`.
    pub(crate) allow_forwarded_header: bool,
    /// `S3_PROTOCOL_NON_CANONICAL_HOST_HEADER`, in lower case.
    pub(crate) host_header: Option<String>,
}

impl S3ProtocolSettings {
    pub(crate) fn from_source(source: &Source) -> Result<Self, ConfigError> {
        let access_key = source.text(&S3_PROTOCOL_ACCESS_KEY_ID);
        let secret_key = source.text(&S3_PROTOCOL_ACCESS_KEY_SECRET);
        let credentials = match (access_key, secret_key) {
            (Some(access_key), Some(secret_key)) => {
                Some(StaticCredentials { access_key, secret_key })
            }
            (None, None) => None,
            (access_key, _) => {
                let (set, missing) = match access_key {
                    Some(_) => (&S3_PROTOCOL_ACCESS_KEY_ID, &S3_PROTOCOL_ACCESS_KEY_SECRET),
                    None => (&S3_PROTOCOL_ACCESS_KEY_SECRET, &S3_PROTOCOL_ACCESS_KEY_ID),
                };
                source.warn(format!(
                    "{} is set without {}: there are no static S3 credentials",
                    set.name, missing.name
                ));
                None
            }
        };
        let prefix = source.parsed(
            &S3_PROTOCOL_PREFIX,
            "a path of at most 128 bytes without a segment `s3`, `.` or `..`",
            prefix,
        )?;
        let host_header =
            source.parsed(&S3_PROTOCOL_NON_CANONICAL_HOST_HEADER, "a header's name", |text| {
                let good = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                good.then(|| text.to_ascii_lowercase())
            })?;
        Ok(Self {
            enabled: source.flag(&S3_PROTOCOL_ENABLED, true)?,
            credentials,
            region: source.text_or(&REGION, "not-specified"),
            enforce_region: source.flag(&S3_PROTOCOL_ENFORCE_REGION, false)?,
            prefix: prefix.unwrap_or_default(),
            allow_forwarded_header: source.flag(&S3_ALLOW_FORWARDED_HEADER, false)?,
            host_header,
        })
    }
}

fn prefix(text: &str) -> Option<String> {
    let path = text.trim_matches('/');
    let good = path.len() < 128
        && path.split('/').all(|segment| !matches!(segment, "s3" | "." | ".."))
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    good.then(|| if path.is_empty() { String::new() } else { format!("/{path}") })
}
