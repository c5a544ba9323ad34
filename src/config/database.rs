use std::fmt;
use std::time::Duration;

use super::embedded::EmbeddedSettings;
use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

const DATABASE_URL: Variable = Variable::new(
    "DATABASE_URL",
    "The PostgreSQL database (15 or newer). Without it the server runs alone, with a private PostgreSQL of its own.",
)
.secret();
const DATABASE_POOL_URL: Variable = Variable::new(
    "DATABASE_POOL_URL",
    "A transaction-mode pooler in front of that database, for everything but the schema and the locks.",
)
.secret();
const DATABASE_SSL_ROOT_CERT: Variable = Variable::new(
    "DATABASE_SSL_ROOT_CERT",
    "The certificate authority of the database, as PEM text. Given it, certificates are always verified.",
)
.strict();
const DATABASE_SEARCH_PATH: Variable = Variable::new(
    "DATABASE_SEARCH_PATH",
    "Schemas that policies and triggers find after `storage`, `public` and `extensions`, by commas.",
)
.also(&["DB_SEARCH_PATH"]);
const DATABASE_MAX_CONNECTIONS: Variable =
    Variable::new("DATABASE_MAX_CONNECTIONS", "Connections in the pool.").default("20");
const DATABASE_FREE_POOL_AFTER_INACTIVITY: Variable = Variable::new(
    "DATABASE_FREE_POOL_AFTER_INACTIVITY",
    "Milliseconds after which an idle connection is closed.",
)
.default("60000");
const DATABASE_CONNECTION_TIMEOUT: Variable =
    Variable::new("DATABASE_CONNECTION_TIMEOUT", "Milliseconds a request waits for a connection.")
        .default("3000");
const DATABASE_STATEMENT_TIMEOUT: Variable =
    Variable::new("DATABASE_STATEMENT_TIMEOUT", "Milliseconds a statement may take.")
        .default("30000");
const DATABASE_POOL_DRAIN_TIMEOUT: Variable = Variable::new(
    "DATABASE_POOL_DRAIN_TIMEOUT",
    "Milliseconds that running requests get when the server stops.",
)
.default("30000");
const DATABASE_APPLICATION_NAME: Variable =
    Variable::new("DATABASE_APPLICATION_NAME", "The `application_name` of the connections.")
        .default("`Rowlock` and its version");
const DB_ANON_ROLE: Variable =
    Variable::new("DB_ANON_ROLE", "The role of tokens without a `role` claim.")
        .default("anon")
        .strict();
const DB_AUTHENTICATED_ROLE: Variable =
    Variable::new("DB_AUTHENTICATED_ROLE", "The role of signed-in users.")
        .default("authenticated")
        .strict();
const DB_SERVICE_ROLE: Variable =
    Variable::new("DB_SERVICE_ROLE", "The role that bypasses row-level security.")
        .default("service_role")
        .strict();
const DB_SUPER_USER: Variable = Variable::new(
    "DB_SUPER_USER",
    "The user that the three roles are granted to when they are created.",
)
.default("postgres")
.strict();
const DB_INSTALL_ROLES: Variable =
    Variable::new("DB_INSTALL_ROLES", "Create the three roles in a fresh database.")
        .default("false")
        .strict();

const DB_ALLOW_MIGRATION_REFRESH: Variable = Variable::new(
    "DB_ALLOW_MIGRATION_REFRESH",
    "Whether hashes of migrations that differ from ours are replaced; `false` refuses to start.",
)
.default("true");
const DB_MIGRATIONS_FREEZE_AT: Variable = Variable::new(
    "DB_MIGRATIONS_FREEZE_AT",
    "The name of the last migration that the database may be asked to have.",
);

pub(crate) const VARIABLES: &[&Variable] = &[
    &DATABASE_URL,
    &DATABASE_POOL_URL,
    &DATABASE_SSL_ROOT_CERT,
    &DATABASE_SEARCH_PATH,
    &DATABASE_MAX_CONNECTIONS,
    &DATABASE_FREE_POOL_AFTER_INACTIVITY,
    &DATABASE_CONNECTION_TIMEOUT,
    &DATABASE_STATEMENT_TIMEOUT,
    &DATABASE_POOL_DRAIN_TIMEOUT,
    &DATABASE_APPLICATION_NAME,
    &DB_ANON_ROLE,
    &DB_AUTHENTICATED_ROLE,
    &DB_SERVICE_ROLE,
    &DB_SUPER_USER,
    &DB_INSTALL_ROLES,
    &DB_ALLOW_MIGRATION_REFRESH,
    &DB_MIGRATIONS_FREEZE_AT,
];

/// Which PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DatabaseTarget {
    /// A private one, started by this process.
    Embedded(EmbeddedSettings),
    /// Somebody else's.
    External(ExternalDatabase),
}

/// A database that runs elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ExternalDatabase {
    /// `DATABASE_URL`, with its password.
    pub(crate) url: String,
    /// `DATABASE_POOL_URL`, with its password.
    pub(crate) pool_url: Option<String>,
    /// `DATABASE_SSL_ROOT_CERT`: PEM text.
    pub(crate) ssl_root_cert: Option<String>,
}

impl fmt::Debug for ExternalDatabase {
    // URLs carry passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalDatabase").finish_non_exhaustive()
    }
}

