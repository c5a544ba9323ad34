//! The database: started or reached, its schema prepared, its catalog opened.

use std::sync::Arc;

use rowlock_auth::Authenticator;
use rowlock_catalog::connect::{ConnectError, ConnectSettings, Connector};
use rowlock_catalog::embedded::{Embedded, EmbeddedError};
use rowlock_catalog::schema::{self, SchemaSettings};
use rowlock_catalog::{
    Catalog, CatalogSettings, Connect, ConnectListening, Error, LaneSettings, OpenLane, OwnSchema,
    Presence,
};

use super::ServeError;
use crate::config::database::DatabaseTarget;
use crate::config::{Config, DatabaseSettings};

/// Where the schemas of the stack are, for names in policies and triggers that name none.
const SEARCH_PATH: [&str; 3] = ["storage", "public", "extensions"];

/// A setting that only a direct connection carries: behind a pooler it is not there.
const MARKER: &str = "rowlock.connection";

pub(crate) struct Database {
    pub(crate) catalog: Catalog,
    /// How this process shows others that it lives.
    pub(crate) presence: Presence,
    embedded: Option<Embedded>,
}

impl Database {
    pub(crate) async fn open(
        config: &Config,
        authenticator: &Authenticator,
    ) -> Result<Self, ServeError> {
        let (embedded, url, pool_url, ssl_root_cert) = match &config.database.target {
            DatabaseTarget::Embedded(settings) => {
                let embedded = Embedded::start(&settings.catalog()).await?;
                let url = embedded.storage_url().to_owned();
                (Some(embedded), url, None, None)
            }
            DatabaseTarget::External(external) => {
                let external = external.clone();
                (None, external.url, external.pool_url, external.ssl_root_cert)
            }
        };
        // Whether its writer lives decides who may go on with a resumable upload, and what becomes of
        // a write to an S3 service.
        let (shows_itself, prepares) = (true, true);
        let events = config.webhooks.is_some();
        let database = &config.database;
        let way = Way { database, ssl_root_cert, shows_itself, prepares, events };
        match way.catalog(&url, pool_url.as_deref(), authenticator).await {
            Ok((catalog, presence)) => Ok(Self { catalog, presence, embedded }),
            Err(error) => {
                if let Some(embedded) = embedded {
                    embedded.stop().await;
                }
                Err(error)
            }
        }
    }

