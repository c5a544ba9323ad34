use crate::Error;
use std::future::Future;

/// Runs work in a task of its own: a client that goes away stops the handler that waits for it,
/// never a transaction or a commit half way.
///
/// The work begins at once, and is not part of the future that waits for it: a handler would keep
/// room for it all the time that a slow client takes before.
pub(crate) fn detached<T, F>(work: F) -> impl Future<Output = Result<T, Error>> + Send + use<T, F>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let task = tokio::spawn(work);
    async move {
        match task.await {
            Ok(result) => result,
            Err(failure) => {
                tracing::error!(%failure, "a task of the storage domain failed");
                Err(Error::Internal("a task failed"))
            }
        }
    }
}