/// The database and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseSettings {
    /// Which one.
    pub(crate) target: DatabaseTarget,
    /// `DATABASE_SEARCH_PATH`: further schemas.
    pub(crate) search_path: Vec<String>,
    /// `DATABASE_MAX_CONNECTIONS`, at least 1.
    pub(crate) max_connections: usize,
    /// `DATABASE_FREE_POOL_AFTER_INACTIVITY`.
    pub(crate) idle_timeout: Duration,
    /// `DATABASE_CONNECTION_TIMEOUT`.
    pub(crate) connection_timeout: Duration,
    /// `DATABASE_STATEMENT_TIMEOUT`.
    pub(crate) statement_timeout: Duration,
    /// `DATABASE_POOL_DRAIN_TIMEOUT`.
    pub(crate) drain_timeout: Duration,
    /// `DATABASE_APPLICATION_NAME`.
    pub(crate) application_name: String,
    /// `DB_ANON_ROLE`.
    pub(crate) anon_role: String,
    /// `DB_AUTHENTICATED_ROLE`.
    pub(crate) authenticated_role: String,
    /// `DB_SERVICE_ROLE`.
    pub(crate) service_role: String,
    /// `DB_SUPER_USER`.
    pub(crate) super_user: String,
    /// `DB_INSTALL_ROLES`; never in a private database, which is made with its roles.
    pub(crate) install_roles: bool,
    /// `DB_ALLOW_MIGRATION_REFRESH`: only the text `false` turns it off.
    pub(crate) allow_migration_refresh: bool,
    /// `DB_MIGRATIONS_FREEZE_AT`.
    pub(crate) freeze_at: Option<String>,
}

impl DatabaseSettings {
    pub(crate) fn from_source(source: &Source) -> Result<Self, ConfigError> {
        let target = match external(source)? {
            Some(external) => DatabaseTarget::External(external),
            None => DatabaseTarget::Embedded(EmbeddedSettings::from_source(source)),
        };
        let embedded = matches!(target, DatabaseTarget::Embedded(_));
        let role = |variable, default: &str| -> Result<String, ConfigError> {
            let read = |text: &str| is_role(text).then(|| text.to_owned());
            let role = source.parsed(variable, "a role's name of at most 63 bytes", read)?;
            Ok(role.unwrap_or_else(|| default.to_owned()))
        };
        let max_connections = source.number(&DATABASE_MAX_CONNECTIONS).unwrap_or(20).max(1);
        Ok(Self {
            target,
            search_path: list(&source.text_or(&DATABASE_SEARCH_PATH, "")),
            max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
            idle_timeout: source.milliseconds(&DATABASE_FREE_POOL_AFTER_INACTIVITY, 60_000),
            connection_timeout: source.milliseconds(&DATABASE_CONNECTION_TIMEOUT, 3_000),
            statement_timeout: source.milliseconds(&DATABASE_STATEMENT_TIMEOUT, 30_000),
            drain_timeout: source.milliseconds(&DATABASE_POOL_DRAIN_TIMEOUT, 30_000),
            application_name: source.text_or(
                &DATABASE_APPLICATION_NAME,
                concat!("Rowlock ", env!("CARGO_PKG_VERSION")),
            ),
            anon_role: role(&DB_ANON_ROLE, "anon")?,
            authenticated_role: role(&DB_AUTHENTICATED_ROLE, "authenticated")?,
            service_role: role(&DB_SERVICE_ROLE, "service_role")?,
            super_user: role(&DB_SUPER_USER, "postgres")?,
            // A private database has its roles from its making.
            install_roles: source.flag(&DB_INSTALL_ROLES, false)? && !embedded,
            allow_migration_refresh: source.text(&DB_ALLOW_MIGRATION_REFRESH).as_deref()
                != Some("false"),
            freeze_at: source.text(&DB_MIGRATIONS_FREEZE_AT),
        })
    }
}

/// Whether a database is named at all: that alone decides the mode.
pub(crate) fn is_external(source: &Source) -> bool {
    source.has(&DATABASE_URL)
}

fn external(source: &Source) -> Result<Option<ExternalDatabase>, ConfigError> {
    let url = |variable| {
        source.parsed(variable, "a URL that begins with postgres:// or postgresql://", |text| {
            let known = text.starts_with("postgres://") || text.starts_with("postgresql://");
            known.then(|| text.to_owned())
        })
    };
    let pool_url = url(&DATABASE_POOL_URL)?;
    let Some(url) = url(&DATABASE_URL)? else {
        return match pool_url {
            None => Ok(None),
            Some(_) => Err(ConfigError::Missing {
                name: DATABASE_URL.name,
                why: "DATABASE_POOL_URL is set, and a pooler alone can't carry the schema and the locks",
            }),
        };
    };
    let ssl_root_cert = source.parsed(&DATABASE_SSL_ROOT_CERT, "PEM text", |text| {
        // Line ends arrive as two characters from places that know no multi-line values.
        let text = if text.contains('\n') { text.to_owned() } else { text.replace("\\n", "\n") };
        text.contains("-----BEGIN CERTIFICATE-----").then_some(text)
    })?;
    Ok(Some(ExternalDatabase { url, pool_url, ssl_root_cert }))
}

fn is_role(text: &str) -> bool {
    (1..=63).contains(&text.len()) && !text.contains('\0') && !text.eq_ignore_ascii_case("none")
}

/// The parts of a comma list without the white space around them; empty ones are dropped.
pub(crate) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
