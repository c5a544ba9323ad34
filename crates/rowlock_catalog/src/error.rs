use tokio_postgres::error::{Severity, SqlState};

/// What the database, or the way to it, can answer instead of success. Messages of the database
/// are kept for the log and for protocols that show them; statements and passwords never are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or failed a statement.
    #[error("database error {}: {message}", state.code())]
    Database {
        /// The SQLSTATE.
        state: SqlState,
        /// The database's primary message.
        message: String,
        /// Its detail, if any.
        detail: Option<String>,
        /// The constraint that was broken, if any.
        constraint: Option<String>,
        /// True where the error arose inside a trigger or policy of the user's.
        in_user_code: bool,
    },
    /// The database can't be reached, or the connection broke before an answer came.
    #[error("the database is not reachable: {0}")]
    Unavailable(String),
    /// No connection of the pool became free in time (`DATABASE_CONNECTION_TIMEOUT`).
    #[error("no database connection became free in time")]
    PoolTimeout,
    /// The database has no connection left for us.
    #[error("too many connections issued to the database")]
    TooManyConnections,
    /// The role of a token may never be used: it would not be bound by policies.
    #[error("the role {0:?} may not be used")]
    RoleRefused(String),
    /// A statement did not run under the role it was meant for; it had no effect.
    #[error("a statement lost its role; nothing was done")]
    ScopeLost,
    /// The outcome of a COMMIT is unknown: the connection broke while it ran.
    #[error("the connection broke while a transaction was being committed")]
    CommitUnknown,
    /// A row holds what no row of ours or the reference's holds.
    #[error("unexpected row: {0}")]
    Row(String),
}

impl Error {
    /// The SQLSTATE, where the database gave one.
    pub fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Database { state, .. } => Some(state),
            _ => None,
        }
    }

    /// Whether this is the given SQLSTATE.
    pub fn is(&self, state: &SqlState) -> bool {
        self.state() == Some(state)
    }

    /// Whether row-level security refused a row (42501 with the database's words for it), and
    /// not a missing table privilege.
    pub fn is_row_security(&self) -> bool {
        matches!(self, Self::Database { state, message, .. }
            if *state == SqlState::INSUFFICIENT_PRIVILEGE && message.contains("row-level security"))
    }

    /// Whether a named statement was not known where it arrived, or known already: the mark of a
    /// transaction-mode pooler.
    pub(crate) fn is_lost_statement(&self) -> bool {
        self.is(&SqlState::INVALID_SQL_STATEMENT_NAME) || self.is(&SqlState::DUPLICATE_PSTATEMENT)
    }
}

/// What the database reports of an error.
pub(crate) struct DatabaseReport<'a> {
    pub(crate) state: SqlState,
    /// FATAL and PANIC: whatever the reason (an administrator, a shut-down, a crash).
    pub(crate) ends_session: bool,
    pub(crate) message: &'a str,
    pub(crate) detail: Option<&'a str>,
    pub(crate) constraint: Option<&'a str>,
    pub(crate) in_user_code: bool,
}

impl Error {
    /// The database's own report, sorted.
    pub(crate) fn of_database(report: DatabaseReport<'_>) -> Self {
        let DatabaseReport { state, ends_session, message, detail, constraint, in_user_code } =
            report;
        // A user's trigger may say the same words: only these classes are the server's own.
        let own = ["08", "28", "53", "57", "58", "XX"].iter().any(|c| state.code().starts_with(c));
        if state == SqlState::TOO_MANY_CONNECTIONS
            || own && TOO_MANY.iter().any(|words| message.contains(words))
        {
            return Self::TooManyConnections;
        }
        if ends_session {
            return Self::Unavailable(format!("{message} ({})", state.code()));
        }
        Self::Database {
            state,
            message: message.to_owned(),
            detail: detail.map(str::to_owned),
            constraint: constraint.map(str::to_owned),
            in_user_code,
        }
    }
}

/// Words by which databases and poolers say that they take no more connections.
const TOO_MANY: [&str; 6] = [
    "Max client connections reached",
    "remaining connection slots are reserved",
    "no more connections allowed",
    "too many clients already",
    "server login has been failing",
    "Authentication error",
];

/// Whether an error's context tells of code inside a statement of ours, which is named first. With
/// `log_parameter_max_length_on_error` the database tells the parameters of every statement so.
pub(crate) fn is_in_user_code(context: &str) -> bool {
    !["unnamed portal ", "portal \""].iter().any(|own| context.starts_with(own))
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            // Nothing is wrong with the way to the database: the answer is not what was expected.
            let text = error.to_string();
            if ["error deserializing", "error serializing", "invalid column", "query returned"]
                .iter()
                .any(|kind| text.starts_with(kind))
            {
                return Self::Row(text);
            }
            // Display of these errors names the cause ("connection closed"), never a statement.
            return Self::Unavailable(error.to_string());
        };
        Self::of_database(DatabaseReport {
            state: db.code().clone(),
            ends_session: matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic)),
            message: db.message(),
            detail: db.detail(),
            constraint: db.constraint(),
            in_user_code: db.where_().is_some_and(is_in_user_code)
                || matches!(
                    db.position(),
                    Some(tokio_postgres::error::ErrorPosition::Internal { .. })
                ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::is_in_user_code;

    #[test]
    fn parameters_are_nobodys_code() {
        for own in ["unnamed portal with parameters: $1 = 'x'", "portal \"p\" parameter $1 = '2'"] {
            assert!(!is_in_user_code(own), "{own}");
        }
        let inside =
            "PL/pgSQL function f() line 1 at RAISE\nunnamed portal with parameters: $1 = 'x'";
        assert!(is_in_user_code(inside) && is_in_user_code("SQL function \"f\" statement 1"));
    }
}
