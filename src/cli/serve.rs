use super::{CliError, startup};
use crate::server;

/// Runs the server until it is told to stop.
pub(super) fn run() -> Result<(), CliError> {
    let config = startup::prepare()?;
    let runtime = super::runtime()?;
    runtime.block_on(server::serve(config))?;
    // A client that holds a blocking read must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    Ok(())
}
