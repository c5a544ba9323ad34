use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

const UPLOAD_FILE_SIZE_LIMIT: Variable = Variable::new(
    "UPLOAD_FILE_SIZE_LIMIT",
    "The most bytes an object may have, however it is uploaded.",
)
.also(&["FILE_SIZE_LIMIT"]);
const UPLOAD_FILE_SIZE_LIMIT_STANDARD: Variable = Variable::new(
    "UPLOAD_FILE_SIZE_LIMIT_STANDARD",
    "The most bytes of an upload in one request; `0` for no limit of its own.",
)
.also(&["FILE_SIZE_LIMIT_STANDARD_UPLOAD"])
.default("0");
const UPLOAD_SIGNED_URL_EXPIRATION_TIME: Variable = Variable::new(
    "UPLOAD_SIGNED_URL_EXPIRATION_TIME",
    "How many seconds a signed upload URL is good for.",
)
.also(&["SIGNED_UPLOAD_URL_EXPIRATION_TIME"])
.default("60");
const STRICT_KEYS: Variable =
    Variable::new("STRICT_KEYS", "Refuse object names with characters that the reference refuses.")
        .default("false")
        .strict();

const AUTH_ENCRYPTION_KEY: Variable = Variable::new(
    "AUTH_ENCRYPTION_KEY",
    "The key that the reference seals multipart uploads with; the same one here lets it go on with \
     ours after a swap.",
)
.also(&["ENCRYPTION_KEY"])
.secret();

pub(crate) const VARIABLES: &[&Variable] = &[
    &UPLOAD_FILE_SIZE_LIMIT,
    &UPLOAD_FILE_SIZE_LIMIT_STANDARD,
    &UPLOAD_SIGNED_URL_EXPIRATION_TIME,
    &STRICT_KEYS,
    &AUTH_ENCRYPTION_KEY,
];

/// What may be uploaded.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UploadSettings {
    /// `UPLOAD_FILE_SIZE_LIMIT`: bytes.
    pub(crate) size_limit: Option<u64>,
    /// `UPLOAD_FILE_SIZE_LIMIT_STANDARD`: bytes.
    pub(crate) standard_size_limit: Option<u64>,
    /// `UPLOAD_SIGNED_URL_EXPIRATION_TIME`: seconds.
    pub(crate) signed_url_seconds: i64,
    /// `STRICT_KEYS`.
    pub(crate) strict_keys: bool,
    /// `AUTH_ENCRYPTION_KEY`; empty where it is not set.
    pub(crate) encryption_key: String,
}

impl std::fmt::Debug for UploadSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadSettings")
            .field("size_limit", &self.size_limit)
            .field("standard_size_limit", &self.standard_size_limit)
            .field("strict_keys", &self.strict_keys)
            .finish_non_exhaustive()
    }
}

impl UploadSettings {
    pub(crate) fn from_source(source: &Source) -> Result<Self, ConfigError> {
        let limit = |variable| source.bytes(variable).filter(|bytes| *bytes > 0);
        Ok(Self {
            size_limit: limit(&UPLOAD_FILE_SIZE_LIMIT),
            standard_size_limit: limit(&UPLOAD_FILE_SIZE_LIMIT_STANDARD),
            signed_url_seconds: source
                .number(&UPLOAD_SIGNED_URL_EXPIRATION_TIME)
                .and_then(|seconds| i64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .unwrap_or(60),
            strict_keys: source.flag(&STRICT_KEYS, false)?,
            encryption_key: source.text_or(&AUTH_ENCRYPTION_KEY, ""),
        })
    }
}
