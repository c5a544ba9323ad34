//! The roles of a private database: those of the stack, and the passwords of the two that log in.

use tokio_postgres::Client;

use super::error::EmbeddedError;
use super::passwords::Passwords;
use super::{POSTGRES, STORAGE_ADMIN};

/// Sets up roles, rights and passwords; repeating it changes nothing.
pub(super) async fn set_up(client: &Client, passwords: &Passwords) -> Result<(), EmbeddedError> {
    for (role, password) in
        [(STORAGE_ADMIN, &passwords.storage_admin), (POSTGRES, &passwords.postgres)]
    {
        let make = format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN \
             CREATE ROLE {role} LOGIN; END IF; END $$"
        );
        run(client, &make).await?;
        run(client, &format!("ALTER ROLE {role} LOGIN PASSWORD '{password}'")).await?;
    }
    Ok(())
}

async fn run(client: &Client, statement: &str) -> Result<(), EmbeddedError> {
    client.batch_execute(statement).await.map_err(|error| {
        // The statement holds a password, and the database may quote it in the details.
        let reason = error.as_db_error().map(|db| db.message().to_owned());
        EmbeddedError::SetUp(reason.unwrap_or_else(|| error.to_string()))
    })
}
