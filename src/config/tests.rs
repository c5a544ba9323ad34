use std::path::Path;
use std::time::Duration;

use super::database::DatabaseTarget;
use super::gateway::CorsOrigins;
use super::*;

const SECRET: &str = "a secret of more than thirty-two bytes";
const URL: &str = "postgres://user:pass%23word@db:5432/postgres";

/// What a stack's compose file passes.
const STACK: &[(&str, &str)] = &[
    ("PGRST_JWT_SECRET", SECRET),
    ("DATABASE_URL", URL),
    ("STORAGE_BACKEND", "file"),
    ("FILE_STORAGE_BACKEND_PATH", "/var/lib/storage"),
    ("GLOBAL_S3_BUCKET", "stub"),
    ("TENANT_ID", "stub"),
    ("REGION", "stub"),
];

/// The configuration with these changes to [`STACK`] (an empty value unsets), and what was
/// warned about.
fn stack(changes: &[(&str, &str)]) -> (Result<Config, String>, Vec<String>) {
    let source = Source::new(&[STACK, changes].concat(), &[]);
    let config = Config::from_source(&source).map_err(|error| error.to_string());
    (config, source.take_warnings())
}

fn good(changes: &[(&str, &str)]) -> Config {
    let (config, warnings) = stack(changes);
    assert_eq!(warnings, Vec::<String>::new());
    config.unwrap()
}

fn refused(changes: &[(&str, &str)]) -> String {
    stack(changes).0.unwrap_err()
}

fn alone(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_source(&Source::new(&[&[("JWT_SECRET", SECRET)], changes].concat(), &[]))
}

