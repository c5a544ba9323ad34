//! Rowlock's own tables: where they live, and making them.

use tokio_postgres::{GenericClient, Transaction};

use super::Error;

/// Version 1 of the tables.
const TABLES: &str = include_str!("sql/own_tables.sql");
/// The steps to each next version, with the version that they start from.
const UPGRADES: [(&str, &str); 4] = [
    ("1", include_str!("sql/own_upgrade_2.sql")),
    ("2", include_str!("sql/own_upgrade_3.sql")),
    ("3", include_str!("sql/own_upgrade_4.sql")),
    ("4", include_str!("sql/own_upgrade_5.sql")),
];
/// Closes what is new to everyone else.
const RIGHTS: &str = include_str!("sql/own_rights.sql");
/// What the code of this release expects.
const VERSION: &str = "5";

/// Finds our tables, or makes them: in schema `rowlock`, or in `storage` where the database user may
/// not create schemas. Tables stay where a former start has put them. Returns the schema's name.
pub(super) async fn prepare(
    tx: &Transaction<'_>,
    warnings: &mut Vec<String>,
) -> Result<&'static str, Error> {
    if let Some(schema) = find(tx).await? {
        check(tx, schema, warnings).await?;
        return Ok(schema);
    }
    let row = tx
        .query_one(
            "SELECT current_user::text, current_database()::text,
                 coalesce(
                     has_schema_privilege(to_regnamespace('rowlock'), 'CREATE')
                         AND has_schema_privilege(to_regnamespace('rowlock'), 'USAGE'),
                     has_database_privilege(current_database(), 'CREATE')
                 )",
            &[],
        )
        .await?;
    let schema = if row.get(2) { "rowlock" } else { "storage" };
    tx.query("SELECT set_config('rowlock.own_schema', $1, true)", &[&schema]).await?;
    tx.batch_execute(TABLES).await?;
    upgrade(tx, "1").await?;
    tx.batch_execute(RIGHTS).await?;
    if schema == "storage" {
        let (user, database): (String, String) = (row.get(0), row.get(1));
        warnings.push(format!(
            "database user \"{user}\" may not create schema rowlock, so Rowlock's own tables are in \
             schema storage; GRANT CREATE ON DATABASE \"{database}\" TO \"{user}\" before the first \
             start gives them their own"
        ));
    }
    Ok(schema)
}

/// The schema in which our tables are, where there are any.
pub(super) async fn find(client: &impl GenericClient) -> Result<Option<&'static str>, Error> {
    for schema in ["rowlock", "storage"] {
        if exists(client, schema).await? {
            return Ok(Some(schema));
        }
    }
    Ok(None)
}

/// By the catalog, which anyone may read: `to_regclass` fails on a schema without USAGE.
async fn exists(client: &impl GenericClient, schema: &str) -> Result<bool, Error> {
    let row = client
        .query_one(
            "SELECT EXISTS (
                 SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE n.nspname = $1 AND c.relname = 'rowlock_meta'
             )",
            &[&schema],
        )
        .await?;
    Ok(row.get(0))
}

async fn check(
    tx: &Transaction<'_>,
    schema: &'static str,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let row = tx
        .query_one(
            "SELECT current_user::text, has_schema_privilege($1, 'USAGE') AND (
                 SELECT bool_and(
                     has_table_privilege(c.oid, 'SELECT')
                     AND has_table_privilege(c.oid, 'INSERT')
                     AND has_table_privilege(c.oid, 'UPDATE')
                     AND has_table_privilege(c.oid, 'DELETE')
                     AND NOT row_security_active(c.oid))
                 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE n.nspname = $1 AND c.relname LIKE 'rowlock\\_%' AND c.relkind = 'r'
             ), (
                 SELECT pg_get_userbyid(c.relowner)::text
                 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE n.nspname = $1 AND c.relname = 'rowlock_meta'
             )",
            &[&schema],
        )
        .await?;
    if !row.get::<_, bool>(1) {
        return Err(Error::ForeignTables { user: row.get(0), owner: row.get(2), schema });
    }
    let meta = tx
        .query_opt(
            &format!("SELECT value FROM {schema}.rowlock_meta WHERE key = 'schema_version'"),
            &[],
        )
        .await?;
    let version = meta.map(|m| m.get::<_, String>(0)).unwrap_or_default();
    if UPGRADES.iter().any(|(from, _)| *from == version) {
        tx.query("SELECT set_config('rowlock.own_schema', $1, true)", &[&schema]).await?;
        upgrade(tx, &version).await?;
        tx.batch_execute(RIGHTS).await?;
    } else if version != VERSION {
        warnings.push(format!(
            "Rowlock's own tables have version '{version}', this release knows '{VERSION}'"
        ));
    }
    Ok(())
}

/// Takes every step from a version on.
async fn upgrade(tx: &Transaction<'_>, version: &str) -> Result<(), Error> {
    for (_, step) in UPGRADES.iter().skip_while(|(from, _)| *from != version) {
        tx.batch_execute(step).await?;
    }
    Ok(())
}
