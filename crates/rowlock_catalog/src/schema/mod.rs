//! The schema of the database: made whole where there is none, adopted untouched where there is.
//!
//! A fresh database gets everything in one transaction: types, tables, functions, triggers, rights
//! and the 64 rows of bookkeeping that the reference goes by, so that both can take turns. A
//! database that has these rows is left as it is. Our own tables live in a schema of their own.

mod error;
mod leave;
mod ledger;
mod own;
mod rights;
mod stack;

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::{Client, Transaction};

pub use error::{Error, REFERENCE_VERSION};
pub use leave::{LEAVE, leave};
pub use stack::{StackSettings, bootstrap_stack};

/// The session-level lock that the reference takes around its migrations too.
const MIGRATION_LOCK: i64 = -8_525_285_245_963_000_605;
const LOCK_WAIT: Duration = Duration::from_secs(300);
const LOCK_POLL: Duration = Duration::from_millis(100);

const SCHEMA: &str = include_str!("sql/schema.sql");
const ROLES: &str = include_str!("sql/roles.sql");
const OBJECTS: [&str; 7] = [
    include_str!("sql/tables.sql"),
    include_str!("sql/functions/policies.sql"),
    include_str!("sql/functions/list_objects.sql"),
    include_str!("sql/functions/list_multipart.sql"),
    include_str!("sql/functions/search.sql"),
    include_str!("sql/functions/search_v2.sql"),
    include_str!("sql/triggers.sql"),
];
const GRANTS: &str = include_str!("sql/grants.sql");

/// How the schema is made.
#[derive(Debug, Clone)]
pub struct SchemaSettings {
    /// Create the roles that are missing, and hand the schema's objects to them by default
    /// privileges. Without it the roles must exist, as in the stack.
    pub install_roles: bool,
    /// Role of callers without a token.
    pub anon_role: String,
    /// Role of signed-in callers.
    pub authenticated_role: String,
    /// Role that bypasses row-level security.
    pub service_role: String,
    /// Role that owns what users administer (an owner's name, nothing at run time).
    pub super_user: String,
    /// Replace stored hashes that differ from ours, as the reference does by default.
    pub allow_hash_refresh: bool,
    /// Stop at the migration of this name: only a database that has it already can satisfy it.
    pub freeze_at: Option<String>,
}

impl Default for SchemaSettings {
    /// The stack's role names; roles exist already; hashes are refreshed.
    fn default() -> Self {
        Self {
            install_roles: false,
            anon_role: "anon".to_owned(),
            authenticated_role: "authenticated".to_owned(),
            service_role: "service_role".to_owned(),
            super_user: "postgres".to_owned(),
            allow_hash_refresh: true,
            freeze_at: None,
        }
    }
}

/// What [`prepare`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was no schema: it was made.
    Fresh,
    /// The schema was complete and stays as it was.
    Adopted,
    /// The schema is complete and a newer server has added to it.
    Newer,
}

/// A database that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The schema of our own tables: `rowlock`, or `storage` where the former can't be created.
    pub own_schema: String,
    /// What was found.
    pub outcome: Outcome,
    /// What an administrator should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Makes the database ready, or says why it can't be used.
///
/// `client` must be a direct connection (no transaction-mode pooler) that is used for nothing else
/// meanwhile and is dropped when this future is: a session-level lock is held, waited for up to five
/// minutes, so that any number of servers may start at once.
///
/// # Errors
/// [`Error`]; the database is unchanged then.
pub async fn prepare(client: &mut Client, settings: &SchemaSettings) -> Result<Prepared, Error> {
    if let Some(name) = &settings.freeze_at
        && !ledger::MIGRATIONS.iter().any(|m| m.name == name)
    {
        return Err(Error::UnknownMigration(name.clone()));
    }
    lock(client).await?;
    let result = match locked(client, settings).await {
        Err(error) => Err(rights::explain(client, settings, error).await),
        done => done,
    };
    // A connection that can't unlock any more has lost the lock with its session.
    let _unlocked = client.query("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await;
    result
}

/// The schema of our own tables in a database that a server has prepared; `None` where none has.
///
/// # Errors
/// The database's.
pub async fn own_schema(client: &Client) -> Result<Option<&'static str>, Error> {
    own::find(client).await
}

/// Takes the migration lock by asking again and again: a blocked statement would hold a snapshot,
/// on which another server's CREATE INDEX CONCURRENTLY would wait for ever.
async fn lock(client: &Client) -> Result<(), Error> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
        if row.get(0) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::Busy(LOCK_WAIT.as_secs()));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

async fn locked(client: &mut Client, settings: &SchemaSettings) -> Result<Prepared, Error> {
    let tx = client.transaction().await?;
    // Role-level settings must not cut the work short, nor decide where names point.
    tx.batch_execute(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s';
         SET LOCAL search_path = pg_catalog, pg_temp",
    )
    .await?;
    let mut warnings = Vec::new();
    let outcome = match found(&tx).await? {
        None => {
            create(&tx, settings).await?;
            Outcome::Fresh
        }
        Some(rows) => adopt(&tx, settings, &rows, &mut warnings).await?,
    };
    check_rights(&tx, settings, &mut warnings).await?;
    let own_schema = own::prepare(&tx, &mut warnings).await?;
    tx.commit().await?;
    Ok(Prepared { own_schema: own_schema.to_owned(), outcome, warnings })
}

