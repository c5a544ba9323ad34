//! The S3 service behind the server, where `STORAGE_BACKEND` is `s3`.

use std::time::Duration;

use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

const ENDPOINT: Variable = Variable::new(
    "STORAGE_S3_ENDPOINT",
    "The URL of the S3 service that holds the objects; AWS, by the region, where it is not set.",
)
.also(&["GLOBAL_S3_ENDPOINT"])
.strict();
const PROTOCOL: Variable = Variable::new(
    "GLOBAL_S3_PROTOCOL",
    "`http` or `https`: the scheme of an endpoint that is given without one.",
)
.default("https")
.strict();
const FORCE_PATH_STYLE: Variable = Variable::new(
    "STORAGE_S3_FORCE_PATH_STYLE",
    "Name the bucket in the path and not in the host's name, as services of one's own need it.",
)
.also(&["GLOBAL_S3_FORCE_PATH_STYLE"])
.default("false");
const ACCESS_KEY_ID: Variable = Variable::new(
    "AWS_ACCESS_KEY_ID",
    "The access key for that service. Without one AWS's own chain is asked: profile, web identity, \
     container, instance.",
)
.strict();
const SECRET_ACCESS_KEY: Variable =
    Variable::new("AWS_SECRET_ACCESS_KEY", "The secret of that key.").secret();
const SESSION_TOKEN: Variable =
    Variable::new("AWS_SESSION_TOKEN", "The token that goes with a temporary key.").secret();
const AWS_REGION: Variable = Variable::new(
    "AWS_REGION",
    "The service's region where `STORAGE_S3_REGION` and `REGION` are not set.",
)
.also(&["AWS_DEFAULT_REGION"])
.default("us-east-1");
const REQUEST_CHECKSUMS: Variable = Variable::new(
    "STORAGE_S3_REQUEST_CHECKSUM_CALCULATION",
    "`WHEN_SUPPORTED`: uploads carry a CRC32, which is given up when the service refuses it. \
     `WHEN_REQUIRED`: only `Content-MD5`, which every service knows.",
)
.default("WHEN_SUPPORTED");
const RESPONSE_CHECKSUMS: Variable = Variable::new(
    "STORAGE_S3_RESPONSE_CHECKSUM_VALIDATION",
    "`WHEN_SUPPORTED`: whole downloads are checked against the checksum that the service keeps.",
)
.default("WHEN_REQUIRED");
const PART_SIZE: Variable = Variable::new(
    "STORAGE_S3_UPLOAD_PART_SIZE",
    "Larger uploads go to the service in parts of this size, in bytes (at least 5242880).",
)
.default("16777216");
const QUEUE_SIZE: Variable = Variable::new(
    "STORAGE_S3_UPLOAD_QUEUE_SIZE",
    "How many parts of one upload are under way at a time.",
)
.default("2");
const BUFFER: Variable = Variable::new(
    "ROWLOCK_S3_BUFFER",
    "The bytes that all uploads together hold in memory so that they can be sent again, at least \
     one part's; what finds no room is passed through. Resumable uploads are at most 10,000 times \
     what it holds beside one part (480,000 MiB by default), and 5 TiB.",
)
.default("67108864");
const MAX_SOCKETS: Variable = Variable::new(
    "STORAGE_S3_MAX_SOCKETS",
    "The most requests to the service at a time; fewer where `ulimit -n` is low.",
)
.also(&["GLOBAL_S3_MAX_SOCKETS"])
.default("200");
const CLIENT_TIMEOUT: Variable = Variable::new(
    "STORAGE_S3_CLIENT_TIMEOUT",
    "Milliseconds without a byte from or to the service after which a request has failed; `0`: \
     5 s for the connection, 30 s for all else.",
)
.default("0");

