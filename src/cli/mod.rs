//! The command line: one file per command.

mod ambient;
mod config_table;
mod db;
mod error;
mod init;
mod logging;
mod scrub;
mod serve;
mod startup;
mod token;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use error::CliError;

/// Object storage guarded by PostgreSQL row-level security: S3 and Supabase-compatible.
#[derive(Debug, Parser)]
#[command(name = "rowlock", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; alone, the first start makes keys and a private database
    Serve,
    /// Make the keys: write `.env` in the current folder (never over an existing one)
    Init,
    /// Print a user's token, for trying row-level security
    Token(token::Arguments),
    /// Compare all objects with all that lies in the store; fails when an object lacks its bytes
    Scrub(scrub::Arguments),
    /// The way into the database
    #[command(subcommand)]
    Db(db::Action),
    /// Print the README's table of variables
    #[command(hide = true)]
    ConfigTable,
}

/// Runs the command that the process was started with. Errors are one sentence on standard
/// error and exit code 1; wrong usage is clap's, with exit code 2.
pub(crate) fn run() -> ExitCode {
    let good = |()| true;
    let result = match Cli::parse().command {
        Command::Serve => serve::run().map(good),
        Command::Init => init::run().map(good),
        Command::Token(arguments) => token::run(&arguments).map(good),
        Command::Scrub(arguments) => scrub::run(&arguments),
        Command::Db(action) => db::run(&action).map(good),
        Command::ConfigTable => config_table::run().map(good),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// What asynchronous work runs on.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Runtime)
}

/// Says a sentence on standard error.
fn complain(sentence: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr(), "rowlock: {sentence}");
}

/// Prints to standard output.
fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `rowlock … | head` is no failure of ours.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::Output(error))
        }
        _ => Ok(()),
    }
}
