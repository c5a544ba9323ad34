//! The configuration: one file per concern, each with its variables, its settings and the one
//! function that makes the settings of the variables.
//!
//! Only [`Source`] reads the environment.

mod auth;
pub(crate) mod backend;
mod bind;
pub(crate) mod database;
pub(crate) mod dotenv;
pub(crate) mod duration;
pub(crate) mod embedded;
mod error;
pub(crate) mod gateway;
mod images;
mod later;
mod logging;
pub(crate) mod registry;
pub(crate) mod remembered;
mod resumable;
pub(crate) mod s3_backend;
pub(crate) mod s3_protocol;
mod source;
#[cfg(test)]
mod tests;
mod uploads;
mod variable;
pub(crate) mod webhooks;

use rowlock_auth::AuthSettings;

pub(crate) use auth::{ANON_KEY, AUTH_JWT_SECRET, SERVICE_KEY, signing};
pub(crate) use backend::{Backend, ObjectSettings, STORAGE_S3_BUCKET, TENANT};
pub(crate) use bind::BindSettings;
pub(crate) use database::DatabaseSettings;
pub(crate) use error::ConfigError;
pub(crate) use gateway::GatewaySettings;
pub(crate) use images::ImageSettings;
pub(crate) use logging::LoggingSettings;
pub(crate) use resumable::ResumableSettings;
pub(crate) use s3_protocol::{
    S3_PROTOCOL_ACCESS_KEY_ID, S3_PROTOCOL_ACCESS_KEY_SECRET, S3ProtocolSettings,
};
pub(crate) use source::Source;
pub(crate) use uploads::UploadSettings;
pub(crate) use variable::Variable;
pub(crate) use webhooks::WebhookSettings;

/// Where the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No `DATABASE_URL`: a private PostgreSQL, everything in one folder, keys made at first.
    Alone,
    /// With `DATABASE_URL`: in the reference's place.
    Stack,
}

impl Mode {
    /// `DATABASE_URL` alone decides.
    pub(crate) fn of(source: &Source) -> Self {
        if database::is_external(source) { Self::Stack } else { Self::Alone }
    }
}

/// Everything that can be configured.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) mode: Mode,
    pub(crate) bind: BindSettings,
    pub(crate) database: DatabaseSettings,
    pub(crate) objects: ObjectSettings,
    pub(crate) uploads: UploadSettings,
    pub(crate) resumable: ResumableSettings,
    pub(crate) images: ImageSettings,
    pub(crate) auth: AuthSettings,
    pub(crate) s3: S3ProtocolSettings,
    pub(crate) gateway: GatewaySettings,
    /// Who is told of events.
    pub(crate) webhooks: Option<WebhookSettings>,
    pub(crate) logging: LoggingSettings,
    /// What the operator must not overlook, a sentence each.
    pub(crate) alarms: Vec<String>,
}

impl Config {
    /// Reads all settings. What is odd, but no reason to stop, is noted in the source
    /// ([`Source::take_warnings`]).
    ///
    /// # Errors
    /// The first value that stops the start.
    pub(crate) fn from_source(source: &Source) -> Result<Self, ConfigError> {
        let mode = Mode::of(source);
        let database = DatabaseSettings::from_source(source)?;
        let objects = ObjectSettings::from_source(source, mode)?;
        let mut config = Self {
            mode,
            bind: BindSettings::from_source(source, mode),
            uploads: UploadSettings::from_source(source)?,
            resumable: ResumableSettings::from_source(source)?,
            images: ImageSettings::from_source(source, mode)?,
            auth: auth::from_source(source, &database, &objects)?,
            s3: S3ProtocolSettings::from_source(source)?,
            gateway: GatewaySettings::from_source(source)?,
            webhooks: WebhookSettings::from_source(source)?,
            logging: LoggingSettings::from_source(source, mode)?,
            database,
            objects,
            alarms: Vec::new(),
        };
        registry::warn_of_typos(source);
        config.alarms = source.take_alarms();
        Ok(config)
    }

    /// What is odd only where the server is about to listen: alone, `.env` names the port of the
    /// first start, and this start's may be another one.
    pub(crate) fn warn_of_another_port(&self, source: &Source) {
        if self.mode == Mode::Alone {
            gateway::warn_of_another_port(source, &self.gateway, &self.bind);
        }
    }
}