pub(crate) const VARIABLES: &[&Variable] = &[
    &ENDPOINT,
    &PROTOCOL,
    &FORCE_PATH_STYLE,
    &ACCESS_KEY_ID,
    &SECRET_ACCESS_KEY,
    &SESSION_TOKEN,
    &AWS_REGION,
    &REQUEST_CHECKSUMS,
    &RESPONSE_CHECKSUMS,
    &PART_SIZE,
    &QUEUE_SIZE,
    &BUFFER,
    &MAX_SOCKETS,
    &CLIENT_TIMEOUT,
];

/// What AWS's own chain of credentials reads in the environment (AWS SDKs and tools reference guide,
/// "Environment variables support").
pub(crate) const OF_THE_CHAIN: &[&str] = &[
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_EC2_METADATA_V1_DISABLED",
];

const MIN_PART: u64 = 5_242_880;

/// Which checksums are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksums {
    /// `WHEN_SUPPORTED`.
    WhenSupported,
    /// `WHEN_REQUIRED`.
    WhenRequired,
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StaticKey {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
}

// Secrets are not shown.
impl std::fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticKey")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// The service behind the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3BackendSettings {
    /// `STORAGE_S3_ENDPOINT`, `GLOBAL_S3_ENDPOINT`, with a scheme; `None`: AWS.
    pub(crate) endpoint: Option<String>,
    /// `STORAGE_S3_FORCE_PATH_STYLE`.
    pub(crate) force_path_style: bool,
    /// `STORAGE_S3_REGION`, `REGION`, `AWS_REGION`, `AWS_DEFAULT_REGION`.
    pub(crate) region: String,
    /// `AWS_ACCESS_KEY_ID` and its fellows; `None`: AWS's own chain.
    pub(crate) key: Option<StaticKey>,
    /// `STORAGE_S3_REQUEST_CHECKSUM_CALCULATION`.
    pub(crate) request_checksums: Checksums,
    /// `STORAGE_S3_RESPONSE_CHECKSUM_VALIDATION`.
    pub(crate) response_checksums: Checksums,
    /// `STORAGE_S3_UPLOAD_PART_SIZE`: bytes.
    pub(crate) part_size: u64,
    /// `STORAGE_S3_UPLOAD_QUEUE_SIZE`.
    pub(crate) queue_size: usize,
    /// `ROWLOCK_S3_BUFFER`: bytes.
    pub(crate) buffer: usize,
    /// `STORAGE_S3_MAX_SOCKETS`.
    pub(crate) max_sockets: usize,
    /// `STORAGE_S3_CLIENT_TIMEOUT`; `None` for 0.
    pub(crate) timeout: Option<Duration>,
    /// The names under which what an operator may have to change was found.
    pub(crate) names: Names,
}

/// What the operator called what the service is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) endpoint: &'static str,
    pub(crate) bucket: &'static str,
    pub(crate) region: &'static str,
}

