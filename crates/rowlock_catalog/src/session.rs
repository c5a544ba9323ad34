//! One connection: its statements, and the trips it makes.

use crate::error::Error;
use futures_util::TryStreamExt;
use rowlock_types::Role;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

/// A parameter and its type: unnamed statements need both.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// More statements than this on one connection are sent unnamed: the number of roles is the
/// clients' choice, the database's memory is not.
const MAX_STATEMENTS: usize = 512;

/// How statements are sent: named (several times faster) or unnamed (all that a transaction-mode
/// pooler can carry). One switch for the whole process.
#[derive(Debug, Clone)]
pub(crate) struct Naming(Arc<AtomicBool>);

impl Naming {
    pub(crate) fn new(named: bool) -> Self {
        Self(Arc::new(AtomicBool::new(named)))
    }

    pub(crate) fn named(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A named statement got lost: a pooler sits behind the URL.
    pub(crate) fn give_up_names(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "a pooler in transaction mode answers behind DATABASE_URL: statements go unnamed \
                 from now on, which is slower; give the pooler in DATABASE_POOL_URL instead"
            );
        }
    }
}

/// A pooled connection.
pub(crate) struct Session {
    pub(crate) client: Client,
    naming: Naming,
    // One statement for each role: a plan depends on the role's policies, and a statement that
    // changes its role is planned anew each time.
    statements: Mutex<HashMap<(&'static str, Role), Statement>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// A statement ready to be sent: prepared where names are allowed.
pub(crate) enum Ready {
    Named(Statement),
    Unnamed(&'static str),
}

impl Session {
    pub(crate) fn new(client: Client, naming: Naming) -> Self {
        Self { client, naming, statements: Mutex::default() }
    }

    /// Prepares a statement for a role, or finds it prepared. Call it before the transaction
    /// begins, so that the trip itself has no pause.
    pub(crate) async fn ready(
        &self,
        sql: &'static str,
        role: &Role,
        types: &[Type],
    ) -> Result<Ready, Error> {
        if !self.naming.named() {
            return Ok(Ready::Unnamed(sql));
        }
        let key = (sql, role.clone());
        {
            let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(statement) = known.get(&key) {
                return Ok(Ready::Named(statement.clone()));
            }
            if known.len() >= MAX_STATEMENTS {
                return Ok(Ready::Unnamed(sql));
            }
        }
        let statement = self.client.prepare_typed(sql, types).await?;
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, statement.clone());
        Ok(Ready::Named(statement))
    }

    /// As [`send`](Self::send), with how many rows the statement wrote (or returned).
    pub(crate) async fn send_counted(
        &self,
        statement: &Ready,
        params: &[Param<'_>],
    ) -> Result<(Vec<Row>, u64), Error> {
        let rows = match statement {
            Ready::Named(statement) => {
                let values = params.iter().map(|param| param.0);
                self.client.query_raw(statement, values).await?
            }
            Ready::Unnamed(sql) => {
                let values = params.iter().map(|(value, kind)| (*value, kind.clone()));
                self.client.query_typed_raw(sql, values).await?
            }
        };
        futures_util::pin_mut!(rows);
        let mut all = Vec::new();
        while let Some(row) = rows.try_next().await? {
            all.push(row);
        }
        Ok((all, rows.rows_affected().unwrap_or(0)))
    }

    /// Sends a statement; the first poll puts it on the wire, so that several sends polled
    /// together travel as one trip, in order.
    pub(crate) async fn send(
        &self,
        statement: &Ready,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Error> {
        Ok(match statement {
            Ready::Named(statement) => {
                let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p.0).collect();
                self.client.query(statement, &values).await?
            }
            Ready::Unnamed(sql) => self.client.query_typed(sql, params).await?,
        })
    }

    /// Sends a statement without parameters by the simple protocol (BEGIN, COMMIT, ROLLBACK).
    pub(crate) async fn simple(&self, sql: &'static str) -> Result<(), Error> {
        Ok(self.client.batch_execute(sql).await?)
    }
}
