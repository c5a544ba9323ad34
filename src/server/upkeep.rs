//! The domain without a server: for commands that work beside one.

use rowlock_auth::Authenticator;
use rowlock_storage::Storage;

use super::ServeError;
use super::blobs::Blobs;
use super::database::Database;
use crate::config::Config;

/// A database and a store, opened for a command.
pub(crate) struct Upkeep {
    pub(crate) storage: Storage,
    database: Database,
}

impl Upkeep {
    /// Opens both; see [`Database::beside`].
    pub(crate) async fn open(config: &Config) -> Result<Self, ServeError> {
        let authenticator = Authenticator::new(config.auth.clone())?;
        let database = Database::beside(config, &authenticator).await?;
        match Self::store(config, &database).await {
            Ok(storage) => Ok(Self { storage, database }),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    async fn store(config: &Config, database: &Database) -> Result<Storage, ServeError> {
        let blobs = Blobs::open(config).await?;
        if let Some(problem) = blobs.problem().await {
            return Err(ServeError::Store(problem));
        }
        Ok(Storage::new(database.catalog.clone(), blobs.store(), super::domain(config)))
    }

    /// Stops what was started for it.
    pub(crate) async fn close(self) {
        self.database.close().await;
    }
}