#[test]
fn the_stack_as_compose_starts_it() {
    let config = good(&[]);
    assert_eq!(config.mode, Mode::Stack);
    assert_eq!(config.bind.hosts, ["0.0.0.0"]);
    assert_eq!(config.bind.port, 5000);
    assert_eq!(config.objects.backend, Backend::File("/var/lib/storage".into()));
    assert_eq!(config.objects.bucket, "stub");
    assert_eq!(config.objects.tenant, "stub");
    assert_eq!(config.objects.blob_grace, Duration::from_secs(60));
    assert_eq!(config.objects.multipart_expiry, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(config.s3.region, "stub");
    assert!(config.s3.enabled && !config.s3.enforce_region && config.s3.credentials.is_none());
    assert_eq!(config.uploads.size_limit, None);
    assert_eq!(config.auth.jwt_secret.as_deref(), Some(SECRET));
    assert!(config.logging.json);
    assert_eq!(config.logging.level, "info");
    assert_eq!(config.gateway.cors_origins, CorsOrigins::Any);
    let database = &config.database;
    let DatabaseTarget::External(external) = &database.target else { panic!("external") };
    assert_eq!(external.url, URL);
    assert!(!database.install_roles);
    assert_eq!(database.max_connections, 20);
    assert_eq!(database.statement_timeout, Duration::from_secs(30));
    assert_eq!(database.connection_timeout, Duration::from_secs(3));
    assert!(!format!("{config:?}").contains("pass"), "{config:?}");
    assert!(!format!("{config:?}").contains(SECRET), "{config:?}");
}

#[test]
fn alone_without_a_database() {
    let config = alone(&[]).unwrap();
    assert_eq!(config.mode, Mode::Alone);
    assert_eq!(config.bind.hosts, ["127.0.0.1", "::1"]);
    assert_eq!(config.bind.port, 8000);
    assert_eq!(config.objects.backend, Backend::File("./rowlock-data/files".into()));
    assert_eq!(config.objects.bucket, "stub");
    assert_eq!(config.objects.tenant, "storage-single-tenant");
    assert!(!config.database.install_roles, "a private database is made with its roles");
    assert!(!config.logging.json);
    let DatabaseTarget::Embedded(embedded) = &config.database.target else { panic!("embedded") };
    assert_eq!(embedded.data, Path::new("./rowlock-data"));

    let config = alone(&[
        ("ROWLOCK_DATA", "/data"),
        ("SERVER_HOST", "0.0.0.0"),
        ("PORT", "9000"),
        ("STORAGE_BACKEND", "file"),
    ])
    .unwrap();
    assert_eq!(config.objects.backend, Backend::File("/data/files".into()));
    assert_eq!(config.bind.hosts, ["0.0.0.0"]);
    assert_eq!(config.bind.port, 9000);
    assert_eq!(good(&[("SERVER_PORT", "9001"), ("HOST", "[::]")]).bind.hosts, ["::"]);
}

#[test]
fn the_backend_must_be_said_in_the_stack() {
    let unset = refused(&[("STORAGE_BACKEND", "")]);
    assert!(unset.contains("STORAGE_BACKEND is not set"), "{unset}");
    assert!(unset.contains("the reference would have used s3"), "{unset}");
    assert_eq!(
        refused(&[("STORAGE_BACKEND", "disk")]),
        "STORAGE_BACKEND is \"disk\"; allowed: file, s3"
    );
    assert!(refused(&[("FILE_STORAGE_BACKEND_PATH", "")]).contains("STORAGE_FILE_BACKEND_PATH"));
    assert!(refused(&[("GLOBAL_S3_BUCKET", "")]).contains("GLOBAL_S3_BUCKET"));
    assert!(refused(&[("MULTI_TENANT", "true")]).contains("one tenant"));
    for name in ["a/b", "..", ".rowlock", "a\nb"] {
        assert!(refused(&[("TENANT_ID", name)]).starts_with("TENANT_ID is "), "{name}");
        assert!(refused(&[("GLOBAL_S3_BUCKET", name)]).starts_with("GLOBAL_S3_BUCKET is "));
    }
}

#[test]
fn which_value_wins() {
    let tenant = |environment: &[(&str, &str)], file: &[(&str, &str)]| {
        let source = Source::new(&[&[("JWT_SECRET", SECRET)], environment].concat(), file);
        let tenant = Config::from_source(&source).unwrap().objects.tenant;
        (tenant, source.take_warnings().len())
    };
    let (project, id, user) =
        (("PROJECT_REF", "p"), ("TENANT_ID", "i"), ("STORAGE_TENANT_ID", "u"));
    assert_eq!(tenant(&[user], &[]), ("u".into(), 0));
    assert_eq!(tenant(&[user, id], &[]), ("i".into(), 1));
    assert_eq!(tenant(&[user, id, project], &[]), ("p".into(), 2));
    assert_eq!(tenant(&[], &[user, project]), ("p".into(), 1));
    assert_eq!(tenant(&[id], &[("STORAGE_TENANT_ID", "i")]), ("i".into(), 0));
    // The environment comes before the file, whatever the name; a file's value that the
    // environment overrides under its own name is no contradiction.
    assert_eq!(tenant(&[user], &[project]), ("u".into(), 1));
    assert_eq!(tenant(&[id], &[("TENANT_ID", "file")]), ("i".into(), 0));
    // Empty counts as unset.
    assert_eq!(tenant(&[("PROJECT_REF", ""), id], &[user]), ("i".into(), 1));
    assert_eq!(tenant(&[("TENANT_ID", "")], &[("TENANT_ID", "file")]), ("file".into(), 0));

    let (config, warnings) = stack(&[
        ("JWT_SECRET", "another secret"),
        ("AUTH_JWT_SECRET", "the newest secret of them all, and long"),
    ]);
    assert!(config.unwrap().auth.jwt_secret.unwrap().starts_with("the newest"));
    assert_eq!(warnings.len(), 2);
    assert!(!warnings.concat().contains("another"), "{warnings:?}");
}

#[test]
fn names_of_the_users_side_work() {
    let config = Config::from_source(&Source::new(
        &[],
        &[
            ("JWT_SECRET", SECRET),
            ("SERVICE_ROLE_KEY", "a.e30.b"),
            ("STORAGE_TENANT_ID", "mine"),
            ("SUPABASE_PUBLIC_URL", "http://localhost:8000"),
            ("REGION", "local"),
            ("FILE_SIZE_LIMIT", "52428800"),
        ],
    ))
    .unwrap();
    assert_eq!(config.auth.service_key.as_deref(), Some("a.e30.b"));
    assert_eq!(config.auth.tenant_id, "mine");
    assert_eq!(config.gateway.public_url.unwrap().as_str(), "http://localhost:8000/");
    assert_eq!(config.s3.region, "local");
    assert_eq!(config.uploads.size_limit, Some(52_428_800));
}

#[test]
fn every_older_name_reads_as_the_newer() {
    // Each pair: a variable with an older name, and a value that changes the settings.
    let shown = |name: &str, value: &str| {
        let base: Vec<_> = STACK.iter().filter(|(known, _)| *known != name).copied().collect();
        let source = Source::new(&[base.as_slice(), &[(name, value)]].concat(), &[]);
        let names = good(&[]).objects.names;
        let config = Config::from_source(&source).map(|mut config| {
            // How a value was named is what may differ.
            config.objects.names = names;
            config
        });
        format!("{:?}", config.map_err(|error| error.to_string()))
    };
    for (newer, older, value) in [
        ("SERVER_HOST", "HOST", "10.0.0.1"),
        ("SERVER_PORT", "PORT", "1234"),
        ("REQUEST_TRACE_HEADER", "REQUEST_ID_HEADER", "x-id"),
        ("AUTH_JWT_ALGORITHM", "PGRST_JWT_ALGORITHM", "HS512"),
        ("UPLOAD_FILE_SIZE_LIMIT", "FILE_SIZE_LIMIT", "5"),
        ("UPLOAD_FILE_SIZE_LIMIT_STANDARD", "FILE_SIZE_LIMIT_STANDARD_UPLOAD", "5"),
        ("STORAGE_FILE_BACKEND_PATH", "FILE_STORAGE_BACKEND_PATH", "/x"),
        ("STORAGE_S3_BUCKET", "GLOBAL_S3_BUCKET", "x"),
        ("STORAGE_S3_REGION", "REGION", "x"),
        ("DATABASE_SEARCH_PATH", "DB_SEARCH_PATH", "x, y"),
    ] {
        assert_eq!(shown(newer, value), shown(older, value), "{newer}");
        assert_ne!(shown(newer, value), shown("UNRELATED", value), "{newer}");
    }
}

#[test]
fn values_that_concern_access_stop_the_start() {
    for (name, value) in [
        ("S3_ALLOW_FORWARDED_HEADER", "yes"),
        ("REQUEST_ALLOW_X_FORWARDED_PATH", "1"),
        ("S3_PROTOCOL_ENFORCE_REGION", "TRUE"),
        ("S3_PROTOCOL_PREFIX", "/a/s3"),
        ("S3_PROTOCOL_PREFIX", "/a/../b"),
        ("S3_PROTOCOL_NON_CANONICAL_HOST_HEADER", "x host"),
        ("STORAGE_PUBLIC_URL", "localhost:8000"),
        ("CORS_ORIGINS", "https://example.com/path"),
        ("CORS_ORIGINS", "*, https://example.com"),
        ("DB_SERVICE_ROLE", "none"),
        ("DB_INSTALL_ROLES", "ja"),
        ("STRICT_KEYS", "maybe"),
        ("ROWLOCK_BLOB_GRACE", "soon"),
        ("ROWLOCK_MULTIPART_EXPIRY", "1 week"),
        ("AUTH_JWT_ALGORITHM", "RS256"),
    ] {
        let error = refused(&[(name, value)]);
        assert!(error.contains(name) && error.contains(&format!("{value:?}")), "{error}");
        assert!(error.contains("allowed: "), "{error}");
    }
}

#[test]
fn no_message_shows_a_secret() {
    for (name, value) in [
        ("DATABASE_URL", "mysql://hush"),
        ("DATABASE_POOL_URL", "hush"),
        ("JWT_JWKS", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"hush!\"}]}"),
        ("JWT_JWKS", "hush"),
        ("ANON_KEY", "hush"),
        ("SERVICE_KEY", "hush.hush.hush"),
        ("SUPABASE_SECRET_KEY", "hush"),
        ("SUPABASE_PUBLISHABLE_KEY", "sb_secret_hush"),
    ] {
        let error = refused(&[(name, value)]);
        assert!(error.contains(name) && !error.contains("hush"), "{error}");
    }
    let error = refused(&[("PGRST_JWT_SECRET", "")]);
    assert!(error.contains("AUTH_JWT_SECRET is not set"), "{error}");
    let error = alone(&[("DATABASE_POOL_URL", URL)]).unwrap_err().to_string();
    assert!(error.contains("DATABASE_URL is not set"), "{error}");
    assert!(refused(&[("DATABASE_SSL_ROOT_CERT", "/etc/ca.pem")]).contains("PEM"));
}

#[test]
fn other_values_warn_and_fall_back() {
    for (name, value) in [
        ("SERVER_PORT", "tcp://10.0.0.1:5000"),
        ("SERVER_PORT", "65536"),
        ("DATABASE_MAX_CONNECTIONS", "many"),
        ("DATABASE_STATEMENT_TIMEOUT", "-1"),
        ("LOG_LEVEL", "loud"),
    ] {
        let (config, warnings) = stack(&[(name, value)]);
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        assert!(warnings[0].contains(name), "{}", warnings[0]);
        assert_eq!(format!("{:?}", config.unwrap()), format!("{:?}", good(&[])), "{name}");
    }
    // Numbers are read up to the first non-digit.
    let (config, warnings) =
        stack(&[("DATABASE_MAX_CONNECTIONS", "7 or so"), ("SERVER_PORT", " 8080 ")]);
    let config = config.unwrap();
    assert_eq!(config.database.max_connections, 7);
    assert_eq!(config.bind.port, 8080);
    assert_eq!(warnings, ["DATABASE_MAX_CONNECTIONS is \"7 or so\": read as 7"]);
    assert_eq!(good(&[("DATABASE_MAX_CONNECTIONS", "0")]).database.max_connections, 1);
}

#[test]
fn a_size_with_a_unit_is_an_alarm_that_says_what_it_means() {
    let alarms = |value: &str| {
        let source = Source::new(&[STACK, &[("FILE_SIZE_LIMIT", value)]].concat(), &[]);
        let config = Config::from_source(&source).unwrap();
        assert_eq!(source.take_warnings(), Vec::<String>::new(), "{value}");
        (config.uploads.size_limit, config.alarms)
    };
    for (value, limit, hint) in [
        ("50MB", 50, Some("write FILE_SIZE_LIMIT=50000000")),
        ("50 MiB", 50, Some("write FILE_SIZE_LIMIT=52428800")),
        ("50m", 50, Some("write FILE_SIZE_LIMIT=52428800")),
        ("5G", 5, Some("write FILE_SIZE_LIMIT=5368709120")),
        ("52_428_800", 52, None),
        ("99999999999TB", 99_999_999_999, None),
    ] {
        let (read, alarms) = alarms(value);
        assert_eq!((read, alarms.len()), (Some(limit), 1), "{value}");
        assert!(alarms[0].contains(&format!("{value:?} and means {limit} bytes")), "{alarms:?}");
        assert_eq!(hint.is_some(), alarms[0].contains("write "), "{alarms:?}");
        assert!(alarms[0].contains(hint.unwrap_or_default()), "{alarms:?}");
    }
    assert_eq!(alarms("52428800"), (Some(52_428_800), Vec::new()));
    assert_eq!(alarms("0"), (None, Vec::new()));
}

#[test]
fn half_of_the_static_credentials_is_none() {
    let (config, warnings) = stack(&[("S3_PROTOCOL_ACCESS_KEY_ID", "key")]);
    assert_eq!(config.unwrap().s3.credentials, None);
    assert!(warnings[0].contains("without S3_PROTOCOL_ACCESS_KEY_SECRET"), "{warnings:?}");
    let both = [("S3_PROTOCOL_ACCESS_KEY_ID", "key"), ("S3_PROTOCOL_ACCESS_KEY_SECRET", "hush")];
    let credentials = good(&both).s3.credentials.unwrap();
    assert_eq!((&*credentials.access_key, &*credentials.secret_key), ("key", "hush"));
    assert!(!format!("{credentials:?}").contains("hush"));
}

#[test]
fn values_are_brought_into_one_form() {
    let config = good(&[
        ("S3_PROTOCOL_PREFIX", "storage/v1/"),
        ("S3_PROTOCOL_NON_CANONICAL_HOST_HEADER", "X-Real-Host"),
        ("CORS_ORIGINS", "https://a.example, http://localhost:3000"),
        ("DATABASE_SSL_ROOT_CERT", "-----BEGIN CERTIFICATE-----\\nMII\\n-----END CERTIFICATE-----"),
        ("ROWLOCK_BLOB_GRACE", "5"),
        ("ROWLOCK_MULTIPART_EXPIRY", "12h"),
    ]);
    assert_eq!(config.s3.prefix, "/storage/v1");
    assert_eq!(config.s3.host_header.as_deref(), Some("x-real-host"));
    let only = ["https://a.example", "http://localhost:3000"].map(str::to_owned).to_vec();
    assert_eq!(config.gateway.cors_origins, CorsOrigins::Only(only));
    assert_eq!(config.objects.blob_grace, Duration::from_secs(5));
    assert_eq!(config.objects.multipart_expiry, Duration::from_secs(12 * 3600));
    let DatabaseTarget::External(external) = config.database.target else { panic!("external") };
    assert_eq!(external.ssl_root_cert.unwrap().lines().count(), 3);
    assert_eq!(good(&[("S3_PROTOCOL_PREFIX", "/")]).s3.prefix, "");
}

#[test]
fn a_misspelt_name_is_noticed() {
    for (name, meant) in [
        ("DATABASE_URI", Some("DATABASE_URL")),
        ("S3_PROTOCOL_ACESS_KEY_ID", Some("S3_PROTOCOL_ACCESS_KEY_ID")),
        ("STORAGE_BACKENDS", Some("STORAGE_BACKEND")),
        ("rowlock_date", Some("ROWLOCK_DATA")),
        ("WEBHOK_URI", Some("WEBHOOK_URL")),
        ("HOSTED", None),
        ("HOSTNAME", None),
        ("LOGNAME", None),
        ("SSH_CONNECTION", None),
        ("POSTGRES_PASSWORD", None),
        ("JWT_EXPIRY", None),
        ("DATABASE", None),
    ] {
        let (config, warnings) = stack(&[(name, "x")]);
        assert!(config.is_ok());
        match meant {
            Some(meant) => {
                assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
                assert!(warnings[0].contains(name) && warnings[0].contains(meant), "{warnings:?}");
            }
            None => assert_eq!(warnings, Vec::<String>::new(), "{name}"),
        }
    }
}

#[test]
fn every_name_is_declared_once() {
    let mut names: Vec<_> = registry::CONCERNS
        .iter()
        .flat_map(|(_, variables)| variables.iter().flat_map(|variable| variable.names()))
        .chain(later::SHOWN.iter().copied())
        .chain(later::STACK.iter().copied())
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    for name in ["DATABASE_URL", "JWT_SECRET", "IMGPROXY_URL", "ICEBERG_ENABLED", "IS_MULTITENANT"]
    {
        assert!(registry::knows(name), "{name}");
    }
}

#[test]
fn a_public_url_of_another_port_is_told_alone() {
    let told = |environment: &[(&str, &str)], url: &str| {
        let file = [("JWT_SECRET", SECRET), ("SUPABASE_PUBLIC_URL", url)];
        let source = Source::new(environment, &file);
        Config::from_source(&source).unwrap().warn_of_another_port(&source);
        source.take_warnings()
    };
    assert_eq!(told(&[], "http://localhost:8000"), Vec::<String>::new());
    assert_eq!(told(&[("PORT", "0")], "http://localhost:8000"), Vec::<String>::new());
    // A proxy's, as far as anybody can tell.
    assert_eq!(told(&[], "https://files.example.com:8443"), Vec::<String>::new());
    assert_eq!(told(&[], "http://localhost"), Vec::<String>::new());
    let warnings = told(&[("SERVER_PORT", "9000")], "http://localhost:8000");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("port 8000") && warnings[0].contains("port 9000"), "{warnings:?}");
    assert!(warnings[0].ends_with("s/:8000/:9000/' .env"), "{warnings:?}");
    let exported = [("SERVER_PORT", "9000"), ("STORAGE_PUBLIC_URL", "http://localhost:8000")];
    let warnings = told(&exported, "http://localhost:8000");
    assert!(warnings[0].starts_with("STORAGE_PUBLIC_URL names"), "{warnings:?}");
    assert!(warnings[0].ends_with("change one of them"), "{warnings:?}");
}