    /// Opens the database for a short piece of work beside the servers that use it, which changes
    /// nothing of its schema. A private one that nobody runs is started for as long as it takes.
    pub(crate) async fn beside(
        config: &Config,
        authenticator: &Authenticator,
    ) -> Result<Self, ServeError> {
        let (embedded, url, ssl_root_cert) = match &config.database.target {
            DatabaseTarget::Embedded(settings) => {
                let settings = settings.catalog();
                match Embedded::urls_of_running(&settings) {
                    Ok(urls) => (None, urls.storage().to_owned(), None),
                    Err(EmbeddedError::NotRunning { .. }) if settings.data_dir.exists() => {
                        let embedded = Embedded::start(&settings).await?;
                        let url = embedded.storage_url().to_owned();
                        (Some(embedded), url, None)
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            DatabaseTarget::External(external) => {
                let external = external.clone();
                (None, external.url, external.ssl_root_cert)
            }
        };
        let (shows_itself, prepares) = (false, false);
        let events = config.webhooks.is_some();
        let database = &config.database;
        let way = Way { database, ssl_root_cert, shows_itself, prepares, events };
        match way.catalog(&url, None, authenticator).await {
            Ok((catalog, presence)) => Ok(Self { catalog, presence, embedded }),
            Err(error) => {
                if let Some(embedded) = embedded {
                    embedded.stop().await;
                }
                Err(error)
            }
        }
    }

    pub(crate) async fn close(self) {
        self.catalog.close();
        drop(self.presence);
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

/// How to get to the database.
struct Way<'a> {
    database: &'a DatabaseSettings,
    ssl_root_cert: Option<String>,
    shows_itself: bool,
    /// Whether the schema is brought up; else it must be there.
    prepares: bool,
    /// Whether somebody is to be told what happens to objects.
    events: bool,
}

impl Way<'_> {
    fn search_path(&self) -> String {
        let more = self.database.search_path.iter().map(String::as_str);
        SEARCH_PATH.into_iter().chain(more).collect::<Vec<_>>().join(",")
    }

    fn connector(
        &self,
        url: &str,
        session: Vec<(String, String)>,
    ) -> Result<Connector, ServeError> {
        Ok(Connector::new(&ConnectSettings {
            ssl_root_cert: self.ssl_root_cert.clone(),
            application_name: Some(self.database.application_name.clone()),
            connect_timeout: self.database.connection_timeout,
            session,
            ..ConnectSettings::new(url)
        })?)
    }

    async fn catalog(
        &self,
        url: &str,
        pool_url: Option<&str>,
        authenticator: &Authenticator,
    ) -> Result<(Catalog, Presence), ServeError> {
        let session = vec![
            ("search_path".to_owned(), self.search_path()),
            (MARKER.to_owned(), "direct".to_owned()),
        ];
        let direct = self.connector(url, session)?;
        let plain = self.connector(url, Vec::new())?;
        let behind_pooler = is_behind_pooler(&direct).await?;
        let own_schema = self.prepare(if behind_pooler { &plain } else { &direct }).await?;
        let presence = if self.shows_itself && !behind_pooler {
            Presence::hold(listen(direct.clone())).await?
        } else {
            Presence::without_lock()
        };
        let (requests, pooled) = match pool_url {
            Some(pool) => (self.connector(pool, Vec::new())?, true),
            None if behind_pooler => {
                tracing::warn!(
                    "a pooler answers behind DATABASE_URL: statements go unnamed, which is \
                     slower; give the pooler in DATABASE_POOL_URL, and the database itself here"
                );
                (plain, true)
            }
            None => (direct, false),
        };
        let most = self.database.max_connections;
        let lanes = if pooled { 0 } else { lanes(most) };
        let catalog = Catalog::new(CatalogSettings {
            connect: connect(requests.clone()),
            named_statements: !pooled,
            search_path: pooled.then(|| self.search_path()),
            max_connections: most - lanes,
            connection_timeout: self.database.connection_timeout,
            statement_timeout: self.database.statement_timeout,
            idle_timeout: self.database.idle_timeout,
            service: Arc::new(authenticator.service_caller()),
            own_schema,
            events: self.events,
            lanes: (lanes > 0).then(|| LaneSettings { open: open(requests), count: lanes }),
        })?;
        catalog.refresh_forbidden_roles().await?;
        Ok((catalog, presence))
    }

    /// Brings the schema up, on a connection of its own.
    async fn prepare(&self, connector: &Connector) -> Result<OwnSchema, ServeError> {
        if !self.prepares {
            let (client, _driver) = connector.connect().await?;
            return match schema::own_schema(&client).await? {
                Some("storage") => Ok(OwnSchema::Storage),
                Some(_) => Ok(OwnSchema::Rowlock),
                None => Err(ServeError::NeverServed),
            };
        }
        let settings = SchemaSettings {
            install_roles: self.database.install_roles,
            anon_role: self.database.anon_role.clone(),
            authenticated_role: self.database.authenticated_role.clone(),
            service_role: self.database.service_role.clone(),
            super_user: self.database.super_user.clone(),
            allow_hash_refresh: self.database.allow_migration_refresh,
            freeze_at: self.database.freeze_at.clone(),
        };
        let (mut client, _driver) = connector.connect().await?;
        let prepared = schema::prepare(&mut client, &settings).await?;
        for sentence in &prepared.warnings {
            tracing::warn!("{sentence}");
        }
        tracing::info!(outcome = ?prepared.outcome, "the database is ready");
        Ok(match prepared.own_schema.as_str() {
            "storage" => OwnSchema::Storage,
            _ => OwnSchema::Rowlock,
        })
    }
}

/// Whether the connection passes through something that drops or refuses start-up settings, and
/// so may move it between transactions. Named statements would then meet strangers of their name.
async fn is_behind_pooler(direct: &Connector) -> Result<bool, ServeError> {
    const SEEN: &str = "SELECT current_setting('rowlock.connection', true) = 'direct'";
    let client = match direct.connect().await {
        Ok((client, _driver)) => client,
        // "unsupported startup parameter": no PostgreSQL says so.
        Err(error @ ConnectError::Refused { .. })
            if error.sqlstate().is_some_and(|state| state.code() == "08P01") =>
        {
            return Ok(true);
        }
        Err(error) => return Err(error.into()),
    };
    let rows = client.simple_query(SEEN).await.map_err(Error::from)?;
    let seen = rows.iter().any(|message| {
        matches!(message, rowlock_catalog::SimpleQueryMessage::Row(row) if row.get(0) == Some("t"))
    });
    Ok(!seen)
}

/// How many of the connections that may be opened are lanes: each keeps one of the database's
/// processes busy, and more of those than cores bring nothing.
fn lanes(most: usize) -> usize {
    const MOST: usize = 4;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(MOST).min(most / 4)
}

/// The pool's way to open a connection.
fn connect(connector: Connector) -> Connect {
    Arc::new(move || {
        let connector = connector.clone();
        Box::pin(async move {
            let opened = connector.connect().await;
            opened.map(|(client, _driver)| client).map_err(unavailable)
        })
    })
}

/// The way of the connection that shows the process to live.
fn listen(connector: Connector) -> ConnectListening {
    Arc::new(move || {
        let connector = connector.clone();
        Box::pin(async move { connector.connect_listening().await.map_err(unavailable) })
    })
}

/// The lanes' way.
fn open(connector: Connector) -> OpenLane {
    Arc::new(move || {
        let connector = connector.clone();
        Box::pin(async move { connector.connect_raw().await.map_err(unavailable) })
    })
}

fn unavailable(error: ConnectError) -> Error {
    if error.sqlstate().is_some_and(|state| state.code() == "53300") {
        Error::TooManyConnections
    } else {
        Error::Unavailable(error.to_string())
    }
}
