//! The catalog itself: how operations reach the database.

use crate::error::Error;
use crate::lanes::{Ask, FoundRow, LaneSettings, Lanes};
use crate::pool::{Connect, Pool, Pooled};
use crate::scope::{Scope, ScopeParams};
use crate::session::{Naming, Param, Ready, Session};
use parking_lot::RwLock;
use rowlock_types::{Caller, Operation, RequestInfo, Role};
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// How the catalog reaches and uses its database.
#[derive(Clone)]
pub struct CatalogSettings {
    /// Opens one connection for requests (the pooler's where there is one).
    pub connect: Connect,
    /// Whether named prepared statements may be used (not behind a transaction-mode pooler).
    pub named_statements: bool,
    /// The search path to set in each transaction; `None` where the start-up packet carries it.
    pub search_path: Option<String>,
    /// Upper bound of connections (`DATABASE_MAX_CONNECTIONS`).
    pub max_connections: usize,
    /// How long a request waits for a connection (`DATABASE_CONNECTION_TIMEOUT`).
    pub connection_timeout: Duration,
    /// How long a statement may run (`DATABASE_STATEMENT_TIMEOUT`).
    pub statement_timeout: Duration,
    /// After how long an unused connection is closed (`DATABASE_FREE_POOL_AFTER_INACTIVITY`).
    pub idle_timeout: Duration,
    /// The service role with the claims of the service key.
    pub service: Arc<Caller>,
    /// The schema of our own tables.
    pub own_schema: OwnSchema,
    /// Whether there is somebody to be told what happens to objects (`WEBHOOK_URL`).
    pub events: bool,
    /// How single rows are read faster than through the pool; `None` behind a pooler.
    pub lanes: Option<LaneSettings>,
}

impl std::fmt::Debug for CatalogSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogSettings")
            .field("max_connections", &self.max_connections)
            .field("own_schema", &self.own_schema)
            .finish_non_exhaustive()
    }
}

/// Where our own tables live: a schema of their own, or `storage` where the database user may
/// not create one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnSchema {
    /// Schema `rowlock`.
    Rowlock,
    /// Schema `storage`.
    Storage,
}

impl OwnSchema {
    /// Picks the text of a statement written once for each place.
    pub(crate) fn pick(self, rowlock: &'static str, storage: &'static str) -> &'static str {
        match self {
            Self::Rowlock => rowlock,
            Self::Storage => storage,
        }
    }
}

/// A statement over one of our own tables, in the text for each schema it may live in.
macro_rules! own_sql {
    ($schema:expr, $($part:literal),+ $(,)?) => {
        $schema.pick(own_sql!(@join "rowlock.rowlock_", $($part),+),
                     own_sql!(@join "storage.rowlock_", $($part),+))
    };
    (@join $table:literal, $first:literal) => { $first };
    (@join $table:literal, $first:literal, $second:literal) => { concat!($first, $table, $second) };
    (@join $table:literal, $first:literal, $second:literal, $third:literal) => {
        concat!($first, $table, $second, $table, $third)
    };
}
pub(crate) use own_sql;

