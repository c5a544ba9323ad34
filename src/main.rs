//! `rowlock`: object storage guarded by PostgreSQL row-level security.

mod cli;
mod config;
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
