//! A transaction of several trips. It owns its connection; one that is dropped before its end
//! takes the connection out of the pool, so that no open transaction or foreign role is reused.

use crate::catalog::Catalog;
use crate::error::Error;
use crate::pool::Pooled;
use crate::scope::Scope;
use crate::session::Param;
use deadpool::managed::Object;
use rowlock_types::Role;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub(crate) struct Transaction<'a> {
    catalog: &'a Catalog,
    session: Option<Pooled>,
}

impl<'a> Transaction<'a> {
    pub(crate) async fn begin(catalog: &'a Catalog) -> Result<Self, Error> {
        let session = catalog.session().await?;
        let this = Self { catalog, session: Some(session) };
        this.session()?.simple("BEGIN").await?;
        Ok(this)
    }

    fn session(&self) -> Result<&Pooled, Error> {
        self.session.as_ref().ok_or(Error::ScopeLost)
    }

    /// Switches to a scope.
    pub(crate) async fn scope(&self, scope: &Scope<'_>) -> Result<(), Error> {
        self.catalog.check_role(scope)?;
        let session = self.session()?;
        let params = self.catalog.scope_params(scope);
        let ready = self.catalog.scope_ready(session, &params).await?;
        session.send(&ready, &params.params()).await?;
        Ok(())
    }

    /// Runs a statement in the current scope.
    pub(crate) async fn query(
        &self,
        role: &Role,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Error> {
        let session = self.session()?;
        let types: Vec<Type> = params.iter().map(|p| p.1.clone()).collect();
        let ready = session.ready(sql, role, &types).await?;
        session.send(&ready, params).await
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.session()?.simple("COMMIT").await.map_err(|error| match error {
            Error::Unavailable(_) => Error::CommitUnknown,
            other => other,
        })?;
        self.session.take();
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), Error> {
        self.session()?.simple("ROLLBACK").await?;
        self.session.take();
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // Not ended: the connection is closed and the database rolls back.
            drop(Object::take(session));
        }
    }
}
