//! The way out: our own tables are taken from the database, and what the reference knows stays.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::Error;

/// The statement by which [`leave`] does its work, as people may run it by hand.
pub const LEAVE: &str = include_str!("sql/leave.sql");

/// Drops Rowlock's own tables, wherever they are, and nothing else; what is left is the catalog
/// that the reference goes by.
///
/// # Errors
/// [`Error::Staying`] where a server is still connected, where deletions or writes wait to be
/// finished, or where there are no such tables; [`Error::Database`] where the role does not own them.
/// Nothing was changed then.
pub async fn leave(client: &Client) -> Result<(), Error> {
    client.batch_execute(LEAVE).await.map_err(|error| match error.as_db_error() {
        Some(said) if *said.code() == SqlState::RAISE_EXCEPTION => {
            Error::Staying(said.message().to_owned())
        }
        _ => error.into(),
    })
}
