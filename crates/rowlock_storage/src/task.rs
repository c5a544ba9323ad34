use crate::Error;
use std::future::Future;

/// Runs work in a task of its own: a client that goes away stops the handler that waits for it,
/// never a transaction or a commit half way.
pub(crate) async fn detached<T, F>(work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(failure) => {
            tracing::error!(%failure, "a task of the storage domain failed");
            Err(Error::Internal("a task failed"))
        }
    }
}
