//! `rowlock`: object storage guarded by PostgreSQL row-level security.

mod cli;
#[cfg_attr(not(test), expect(dead_code, reason = "the server reads these settings"))]
mod config;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
