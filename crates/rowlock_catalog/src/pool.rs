//! The pool of request connections.

use crate::error::Error;
use crate::session::{Naming, Session};
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Client;

/// Opens one connection; its driver runs in a task of its own.
pub type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Client, Error>> + Send + Sync>;

pub(crate) type Pooled = managed::Object<Manager>;

pub(crate) struct Manager {
    connect: Connect,
    naming: Naming,
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").finish_non_exhaustive()
    }
}

impl managed::Manager for Manager {
    type Type = Session;
    type Error = Error;

    async fn create(&self) -> Result<Session, Error> {
        let client = (self.connect)().await?;
        Ok(Session::new(client, self.naming.clone()))
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Error> {
        if session.client.is_closed() {
            return Err(RecycleError::message("the connection is closed"));
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Pool {
    inner: managed::Pool<Manager>,
}

impl Pool {
    pub(crate) fn new(
        connect: Connect,
        naming: Naming,
        max_connections: usize,
        wait: Duration,
    ) -> Result<Self, Error> {
        let inner = managed::Pool::builder(Manager { connect, naming })
            .max_size(max_connections.max(1))
            .wait_timeout(Some(wait))
            .create_timeout(Some(wait))
            .runtime(deadpool::Runtime::Tokio1)
            // The connection used last has the warmest statements and plans.
            .queue_mode(managed::QueueMode::Lifo)
            .build()
            .map_err(|e| Error::Unavailable(e.to_string()))?;
        Ok(Self { inner })
    }

    /// A connection, or an error when none is free in time.
    pub(crate) async fn get(&self) -> Result<Pooled, Error> {
        self.inner.get().await.map_err(|error| match error {
            managed::PoolError::Backend(error) => error,
            managed::PoolError::Timeout(managed::TimeoutType::Create) => {
                Error::Unavailable("connecting took too long".into())
            }
            managed::PoolError::Timeout(_) => Error::PoolTimeout,
            other => Error::Unavailable(other.to_string()),
        })
    }

    /// Closes connections that nobody used for so long (`DATABASE_FREE_POOL_AFTER_INACTIVITY`).
    pub(crate) fn close_idle(&self, idle: Duration) {
        self.inner.retain(|_, metrics| metrics.last_used() < idle);
    }

    pub(crate) fn close(&self) {
        self.inner.close();
    }
}
