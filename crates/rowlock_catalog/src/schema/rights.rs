//! Which right a refused start lacks: PostgreSQL says what was refused, not what would allow it.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{Error, SchemaSettings};

/// Makes an error that says who lacks what out of one by which PostgreSQL refused a statement
/// (SQLSTATE 42501); leaves every other error as it is.
pub(super) async fn explain(client: &Client, settings: &SchemaSettings, error: Error) -> Error {
    let Error::Database(source) = &error else { return error };
    let Some(refusal) = source.as_db_error() else { return error };
    if *refusal.code() != SqlState::INSUFFICIENT_PRIVILEGE {
        return error;
    }
    let said = refusal.message().to_owned();
    // No answer is no reason to hide what was refused.
    let Ok(state) = look(client, settings).await else { return error };
    Error::Rights { user: state.user.clone(), said, mend: state.mend() }
}

struct State {
    user: String,
    database: String,
    database_owner: String,
    /// `None` where there is no schema `storage`.
    schema_owner: Option<String>,
    may_create_schemas: bool,
    may_fill_schema: bool,
    may_create_roles: bool,
    roles_are_wanted: bool,
    /// Whose the tables are, where they are not ours.
    foreign_owner: Option<String>,
}

async fn look(client: &Client, settings: &SchemaSettings) -> Result<State, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT u.rolname::text, d.datname::text, pg_get_userbyid(d.datdba)::text,
                 pg_get_userbyid(n.nspowner)::text,
                 has_database_privilege(d.oid, 'CREATE'),
                 coalesce(has_schema_privilege(n.oid, 'CREATE')
                     AND has_schema_privilege(n.oid, 'USAGE'), false),
                 u.rolcreaterole OR u.rolsuper,
                 (SELECT pg_get_userbyid(c.relowner)::text FROM pg_class AS c
                  WHERE c.relnamespace = n.oid AND c.relkind = 'r'
                      AND NOT pg_has_role(c.relowner, 'USAGE')
                  ORDER BY c.relname LIMIT 1)
             FROM pg_roles AS u JOIN pg_database AS d ON d.datname = current_database()
             LEFT JOIN pg_namespace AS n ON n.nspname = 'storage'
             WHERE u.rolname = current_user",
            &[],
        )
        .await?;
    Ok(State {
        user: row.try_get(0)?,
        database: row.try_get(1)?,
        database_owner: row.try_get(2)?,
        schema_owner: row.try_get(3)?,
        may_create_schemas: row.try_get(4)?,
        may_fill_schema: row.try_get(5)?,
        may_create_roles: row.try_get(6)?,
        roles_are_wanted: settings.install_roles,
        foreign_owner: row.try_get(7)?,
    })
}

impl State {
    /// What to run, and as whom.
    fn mend(&self) -> String {
        let user = quoted(&self.user);
        if self.roles_are_wanted && !self.may_create_roles {
            return format!(
                "with DB_INSTALL_ROLES=true the first start makes roles: let it connect as a \
                 superuser, or have one run the first start, or make the roles yourself and unset \
                 DB_INSTALL_ROLES (ALTER ROLE {user} CREATEROLE does for the roles alone)"
            );
        }
        match &self.schema_owner {
            None if !self.may_create_schemas => format!(
                "as role {} (which owns the database) or as a superuser run: GRANT CREATE ON \
                 DATABASE {} TO {user}",
                quoted(&self.database_owner),
                quoted(&self.database)
            ),
            Some(owner) if !self.may_fill_schema => format!(
                "as role {} (which owns schema storage) or as a superuser run: GRANT USAGE, CREATE \
                 ON SCHEMA storage TO {user}",
                quoted(owner)
            ),
            _ => match &self.foreign_owner {
                Some(owner) => format!(
                    "connect as role {0}, which owns the tables in schema storage, or as a \
                     superuser run: GRANT {0} TO {user}",
                    quoted(owner)
                ),
                None => "let the first start connect as a superuser; later ones need no such \
                         right"
                    .to_owned(),
            },
        }
    }
}

/// A name as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