/// The database, as the domain sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    lanes: Option<Lanes>,
    naming: Naming,
    settings: CatalogSettings,
    statement_timeout: String,
    forbidden: RwLock<HashSet<String>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Catalog {
    /// Opens the pool (no connection yet).
    ///
    /// # Errors
    /// Only when the settings make no pool.
    pub fn new(settings: CatalogSettings) -> Result<Self, Error> {
        let naming = Naming::new(settings.named_statements);
        let pool = Pool::new(
            settings.connect.clone(),
            naming.clone(),
            settings.max_connections,
            settings.connection_timeout,
        )?;
        let statement_timeout = format!("{}ms", settings.statement_timeout.as_millis());
        let forbidden = RwLock::new(HashSet::from(["none".to_owned(), String::new()]));
        let lanes = settings.lanes.clone().filter(|_| settings.named_statements).map(Lanes::new);
        let inner = Inner { pool, lanes, naming, settings, statement_timeout, forbidden };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The service role's caller.
    pub fn service(&self) -> &Arc<Caller> {
        &self.inner.settings.service
    }

    /// Closes all connections; requests under way fail.
    pub fn close(&self) {
        self.inner.pool.close();
        if let Some(lanes) = &self.inner.lanes {
            lanes.close();
        }
    }

    /// Closes connections that were not used for the configured time. Call it now and then.
    pub fn close_idle(&self) {
        self.inner.pool.close_idle(self.inner.settings.idle_timeout);
        if let Some(lanes) = &self.inner.lanes {
            lanes.close_idle(self.inner.settings.idle_timeout);
        }
    }

    /// Reads which roles may never be used: the connection user, superusers, owners of tables in
    /// schema `storage` and roles that inherit from one: none of them is bound by policies. Call it at start and now and then.
    ///
    /// # Errors
    /// The database's; the roles known before stay forbidden.
    pub async fn refresh_forbidden_roles(&self) -> Result<(), Error> {
        const SQL: &str = "\
            SELECT rolname::text FROM pg_catalog.pg_roles r
            WHERE rolsuper OR rolname = session_user OR EXISTS (
              SELECT 1 FROM pg_catalog.pg_class c
              WHERE c.relnamespace = to_regnamespace('storage')::oid
                AND c.relkind IN ('r', 'p') AND pg_has_role(r.oid, c.relowner, 'USAGE'))";
        let rows = self
            .retrying(|| async {
                let session = self.session().await?;
                let ready = session.ready(SQL, &Role::new(""), &[]).await?;
                session.send(&ready, &[]).await
            })
            .await?;
        let mut roles: HashSet<String> =
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        roles.extend(["none".to_owned(), String::new()]);
        *self.inner.forbidden.write() = roles;
        Ok(())
    }

    /// Whether the database answers: one look at the buckets as the service role.
    ///
    /// # Errors
    /// When it does not.
    pub async fn health(&self) -> Result<(), Error> {
        const SQL: &str = "SELECT id FROM storage.buckets WHERE current_user = $1 LIMIT 1";
        let scope = self.service_scope(Operation::None);
        let role = scope.caller.role.as_str();
        self.read_one(&scope, SQL, &[(&role, Type::TEXT)]).await?;
        Ok(())
    }

    pub(crate) fn own_schema(&self) -> OwnSchema {
        self.inner.settings.own_schema
    }

    /// Whether changes of objects write events.
    pub(crate) fn tells_events(&self) -> bool {
        self.inner.settings.events
    }

    pub(crate) async fn session(&self) -> Result<Pooled, Error> {
        self.inner.pool.get().await
    }

    /// The service role's scope for work that no request asked for.
    pub(crate) fn service_scope(&self, operation: Operation) -> Scope<'_> {
        static NO_REQUEST: std::sync::LazyLock<RequestInfo> =
            std::sync::LazyLock::new(RequestInfo::default);
        Scope { caller: self.service(), request: &NO_REQUEST, operation }
    }

    /// The service role's scope inside a request: its role and claims, the request's own headers
    /// and operation.
    pub(crate) fn as_service<'a>(&'a self, scope: &Scope<'a>) -> Scope<'a> {
        Scope { caller: self.service(), ..*scope }
    }

    /// Refuses roles that policies do not bind, before any SQL.
    pub(crate) fn check_role(&self, scope: &Scope<'_>) -> Result<(), Error> {
        let role = scope.caller.role.as_str();
        if self.inner.forbidden.read().contains(role) {
            return Err(Error::RoleRefused(role.to_owned()));
        }
        Ok(())
    }

    /// The scope statement's parameters.
    pub(crate) fn scope_params<'a>(&'a self, scope: &Scope<'a>) -> ScopeParams<'a> {
        ScopeParams::new(
            *scope,
            &self.inner.statement_timeout,
            self.inner.settings.search_path.as_deref(),
        )
    }

    /// Prepares the scope statement.
    pub(crate) async fn scope_ready(
        &self,
        session: &Session,
        params: &ScopeParams<'_>,
    ) -> Result<Ready, Error> {
        // Run as whoever holds the connection: the same plan serves every role.
        const TEXTS: [Type; 10] = [
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
        ];
        let sql = params.sql();
        let types = &TEXTS[..params.params().len()];
        session.ready(sql, &Role::new(""), types).await
    }

    /// Runs a piece of work that is one transaction, and again without names if a pooler lost
    /// them, or after a deadlock.
    pub(crate) async fn retrying<T, F, Fut>(&self, work: F) -> Result<T, Error>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut deadlocks = 0;
        loop {
            match work().await {
                Err(error) if error.is_lost_statement() && self.inner.naming.named() => {
                    self.inner.naming.give_up_names();
                }
                // The database rolled this transaction back to let another one go on.
                Err(error) if error.is(&SqlState::T_R_DEADLOCK_DETECTED) && deadlocks < 3 => {
                    deadlocks += 1;
                }
                other => return other,
            }
        }
    }

    /// One statement under one scope, in one trip: BEGIN, scope, statement, COMMIT.
    pub(crate) async fn read_one(
        &self,
        scope: &Scope<'_>,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.read_one_begun("BEGIN", scope, sql, params).await
    }

    /// As [`read_one`](Self::read_one), in a transaction that `begin` begins.
    pub(crate) async fn read_one_begun(
        &self,
        begin: &'static str,
        scope: &Scope<'_>,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.check_role(scope)?;
        self.retrying(|| async {
            let session = self.session().await?;
            let scope_params = self.scope_params(scope);
            let scoped = self.scope_ready(&session, &scope_params).await?;
            let types: Vec<Type> = params.iter().map(|p| p.1.clone()).collect();
            let ready = session.ready(sql, &scope.caller.role, &types).await?;
            let scope_values = scope_params.params();
            let (begin, scoped, rows, commit) = futures_util::join!(
                session.simple(begin),
                session.send(&scoped, &scope_values),
                session.send(&ready, params),
                session.simple("COMMIT"),
            );
            begin?;
            scoped?;
            let rows = rows?;
            commit?;
            Ok(rows)
        })
        .await
    }

    /// As [`read_one`](Self::read_one) for statements that find a row or few by their keys and
    /// change nothing: they travel together with those of other requests. See [`crate::lanes`].
    pub(crate) async fn read_row(
        &self,
        scope: &Scope<'_>,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<FoundRow>, Error> {
        self.check_role(scope)?;
        // Names that a pooler lost are lost on lanes, too.
        if let Some(lanes) = self.inner.lanes.as_ref().filter(|_| self.inner.naming.named()) {
            let scope_params = self.scope_params(scope);
            let ask = Ask { scope: &scope_params, role: &scope.caller.role, sql, params };
            if let Some(answer) = lanes.read(&ask).await {
                return answer;
            }
        }
        let rows = self.read_one(scope, sql, params).await?;
        Ok(rows.into_iter().map(FoundRow::Pool).collect())
    }

    /// Two statements under two scopes in one trip, committed (`COMMIT`) or not (`ROLLBACK`).
    /// The answers come apart: what the first found may explain why the second failed.
    pub(crate) async fn two_scopes(
        &self,
        first: (&Scope<'_>, &'static str, &[Param<'_>]),
        second: (&Scope<'_>, &'static str, &[Param<'_>]),
        end: &'static str,
    ) -> Result<(Vec<Row>, Result<Vec<Row>, Error>), Error> {
        let (first, second) = self.two_scopes_counted(first, second, end).await?;
        Ok((first, second.map(|(rows, _)| rows)))
    }

    /// As [`two_scopes`](Self::two_scopes), committed, in a transaction that `begin` begins.
    pub(crate) async fn two_scopes_begun(
        &self,
        begin: &'static str,
        first: (&Scope<'_>, &'static str, &[Param<'_>]),
        second: (&Scope<'_>, &'static str, &[Param<'_>]),
    ) -> Result<(Vec<Row>, Result<Vec<Row>, Error>), Error> {
        let (first, second) = self.two_scopes_between(begin, first, second, "COMMIT").await?;
        Ok((first, second.map(|(rows, _)| rows)))
    }

    /// As [`two_scopes`](Self::two_scopes), with how many rows the second statement wrote: a
    /// write that must not read back what it wrote shows in nothing else.
    pub(crate) async fn two_scopes_counted(
        &self,
        first: (&Scope<'_>, &'static str, &[Param<'_>]),
        second: (&Scope<'_>, &'static str, &[Param<'_>]),
        end: &'static str,
    ) -> Result<(Vec<Row>, Result<(Vec<Row>, u64), Error>), Error> {
        self.two_scopes_between("BEGIN", first, second, end).await
    }

    async fn two_scopes_between(
        &self,
        begin: &'static str,
        first: (&Scope<'_>, &'static str, &[Param<'_>]),
        second: (&Scope<'_>, &'static str, &[Param<'_>]),
        end: &'static str,
    ) -> Result<(Vec<Row>, Result<(Vec<Row>, u64), Error>), Error> {
        self.check_role(first.0)?;
        self.check_role(second.0)?;
        self.retrying(|| async {
            let session = self.session().await?;
            let (a, b) = (self.scope_params(first.0), self.scope_params(second.0));
            let scoped = self.scope_ready(&session, &a).await?;
            let types: Vec<Type> = first.2.iter().map(|p| p.1.clone()).collect();
            let one = session.ready(first.1, &first.0.caller.role, &types).await?;
            let types: Vec<Type> = second.2.iter().map(|p| p.1.clone()).collect();
            let two = session.ready(second.1, &second.0.caller.role, &types).await?;
            let (a, b) = (a.params(), b.params());
            let (begin, scope_a, rows_a, scope_b, rows_b, end) = futures_util::join!(
                session.simple(begin),
                session.send(&scoped, &a),
                session.send(&one, first.2),
                session.send(&scoped, &b),
                session.send_counted(&two, second.2),
                session.simple(end),
            );
            begin?;
            scope_a?;
            let rows_a = rows_a?;
            let rows_b = scope_b.and(rows_b);
            if let Err(error) = &rows_b
                && error.is_lost_statement()
            {
                return Err(rows_b.err().unwrap_or(Error::ScopeLost));
            }
            end?;
            Ok((rows_a, rows_b))
        })
        .await
    }
}
