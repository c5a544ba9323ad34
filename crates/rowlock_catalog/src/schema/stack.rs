//! The roles and schemas of a Supabase database, for a PostgreSQL that we run ourselves.

use tokio_postgres::Client;

use super::Error;

const ROLES: &str = include_str!("sql/stack_roles.sql");
const DATABASE: &str = include_str!("sql/stack_database.sql");
const AUTH_HELPERS: &str = include_str!("sql/auth_helpers.sql");

/// How a stack's database is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackSettings {
    /// Whether `supabase_storage_admin` may create schemas, as in database images since 2025.
    pub storage_admin_creates: bool,
}

impl Default for StackSettings {
    fn default() -> Self {
        Self { storage_admin_creates: true }
    }
}

/// Gives the cluster the stack's roles (`postgres`, `anon`, `authenticated`, `service_role`,
/// `authenticator`, `supabase_storage_admin`, …) and the connected database its owner, rights and
/// schemas (`storage` empty, `extensions`, `auth` with `uid()`, `role()`, `jwt()`, `email()`). The
/// server itself then connects as `supabase_storage_admin`, users as `postgres`.
///
/// May be repeated: what exists is left alone. No role gets a password.
///
/// # Errors
/// [`Error::BootstrapUser`] when the connection's own role is `postgres`, which the stack keeps from
/// being a superuser; [`Error::Database`] when it isn't a superuser. Nothing is changed then.
pub async fn bootstrap_stack(client: &mut Client, settings: StackSettings) -> Result<(), Error> {
    let tx = client.transaction().await?;
    tx.batch_execute("SET LOCAL search_path = pg_catalog, pg_temp").await?;
    let row = tx.query_one("SELECT current_user = 'postgres'", &[]).await?;
    if row.get(0) {
        return Err(Error::BootstrapUser);
    }
    tx.query(
        "SELECT set_config('rowlock.storage_admin_creates', $1, true)",
        &[&settings.storage_admin_creates.to_string()],
    )
    .await?;
    tx.batch_execute(ROLES).await?;
    tx.batch_execute(DATABASE).await?;
    let row = tx.query_one("SELECT to_regproc('auth.uid') IS NULL", &[]).await?;
    if row.get(0) {
        tx.batch_execute(AUTH_HELPERS).await?;
    }
    tx.commit().await?;
    Ok(())
}
