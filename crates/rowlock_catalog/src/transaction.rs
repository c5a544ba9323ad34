//! A transaction of several trips. It owns its connection; one that is dropped before its end
//! takes the connection out of the pool, so that no open transaction or foreign role is reused.

use crate::catalog::Catalog;
use crate::error::Error;
use crate::pool::Pooled;
use crate::scope::{Scope, ScopeParams};
use crate::session::{Param, Ready};
use deadpool::managed::Object;
use rowlock_types::Role;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// One of several statements that travel together. Nothing may have to be decided between them.
#[derive(Clone, Copy)]
pub(crate) enum Step<'s> {
    /// By the simple protocol, without parameters.
    Plain(&'static str),
    /// Switches to a scope.
    Scope(&'s Scope<'s>),
    /// A statement in the scope of this role.
    Query(&'s Role, &'static str, &'s [Param<'s>]),
}

/// A step that needs no further trip before it is sent.
enum Prepared<'s> {
    Plain(&'static str),
    Scope(Ready, ScopeParams<'s>),
    Query(Ready, &'s [Param<'s>]),
}

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

    /// Begins with these steps, in one trip; their answers come in the steps' order.
    pub(crate) async fn begin_with(
        catalog: &'a Catalog,
        steps: &[Step<'_>],
    ) -> Result<(Self, Vec<Vec<Row>>), Error> {
        let session = catalog.session().await?;
        let this = Self { catalog, session: Some(session) };
        let mut all = vec![Step::Plain("BEGIN")];
        all.extend_from_slice(steps);
        let mut answers = this.together(&all).await?;
        answers.remove(0);
        Ok((this, answers))
    }

    /// A transaction of one trip; the answers come in the steps' order. For work that may be
    /// repeated where the outcome of its COMMIT is unknown.
    pub(crate) async fn whole(
        catalog: &'a Catalog,
        steps: &[Step<'_>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        let session = catalog.session().await?;
        let mut this = Self { catalog, session: Some(session) };
        let mut all = vec![Step::Plain("BEGIN")];
        all.extend_from_slice(steps);
        all.push(Step::Plain("COMMIT"));
        let mut answers = this.together(&all).await?;
        this.session.take();
        answers.remove(0);
        answers.pop();
        Ok(answers)
    }

    /// Sends several steps in one trip; the answers come in the steps' order. Where one fails the
    /// database refuses those behind it, and the first failure is the answer.
    pub(crate) async fn together(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let session = self.session()?;
        let mut prepared = Vec::with_capacity(steps.len());
        for step in steps {
            prepared.push(match *step {
                Step::Plain(sql) => Prepared::Plain(sql),
                Step::Scope(scope) => {
                    self.catalog.check_role(scope)?;
                    let params = self.catalog.scope_params(scope);
                    Prepared::Scope(self.catalog.scope_ready(session, &params).await?, params)
                }
                Step::Query(role, sql, params) => {
                    let types: Vec<Type> = params.iter().map(|p| p.1.clone()).collect();
                    Prepared::Query(session.ready(sql, role, &types).await?, params)
                }
            });
        }
        // The first poll of each puts it on the wire: they go out in order.
        let sends = prepared.iter().map(|step| async move {
            match step {
                Prepared::Plain(sql) => session.simple(sql).await.map(|()| Vec::new()),
                Prepared::Scope(ready, params) => session.send(ready, &params.params()).await,
                Prepared::Query(ready, params) => session.send(ready, params).await,
            }
        });
        futures_util::future::join_all(sends).await.into_iter().collect()
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

    /// Sends the last steps and COMMIT in one trip.
    pub(crate) async fn commit_with(mut self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let mut all = steps.to_vec();
        all.push(Step::Plain("COMMIT"));
        let mut answers = self.together(&all).await.map_err(|error| match error {
            // COMMIT was sent with the rest: nobody knows whether it arrived.
            Error::Unavailable(_) => Error::CommitUnknown,
            other => other,
        })?;
        self.session.take();
        answers.pop();
        Ok(answers)
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