impl S3BackendSettings {
    /// `bucket` and `region` are variables that other concerns share.
    pub(crate) fn from_source(
        source: &Source,
        bucket: &Variable,
        region: &Variable,
    ) -> Result<Self, ConfigError> {
        let own_region = source.text(region);
        let names = Names {
            endpoint: source.name_of(&ENDPOINT),
            bucket: source.name_of(bucket),
            region: source.name_of(if own_region.is_some() { region } else { &AWS_REGION }),
        };
        let count = |variable, default| {
            let number = source.number(variable).filter(|number| *number > 0).unwrap_or(default);
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let timeout = source.number(&CLIENT_TIMEOUT).filter(|millis| *millis > 0);
        let part_size = source.bytes(&PART_SIZE).unwrap_or(16 << 20).max(MIN_PART);
        Ok(Self {
            endpoint: endpoint(source)?,
            force_path_style: source.flag(&FORCE_PATH_STYLE, false)?,
            region: own_region.unwrap_or_else(|| source.text_or(&AWS_REGION, "us-east-1")),
            key: key(source),
            request_checksums: checksums(source, &REQUEST_CHECKSUMS, Checksums::WhenSupported)?,
            response_checksums: checksums(source, &RESPONSE_CHECKSUMS, Checksums::WhenRequired)?,
            part_size,
            queue_size: count(&QUEUE_SIZE, 2),
            buffer: usize::try_from(buffer(source, part_size)).unwrap_or(usize::MAX),
            max_sockets: count(&MAX_SOCKETS, 200),
            timeout: timeout.map(Duration::from_millis),
            names,
        })
    }
}

/// The memory for uploads. Without room for one part, bodies that do not say their length could never
/// be sent.
fn buffer(source: &Source, part_size: u64) -> u64 {
    let bytes = source.bytes(&BUFFER).filter(|bytes| *bytes > 0).unwrap_or(64 << 20);
    if bytes < part_size {
        source.warn(format!(
            "{} is {bytes}, less than one part ({}): {part_size} bytes are used",
            BUFFER.name, PART_SIZE.name
        ));
    }
    bytes.max(part_size)
}

/// The endpoint with its scheme. A path would be part of every key's URL: services have none.
fn endpoint(source: &Source) -> Result<Option<String>, ConfigError> {
    let scheme = source.parsed(&PROTOCOL, "http, https", |text| match text {
        "http" => Some("http"),
        "https" => Some("https"),
        _ => None,
    })?;
    let allowed = "a URL such as http://minio:9000, without user, query or fragment";
    let endpoint = source.parsed(&ENDPOINT, allowed, |text| {
        let whole = match text.split_once("://") {
            Some(_) => text.to_owned(),
            None => format!("{}://{text}", scheme.unwrap_or("https")),
        };
        let url = url::Url::parse(&whole).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then(|| whole.trim_end_matches('/').to_owned())
    })?;
    if let (Some(endpoint), Some(scheme)) = (&endpoint, scheme)
        && !endpoint.starts_with(&format!("{scheme}://"))
    {
        let name = source.name_of(&ENDPOINT);
        source.warn(format!(
            "{} is {scheme}, and {name} says otherwise: {name} counts",
            PROTOCOL.name
        ));
    }
    Ok(endpoint)
}

fn checksums(
    source: &Source,
    variable: &Variable,
    default: Checksums,
) -> Result<Checksums, ConfigError> {
    let read = |text: &str| match text.to_ascii_uppercase().as_str() {
        "WHEN_SUPPORTED" => Some(Checksums::WhenSupported),
        "WHEN_REQUIRED" => Some(Checksums::WhenRequired),
        _ => None,
    };
    Ok(source.parsed(variable, "WHEN_SUPPORTED, WHEN_REQUIRED", read)?.unwrap_or(default))
}

/// The key; half of one is none.
fn key(source: &Source) -> Option<StaticKey> {
    match (source.text(&ACCESS_KEY_ID), source.text(&SECRET_ACCESS_KEY)) {
        (Some(access_key_id), Some(secret_access_key)) => Some(StaticKey {
            access_key_id,
            secret_access_key,
            session_token: source.text(&SESSION_TOKEN),
        }),
        (None, None) => None,
        (id, _) => {
            let (set, missing) = match id {
                Some(_) => (&ACCESS_KEY_ID, &SECRET_ACCESS_KEY),
                None => (&SECRET_ACCESS_KEY, &ACCESS_KEY_ID),
            };
            source.warn(format!(
                "{} is set without {}: AWS's own chain is asked for a key",
                set.name, missing.name
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Backend, Config};

    /// What a stack's compose file passes, whatever the overlay.
    const BASE: &[(&str, &str)] = &[
        ("PGRST_JWT_SECRET", "a secret of more than thirty-two bytes"),
        ("DATABASE_URL", "postgres://user@db/postgres"),
        ("STORAGE_BACKEND", "s3"),
        ("GLOBAL_S3_BUCKET", "stub"),
        ("TENANT_ID", "stub"),
        ("REGION", "stub"),
    ];

    fn read(more: &[(&str, &str)]) -> (Result<S3BackendSettings, String>, Vec<String>) {
        let source = Source::new(&[BASE, more].concat(), &[]);
        let config = Config::from_source(&source).map_err(|error| error.to_string());
        let settings = config.map(|config| match config.objects.backend {
            Backend::S3(settings) => *settings,
            Backend::File(_) => panic!("a file backend"),
        });
        (settings, source.take_warnings())
    }

    fn good(more: &[(&str, &str)]) -> S3BackendSettings {
        let (settings, warnings) = read(more);
        assert_eq!(warnings, Vec::<String>::new());
        settings.unwrap()
    }

    const KEY: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hush")];

    #[test]
    fn the_four_setups_of_the_guide() {
        // RustFS and MinIO differ in nothing but the host.
        for host in ["http://rustfs:9000", "http://minio:9000"] {
            let own = [
                ("GLOBAL_S3_ENDPOINT", host),
                ("GLOBAL_S3_PROTOCOL", "http"),
                ("GLOBAL_S3_FORCE_PATH_STYLE", "true"),
            ];
            let settings = good(&[&own[..], &KEY].concat());
            assert_eq!(settings.endpoint.as_deref(), Some(host));
            assert!(settings.force_path_style);
            assert_eq!(settings.region, "stub");
            assert_eq!(settings.key.as_ref().unwrap().access_key_id, "id");
            let found = Names {
                endpoint: "GLOBAL_S3_ENDPOINT",
                bucket: "GLOBAL_S3_BUCKET",
                region: "REGION",
            };
            assert_eq!(settings.names, found);
            assert!(!format!("{settings:?}").contains("hush"));
        }
        let aws = good(&[("REGION", "eu-central-1")]);
        assert_eq!((aws.endpoint, aws.region, aws.key), (None, "eu-central-1".into(), None));
        assert!(!aws.force_path_style);
        let account = "https://0123456789abcdef.r2.cloudflarestorage.com";
        let r2 = good(
            &[
                &[
                    ("GLOBAL_S3_ENDPOINT", account),
                    ("REGION", "auto"),
                    ("STORAGE_S3_REQUEST_CHECKSUM_CALCULATION", "WHEN_REQUIRED"),
                ],
                &KEY[..],
            ]
            .concat(),
        );
        assert_eq!((r2.endpoint.as_deref(), &*r2.region), (Some(account), "auto"));
        assert_eq!(r2.request_checksums, Checksums::WhenRequired);
    }

    /// What the server makes of the examples in `deploy/env`, once a user has pasted them into `.env`.
    #[test]
    fn the_examples_say_what_their_services_need() {
        use Checksums::{WhenRequired, WhenSupported};
        let r2 = "https://your-account-id.r2.cloudflarestorage.com";
        let b2 = "https://s3.eu-central-003.backblazeb2.com";
        #[rustfmt::skip]
        let examples = [
            (include_str!("../../deploy/env/aws.env"), None, "eu-central-1", false, WhenSupported),
            (include_str!("../../deploy/env/r2.env"), Some(r2), "auto", false, WhenSupported),
            (include_str!("../../deploy/env/b2.env"), Some(b2), "eu-central-003", false, WhenRequired),
            (include_str!("../../deploy/env/garage.env"), Some("http://garage:3900"), "garage", true, WhenSupported),
            (include_str!("../../deploy/env/ceph.env"), Some("http://rgw:7480"), "default", true, WhenRequired),
        ];
        for (text, endpoint, region, path_style, checksums) in examples {
            let parsed = super::super::dotenv::parse(text.as_bytes());
            assert_eq!(parsed.warnings, Vec::<String>::new());
            assert_eq!(parsed.values["STORAGE_BACKEND"], "s3");
            let pairs: Vec<_> =
                parsed.values.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let settings = good(&pairs);
            assert_eq!(settings.endpoint.as_deref(), endpoint);
            assert_eq!(settings.region, region);
            assert_eq!(parsed.values["GLOBAL_S3_BUCKET"], "your-bucket");
            assert_eq!(
                (settings.force_path_style, settings.request_checksums),
                (path_style, checksums)
            );
            let key = settings.key.unwrap();
            assert_eq!(key.access_key_id, "your-key-id");
            assert_eq!(key.secret_access_key, "your-secret");
        }
    }

    #[test]
    fn defaults_and_bounds() {
        let plain = good(&[("GLOBAL_S3_ENDPOINT", "")]);
        assert_eq!((plain.part_size, plain.queue_size, plain.max_sockets), (16 << 20, 2, 200));
        assert_eq!((plain.buffer, plain.timeout), (64 << 20, None));
        assert_eq!(plain.request_checksums, Checksums::WhenSupported);
        let set = good(&[
            ("STORAGE_S3_UPLOAD_PART_SIZE", "1000"),
            ("STORAGE_S3_UPLOAD_QUEUE_SIZE", "5"),
            ("GLOBAL_S3_MAX_SOCKETS", "7"),
            ("STORAGE_S3_CLIENT_TIMEOUT", "1500"),
            ("ROWLOCK_S3_BUFFER", "6000000"),
        ]);
        assert_eq!((set.part_size, set.queue_size, set.max_sockets), (MIN_PART, 5, 7));
        assert_eq!((set.buffer, set.timeout), (6_000_000, Some(Duration::from_millis(1500))));
        assert_eq!(good(&[("REGION", ""), ("AWS_DEFAULT_REGION", "x")]).region, "x");
        assert_eq!(good(&[("REGION", "")]).region, "us-east-1");
    }

    #[test]
    fn there_is_memory_for_one_part_at_least() {
        for (more, wanted) in [
            (&[("ROWLOCK_S3_BUFFER", "1")][..], 16 << 20),
            (&[("STORAGE_S3_UPLOAD_PART_SIZE", "100000000")], 100_000_000),
        ] {
            let (settings, warnings) = read(more);
            assert_eq!(settings.unwrap().buffer, wanted);
            let [warning] = &warnings[..] else { panic!("{warnings:?}") };
            for name in ["ROWLOCK_S3_BUFFER", "STORAGE_S3_UPLOAD_PART_SIZE"] {
                assert!(warning.contains(name), "{warning}");
            }
        }
    }

    #[test]
    fn endpoints_get_a_scheme_and_nothing_else() {
        let endpoint = |value, more: &[(&str, &str)]| {
            let (settings, warnings) = read(&[&[("GLOBAL_S3_ENDPOINT", value)], more].concat());
            (settings.map(|settings| settings.endpoint.unwrap()), warnings)
        };
        let http = [("GLOBAL_S3_PROTOCOL", "http")];
        assert_eq!(endpoint("minio:9000", &http).0.unwrap(), "http://minio:9000");
        assert_eq!(endpoint("s3.example.com/", &[]).0.unwrap(), "https://s3.example.com");
        let (found, warnings) = endpoint("https://minio:9000", &http);
        assert_eq!(found.unwrap(), "https://minio:9000");
        assert!(warnings[0].contains("GLOBAL_S3_PROTOCOL is http"), "{warnings:?}");
        for bad in ["ftp://x", "http://user:pw@x", "http://x?y", "http://"] {
            let refused = endpoint(bad, &[]).0.unwrap_err();
            assert!(refused.starts_with("GLOBAL_S3_ENDPOINT is "), "{refused}");
        }
    }

    #[test]
    fn what_the_chain_reads_may_stand_in_the_file() {
        let source = Source::new(
            &[("AWS_PROFILE", "here"), ("AWS_CONFIG_FILE", "")],
            &[
                ("AWS_PROFILE", "there"),
                ("AWS_CONFIG_FILE", "/aws/config"),
                ("AWS_ROLE_ARN", ""),
                ("AWS_SECRET_ACCESS_KEY", "hush"),
            ],
        );
        assert_eq!(source.only_in_file(OF_THE_CHAIN), [("AWS_CONFIG_FILE", "/aws/config")]);
    }

    #[test]
    fn half_a_key_is_none() {
        let (settings, warnings) = read(&KEY[..1]);
        assert_eq!(settings.unwrap().key, None);
        assert!(warnings[0].contains("AWS_ACCESS_KEY_ID is set without"), "{warnings:?}");
    }
}
