//! The roles of a private database: those of the stack, and the passwords of the two that log in.

use tokio_postgres::Client;

use super::error::EmbeddedError;
use super::passwords::Passwords;
use super::{POSTGRES, STORAGE_ADMIN};
use crate::schema::{StackSettings, bootstrap_stack};

/// Sets up roles, rights and passwords; repeating it changes nothing.
pub(super) async fn set_up(
    client: &mut Client,
    passwords: &Passwords,
) -> Result<(), EmbeddedError> {
    bootstrap_stack(client, StackSettings::default())
        .await
        .map_err(|error| EmbeddedError::SetUp(error.to_string()))?;
    for (role, password) in
        [(STORAGE_ADMIN, &passwords.storage_admin), (POSTGRES, &passwords.postgres)]
    {
        let statement = format!("ALTER ROLE {role} PASSWORD '{password}'");
        client.batch_execute(&statement).await.map_err(|error| {
            // The driver's own words could quote the statement, which holds a password.
            let reason = error.as_db_error().map(|db| db.message().to_owned());
            EmbeddedError::SetUp(reason.unwrap_or_else(|| "the connection broke".to_owned()))
        })?;
    }
    Ok(())
}
