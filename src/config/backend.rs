use std::path::PathBuf;
use std::time::Duration;

use super::Mode;
use super::embedded::{ROWLOCK_DATA, data_folder};
use super::error::ConfigError;
use super::s3_backend::S3BackendSettings;
use super::s3_protocol::REGION;
use super::source::Source;
use super::variable::Variable;

const STORAGE_BACKEND: Variable = Variable::new(
    "STORAGE_BACKEND",
    "Where objects' bytes are kept: `file`, or `s3` for a service of that protocol.",
)
.default("alone: `file`; with a database it must be set")
.strict();
const STORAGE_FILE_BACKEND_PATH: Variable =
    Variable::new("STORAGE_FILE_BACKEND_PATH", "The folder of the file backend.")
        .also(&["FILE_STORAGE_BACKEND_PATH"])
        .default("alone: `files` in ROWLOCK_DATA; with a database it must be set")
        .strict();
pub(crate) const STORAGE_S3_BUCKET: Variable = Variable::new(
    "STORAGE_S3_BUCKET",
    "The bucket of the S3 service, or the folder below the file backend's, that holds all tenants.",
)
.also(&["GLOBAL_S3_BUCKET"])
.default("alone: `stub`; with a database it must be set")
.strict();
pub(crate) const TENANT: Variable = Variable::new(
    "PROJECT_REF",
    "The tenant: the folder of its objects, and the access key of session credentials.",
)
.also(&["TENANT_ID", "STORAGE_TENANT_ID"])
.default("storage-single-tenant")
.strict();
const MULTI_TENANT: Variable =
    Variable::new("MULTI_TENANT", "Must not be `true`: the server serves one tenant.")
        .also(&["IS_MULTITENANT"])
        .default("false")
        .strict();
const TUS_USE_FILE_VERSION_SEPARATOR: Variable = Variable::new(
    "TUS_USE_FILE_VERSION_SEPARATOR",
    "Put `-$v-` instead of `/` between an object's name and its version, for all blobs. Changing it \
     hides the blobs that exist.",
)
.default("false")
.strict();
const ROWLOCK_BLOB_GRACE: Variable = Variable::new(
    "ROWLOCK_BLOB_GRACE",
    "How long the bytes of a replaced or deleted object stay, for readers under way (`60`, `60s`, `5m`).",
)
.default("60s")
.strict();
const ROWLOCK_MULTIPART_EXPIRY: Variable = Variable::new(
    "ROWLOCK_MULTIPART_EXPIRY",
    "How long a multipart upload without a new part stays (`12h`, `7d`).",
)
.default("7d")
.strict();

pub(crate) const VARIABLES: &[&Variable] = &[
    &STORAGE_BACKEND,
    &STORAGE_FILE_BACKEND_PATH,
    &STORAGE_S3_BUCKET,
    &TENANT,
    &MULTI_TENANT,
    &TUS_USE_FILE_VERSION_SEPARATOR,
    &ROWLOCK_BLOB_GRACE,
    &ROWLOCK_MULTIPART_EXPIRY,
];

/// What keeps objects' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Files in this folder (`STORAGE_FILE_BACKEND_PATH`).
    File(PathBuf),
    /// An S3 service.
    S3(Box<S3BackendSettings>),
}

/// Where objects' bytes are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectSettings {
    /// `STORAGE_BACKEND`, and what belongs to it.
    pub(crate) backend: Backend,
    /// `STORAGE_S3_BUCKET`: one path segment.
    pub(crate) bucket: String,
    /// `PROJECT_REF`, `TENANT_ID`, `STORAGE_TENANT_ID`: one path segment.
    pub(crate) tenant: String,
    /// `ROWLOCK_BLOB_GRACE`.
    pub(crate) blob_grace: Duration,
    /// `ROWLOCK_MULTIPART_EXPIRY`.
    pub(crate) multipart_expiry: Duration,
    /// `TUS_USE_FILE_VERSION_SEPARATOR`.
    pub(crate) version_separator: bool,
    /// The variables that say where the objects are, as the operator knows them.
    pub(crate) names: Names,
}

/// The names under which variables are set, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) tenant: &'static str,
    pub(crate) bucket: &'static str,
    /// The folder of the file backend.
    pub(crate) folder: &'static str,
}

