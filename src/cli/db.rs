use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Subcommand;
use rowlock_catalog::connect::{ConnectSettings, Connector, split_password};
use rowlock_catalog::embedded::Embedded;
use rowlock_catalog::schema;

use super::CliError;
use crate::config::Source;
use crate::config::database::{DatabaseSettings, DatabaseTarget};
use crate::server::ServeError;

/// What to do with the database.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Print a URL that psql and other PostgreSQL programs take
    Url,
    /// Open psql
    Shell {
        /// Arguments for psql, such as -c 'SELECT …' or -f FILE
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Print the SQL that takes Rowlock's own tables out of the database, before another storage
    /// server takes over; with --yes, run it
    Leave {
        /// Run it
        #[arg(long)]
        yes: bool,
    },
}

/// `rowlock db`: the way into the database for people. Alone, that is the private one of a
/// server that runs, as role `postgres`; in the stack it is what `DATABASE_URL` names.
pub(crate) fn run(action: &Action) -> Result<(), CliError> {
    let source = Source::from_process(Path::new("."))?;
    let target = DatabaseSettings::from_source(&source)?.target;
    for sentence in source.take_warnings() {
        super::complain(&sentence);
    }
    match action {
        Action::Url => super::print(&format!("{}\n", url(&target)?)),
        Action::Shell { arguments } => shell(&target, arguments),
        Action::Leave { yes: false } => super::print(schema::LEAVE),
        Action::Leave { yes: true } => leave(target),
    }
}

fn leave(target: DatabaseTarget) -> Result<(), CliError> {
    let DatabaseTarget::External(external) = target else {
        return Err(CliError::Usage(
            "without DATABASE_URL the database is Rowlock's own, and no other server uses it"
                .into(),
        ));
    };
    let settings = ConnectSettings {
        ssl_root_cert: external.ssl_root_cert,
        application_name: Some("rowlock db leave".to_owned()),
        ..ConnectSettings::new(external.url)
    };
    super::runtime()?.block_on(async {
        let connector = Connector::new(&settings).map_err(ServeError::from)?;
        let (client, _driver) = connector.connect().await.map_err(ServeError::from)?;
        schema::leave(&client).await.map_err(ServeError::from)
    })?;
    super::print("Rowlock's own tables are gone from the database; all else is as it was.\n")
}

fn url(target: &DatabaseTarget) -> Result<String, CliError> {
    Ok(match target {
        DatabaseTarget::External(external) => external.url.clone(),
        DatabaseTarget::Embedded(embedded) => {
            Embedded::urls_of_running(&embedded.catalog())?.postgres().to_owned()
        }
    })
}

/// Becomes psql; returns only where that fails.
fn shell(target: &DatabaseTarget, arguments: &[String]) -> Result<(), CliError> {
    let mut command = match target {
        DatabaseTarget::External(external) => {
            // Among the arguments the password would be shown to every user of the machine.
            let (url, password) = split_password(&external.url);
            let mut command = Command::new("psql");
            command.arg(url).envs(password.map(|password| ("PGPASSWORD", password)));
            command
        }
        DatabaseTarget::Embedded(embedded) => {
            let settings = embedded.catalog();
            let urls = Embedded::urls_of_running(&settings)?;
            // The server runs: where its programs are matters no more than for any other psql.
            let psql = Embedded::psql(&settings).ok().flatten();
            let psql = psql.unwrap_or_else(|| PathBuf::from("psql"));
            let mut command = Command::new(psql);
            command.envs(urls.postgres_environment());
            command
        }
    };
    let error = command.args(arguments).exec();
    Err(CliError::Usage(format!(
        "can't start psql ({error}): install PostgreSQL's client programs, or use the URL that \
         `rowlock db url` prints"
    )))
}
