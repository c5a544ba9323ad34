//! The blob store that the configuration names, and what its operator is told about it.

use std::sync::Arc;
use std::time::Duration;

use rowlock_blobs::BlobStore;
use rowlock_blobs::file::{self, FileSettings, FileStore};
use rowlock_blobs_s3::{self as s3, Credentials, Limits, Problem, S3Settings, S3Store};

use super::ServeError;
use crate::config::s3_backend::{self, Names, S3BackendSettings};
use crate::config::{Backend, Config};

/// The largest object that one CopyObject copies everywhere: 5 GiB on AWS (S3 API reference), a
/// little less elsewhere.
const COPY_LIMIT: u64 = 4 << 30;

/// The store, in the shape that its own errands need.
#[derive(Clone)]
pub(super) enum Blobs {
    File(FileStore),
    S3(S3Store, Names, Arc<str>),
}

impl Blobs {
    /// Opens the store. An S3 service that cannot be used now stops no start: it may be back
    /// before the first request.
    pub(super) async fn open(config: &Config) -> Result<Self, ServeError> {
        let objects = &config.objects;
        match &objects.backend {
            Backend::File(path) => Ok(Self::File(FileStore::open(FileSettings {
                root: path.clone(),
                root_bucket: objects.bucket.clone(),
                tenant: objects.tenant.clone(),
                separator: if objects.version_separator {
                    file::Separator::DashV
                } else {
                    file::Separator::Slash
                },
            })?)),
            Backend::S3(settings) => {
                let store = S3Store::open(s3_settings(config, settings)).await?;
                let place = match &settings.endpoint {
                    Some(endpoint) => endpoint.as_str().into(),
                    None => format!("AWS, region {}", settings.region).into(),
                };
                Ok(Self::S3(store, settings.names, place))
            }
        }
    }

    pub(super) fn store(&self) -> Arc<dyn BlobStore> {
        match self {
            Self::File(files) => Arc::new(files.clone()),
            Self::S3(store, ..) => Arc::new(store.clone()),
        }
    }

    /// What keeps the store from being used, in one sentence that names the variable to look at.
    pub(super) async fn problem(&self) -> Option<String> {
        match self {
            Self::File(_) => None,
            Self::S3(store, names, place) => {
                store.problem().await.map(|problem| sentence(&problem, names, place))
            }
        }
    }
}

fn s3_settings(config: &Config, settings: &S3BackendSettings) -> S3Settings {
    let checksums = |checksums| match checksums {
        s3_backend::Checksums::WhenSupported => s3::Checksums::WhenSupported,
        s3_backend::Checksums::WhenRequired => s3::Checksums::WhenRequired,
    };
    let default = Limits::default();
    S3Settings {
        bucket: config.objects.bucket.clone(),
        tenant: config.objects.tenant.clone(),
        separator: if config.objects.version_separator {
            s3::Separator::DashV
        } else {
            s3::Separator::Slash
        },
        region: settings.region.clone(),
        endpoint: settings.endpoint.clone(),
        force_path_style: settings.force_path_style,
        credentials: match &settings.key {
            Some(key) => Credentials::Static {
                access_key_id: key.access_key_id.clone(),
                secret_access_key: key.secret_access_key.clone(),
                session_token: key.session_token.clone(),
            },
            None => Credentials::Ambient,
        },
        request_checksums: checksums(settings.request_checksums),
        response_checksums: checksums(settings.response_checksums),
        part_size: settings.part_size,
        growing_part_size: config.resumable.part_size.unwrap_or(settings.part_size),
        queue_size: settings.queue_size,
        buffer_budget: settings.buffer,
        max_sockets: settings.max_sockets,
        limits: settings.timeout.map_or(default, |timeout| Limits {
            connect: default.connect.min(timeout.max(Duration::from_millis(1))),
            first_byte: timeout,
            progress: timeout,
        }),
        copy_limit: COPY_LIMIT,
    }
}

fn sentence(problem: &Problem, names: &Names, place: &str) -> String {
    let variable = match problem {
        Problem::Endpoint(_) | Problem::NotS3(_) => names.endpoint,
        // Read by the TLS library, from the process's environment alone.
        Problem::Certificate(_) => "SSL_CERT_FILE",
        Problem::Bucket => names.bucket,
        Problem::NoAccessKey => "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
        Problem::AccessKey(_) | Problem::Denied => "AWS_ACCESS_KEY_ID",
        Problem::Secret => "AWS_SECRET_ACCESS_KEY",
        Problem::Region(_) => names.region,
        Problem::Clock(_) | Problem::Other(_) => "STORAGE_BACKEND=s3",
    };
    format!("{variable}: {problem} ({place})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_names_its_variable() {
        let names =
            Names { endpoint: "GLOBAL_S3_ENDPOINT", bucket: "GLOBAL_S3_BUCKET", region: "REGION" };
        for (problem, wanted) in [
            (Problem::Endpoint("connection refused".into()), "GLOBAL_S3_ENDPOINT"),
            (Problem::NotS3("status 404".into()), "GLOBAL_S3_ENDPOINT"),
            (Problem::Certificate("UnknownIssuer".into()), "SSL_CERT_FILE"),
            (Problem::Bucket, "GLOBAL_S3_BUCKET"),
            (Problem::NoAccessKey, "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
            (Problem::AccessKey("InvalidAccessKeyId".into()), "AWS_ACCESS_KEY_ID"),
            (Problem::Denied, "AWS_ACCESS_KEY_ID"),
            (Problem::Secret, "AWS_SECRET_ACCESS_KEY"),
            (Problem::Region(None), "REGION"),
        ] {
            let text = sentence(&problem, &names, "http://minio:9000");
            assert!(text.starts_with(&format!("{wanted}: ")), "{text}");
            assert!(text.ends_with("(http://minio:9000)") && !text.contains('\n'), "{text}");
        }
    }
}
