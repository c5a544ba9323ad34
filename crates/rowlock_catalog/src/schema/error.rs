//! Why a database can't be used.

/// The release of the reference that brings an older database to the state needed here.
pub const REFERENCE_VERSION: &str = "v1.70.6";

/// Why preparing the schema failed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another server held the migration lock for too long.
    #[error("another server has been migrating this database for {0} s; try again later")]
    Busy(u64),
    /// The bookkeeping ends before the state that is needed.
    #[error(
        "the schema of this database is too old (last migration: {}) and was left untouched; \
         start supabase/storage-api {REFERENCE_VERSION} on it once, then start again",
        match .0 { Some((id, name)) => format!("{id} '{name}'"), None => "none".to_owned() }
    )]
    Older(Option<(i32, String)>),
    /// A row of the bookkeeping is missing though later ones exist.
    #[error(
        "storage.migrations lacks row {id} ('{name}') though later rows exist; the database was \
         left untouched: restore that row, or the database, before starting again"
    )]
    Gap {
        /// The first missing id.
        id: usize,
        /// Its name.
        name: &'static str,
    },
    /// Schema `storage` has tables, but no bookkeeping.
    #[error(
        "schema storage already has a table named '{0}' but no table storage.migrations; \
         the database was left untouched"
    )]
    Occupied(String),
    /// Hashes differ and may not be refreshed; the files' names, joined by commas.
    #[error(
        "Hashes don't match for migrations '{0}'. The database was left untouched; \
         refreshing the stored hashes is switched off"
    )]
    HashMismatch(String),
    /// Migrations are to stop at a name that doesn't exist.
    #[error("there is no migration named '{0}' to stop at")]
    UnknownMigration(String),
    /// Migrations are to stop before the state that is needed.
    #[error("migrations are to stop at '{0}', but a fresh database is only made whole")]
    Frozen(String),
    /// A role that grants name doesn't exist.
    #[error(
        "role '{0}' does not exist; create it, or set DB_INSTALL_ROLES=true to let the server make its roles"
    )]
    MissingRole(String),
    /// The database user sees the bookkeeping only through row-level security, so as empty.
    #[error("database user '{0}' may not read storage.migrations; connect as its owner")]
    NotOwner(String),
    /// Our own tables belong to somebody else.
    #[error(
        "database user '{user}' may not use Rowlock's own tables in schema {schema}, which an \
         earlier start made as role '{owner}'; connect as role '{owner}', or hand the tables over \
         (ALTER TABLE … OWNER TO)"
    )]
    ForeignTables {
        /// The connection's user.
        user: String,
        /// Whose the tables are.
        owner: String,
        /// Where the tables are.
        schema: &'static str,
    },
    /// Our own tables can't be dropped now, or are not there.
    #[error("{0}")]
    Staying(String),
    /// The superuser that sets a stack up must not be the role that the stack restricts.
    #[error("the stack's roles can't be made by a superuser named 'postgres'")]
    BootstrapUser,
    /// The database user lacks a right (SQLSTATE 42501).
    #[error(
        "database user '{user}' lacks a right that this start needs (PostgreSQL: {said}); {mend}. \
         Nothing was changed"
    )]
    Rights {
        /// The connection's user.
        user: String,
        /// What PostgreSQL said.
        said: String,
        /// What to run, and as which role.
        mend: String,
    },
    /// PostgreSQL refused a statement, or the connection broke.
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// The server's own words; the driver's alone say no more than "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("database error {}: {}", db.code().code(), db.message()),
        None => format!("database connection: {error}"),
    }
}