impl Names {
    fn of(source: &Source, mode: Mode) -> Self {
        let of = |variable: &Variable, unset| {
            if source.has(variable) { source.name_of(variable) } else { unset }
        };
        let (tenant, folder) = match mode {
            Mode::Alone => ("STORAGE_TENANT_ID", ROWLOCK_DATA.name),
            Mode::Stack => ("TENANT_ID", STORAGE_FILE_BACKEND_PATH.name),
        };
        Self {
            tenant: of(&TENANT, tenant),
            bucket: of(&STORAGE_S3_BUCKET, "GLOBAL_S3_BUCKET"),
            folder: of(&STORAGE_FILE_BACKEND_PATH, folder),
        }
    }
}

impl ObjectSettings {
    pub(crate) fn from_source(source: &Source, mode: Mode) -> Result<Self, ConfigError> {
        if source.flag(&MULTI_TENANT, false)? {
            return Err(ConfigError::Refused(
                "MULTI_TENANT is true, and this server serves one tenant: unset it and name the tenant in TENANT_ID".into(),
            ));
        }
        let backend = if is_file(source, mode)? {
            Backend::File(path(source, mode)?)
        } else {
            let settings = S3BackendSettings::from_source(source, &STORAGE_S3_BUCKET, &REGION)?;
            Backend::S3(Box::new(settings))
        };
        Ok(Self {
            backend,
            bucket: bucket(source, mode)?,
            tenant: segment(source, &TENANT)?.unwrap_or_else(|| "storage-single-tenant".to_owned()),
            blob_grace: source.span(&ROWLOCK_BLOB_GRACE, Duration::from_secs(60))?,
            multipart_expiry: source
                .span(&ROWLOCK_MULTIPART_EXPIRY, Duration::from_secs(7 * 24 * 3600))?,
            version_separator: source.flag(&TUS_USE_FILE_VERSION_SEPARATOR, false)?,
            names: Names::of(source, mode),
        })
    }
}

fn is_file(source: &Source, mode: Mode) -> Result<bool, ConfigError> {
    let is_file = source.parsed(&STORAGE_BACKEND, "file, s3", |text| match text {
        "file" => Some(true),
        "s3" => Some(false),
        _ => None,
    })?;
    match (is_file, mode) {
        (Some(is_file), _) => Ok(is_file),
        (None, Mode::Alone) => Ok(true),
        (None, Mode::Stack) => Err(ConfigError::Missing {
            name: STORAGE_BACKEND.name,
            why: "the reference would have used s3; say which backend holds the objects (allowed: file, s3)",
        }),
    }
}

fn path(source: &Source, mode: Mode) -> Result<PathBuf, ConfigError> {
    match (source.text(&STORAGE_FILE_BACKEND_PATH), mode) {
        (Some(path), _) => Ok(PathBuf::from(path)),
        (None, Mode::Alone) => Ok(data_folder(source).join("files")),
        (None, Mode::Stack) => Err(ConfigError::Missing {
            name: STORAGE_FILE_BACKEND_PATH.name,
            why: "the file backend needs its folder",
        }),
    }
}

fn bucket(source: &Source, mode: Mode) -> Result<String, ConfigError> {
    match (segment(source, &STORAGE_S3_BUCKET)?, mode) {
        (Some(bucket), _) => Ok(bucket),
        (None, Mode::Alone) => Ok("stub".to_owned()),
        (None, Mode::Stack) => Err(ConfigError::Missing {
            name: STORAGE_S3_BUCKET.name,
            why: "it (or GLOBAL_S3_BUCKET) names the bucket, or the folder below STORAGE_FILE_BACKEND_PATH, that \
                  holds the objects; where the reference ran on files without it, look for a folder named `undefined`",
        }),
    }
}

/// A value that becomes one segment of paths. Names with a leading dot and `__internal` are our
/// own.
fn segment(source: &Source, variable: &Variable) -> Result<Option<String>, ConfigError> {
    let allowed = "a name of 1 to 255 bytes without `/`, control characters or a dot in front";
    source.parsed(variable, allowed, |text| {
        let good = (1..=255).contains(&text.len())
            && !text.starts_with('.')
            && !text.contains(|c: char| c == '/' || c == '\\' || c.is_control());
        good.then(|| text.to_owned())
    })
}