/// The bookkeeping's rows, `None` where the table doesn't exist.
async fn found(tx: &Transaction<'_>) -> Result<Option<Vec<ledger::Found>>, Error> {
    let row = tx
        .query_one(
            "SELECT to_regclass('storage.migrations') IS NOT NULL, current_user::text, (
                 SELECT c.relname::text FROM pg_class AS c
                 WHERE c.relnamespace = to_regnamespace('storage')
                     AND c.relname IN ('buckets', 'objects')
                 ORDER BY c.relname LIMIT 1
             )",
            &[],
        )
        .await?;
    if !row.get::<_, bool>(0) {
        return match row.get(2) {
            Some(table) => Err(Error::Occupied(table)),
            None => Ok(None),
        };
    }
    let readable = tx
        .query_one(
            "SELECT has_table_privilege('storage.migrations', 'SELECT')
                 AND NOT row_security_active('storage.migrations')",
            &[],
        )
        .await?;
    if !readable.get::<_, bool>(0) {
        return Err(Error::NotOwner(row.get(1)));
    }
    let rows = tx
        .query("SELECT id, name::text, hash::text FROM storage.migrations ORDER BY id", &[])
        .await?;
    Ok(Some(rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect()))
}

/// Makes everything. The settings travel as transaction-local parameters, so that the SQL stays SQL.
async fn create(tx: &Transaction<'_>, settings: &SchemaSettings) -> Result<(), Error> {
    if let Some(name) = &settings.freeze_at
        && ledger::MIGRATIONS.last().is_none_or(|m| m.name != name)
    {
        return Err(Error::Frozen(name.clone()));
    }
    tx.query(
        "SELECT set_config('rowlock.install_roles', $1, true),
             set_config('rowlock.anon_role', $2, true),
             set_config('rowlock.authenticated_role', $3, true),
             set_config('rowlock.service_role', $4, true),
             set_config('rowlock.super_user', $5, true)",
        &[
            &settings.install_roles.to_string(),
            &settings.anon_role,
            &settings.authenticated_role,
            &settings.service_role,
            &settings.super_user,
        ],
    )
    .await?;
    if !settings.install_roles {
        for role in roles(settings) {
            let row = tx
                .query_one("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", &[&role])
                .await?;
            if !row.get::<_, bool>(0) {
                return Err(Error::MissingRole(role.to_owned()));
            }
        }
    }
    tx.batch_execute(SCHEMA).await?;
    if settings.install_roles {
        tx.batch_execute(ROLES).await?;
    }
    for script in OBJECTS {
        tx.batch_execute(script).await?;
    }
    tx.batch_execute(GRANTS).await?;
    let ids: Vec<i32> = (0..).take(ledger::MIGRATIONS.len()).collect();
    let names: Vec<&str> = ledger::MIGRATIONS.iter().map(|m| m.name).collect();
    let hashes: Vec<&str> = ledger::MIGRATIONS.iter().map(|m| m.hash).collect();
    tx.execute(
        "INSERT INTO storage.migrations (id, name, hash)
         SELECT * FROM unnest($1::int[], $2::text[], $3::text[])",
        &[&ids, &names, &hashes],
    )
    .await?;
    Ok(())
}

fn roles(settings: &SchemaSettings) -> [&str; 3] {
    [&settings.anon_role, &settings.authenticated_role, &settings.service_role]
}

async fn adopt(
    tx: &Transaction<'_>,
    settings: &SchemaSettings,
    rows: &[ledger::Found],
    warnings: &mut Vec<String>,
) -> Result<Outcome, Error> {
    let (differing, newer) = match ledger::judge(rows) {
        ledger::State::Complete { differing, newer } => (differing, newer),
        ledger::State::Older(last) => return Err(Error::Older(last)),
        ledger::State::Gap(id) => {
            let name = ledger::MIGRATIONS.get(id).map_or("", |m| m.name);
            return Err(Error::Gap { id, name });
        }
    };
    if !differing.is_empty() {
        let files = differing.iter().map(|&id| ledger::file_name(id)).collect::<Vec<_>>().join(",");
        if !settings.allow_hash_refresh {
            return Err(Error::HashMismatch(files));
        }
        for (id, migration) in (0i32..).zip(ledger::MIGRATIONS) {
            tx.execute(
                "UPDATE storage.migrations SET hash = $2 WHERE id = $1 AND hash <> $2",
                &[&id, &migration.hash],
            )
            .await?;
        }
        warnings.push(format!("refreshed the stored hashes of migrations '{files}'"));
    }
    Ok(if newer { Outcome::Newer } else { Outcome::Adopted })
}

/// Rights without which requests fail later, said at the start.
async fn check_rights(
    tx: &Transaction<'_>,
    settings: &SchemaSettings,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    for role in roles(settings) {
        let row = tx
            .query_one(
                "SELECT current_user::text, r.oid IS NOT NULL, pg_has_role(r.oid, CASE
                     WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET'
                     ELSE 'MEMBER' END)
                 FROM (VALUES ($1::text)) AS wanted (name)
                 LEFT JOIN pg_roles AS r ON r.rolname = wanted.name",
                &[&role],
            )
            .await?;
        let user: String = row.get(0);
        if !row.get::<_, bool>(1) {
            warnings.push(format!("role \"{role}\" does not exist: requests under it will fail"));
        } else if row.get::<_, Option<bool>>(2) != Some(true) {
            warnings.push(format!(
                "database user \"{user}\" may not become \"{role}\": requests under it will fail; \
                 GRANT \"{role}\" TO \"{user}\" mends it"
            ));
        }
    }
    let row = tx
        .query_one("SELECT current_user::text, row_security_active('storage.objects')", &[])
        .await?;
    if row.get(1) {
        let user: String = row.get(0);
        warnings.push(format!(
            "database user \"{user}\" neither owns storage.objects nor bypasses row-level \
             security: replaced and deleted files can't be cleaned up"
        ));
    }
    Ok(())
}
