use super::{CliError, startup};
use crate::server;

/// Runs the server until it is told to stop.
pub(super) fn run() -> Result<(), CliError> {
    let config = startup::prepare()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    runtime.block_on(server::serve(config))?;
    // A client that holds a blocking read must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    Ok(())
}
