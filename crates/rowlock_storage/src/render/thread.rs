//! Threads for work that takes long and shall hold nobody up.

use tokio::sync::oneshot;

use crate::Error;

/// By how much these threads step back behind those that talk to clients (`setpriority(2)`).
const NICE: i32 = 5;

/// Runs `work` on a thread of its own. The work goes on to its end even where nobody waits for it
/// any more.
///
/// # Errors
/// [`Error::Busy`] where no thread can be had, [`Error::Internal`] where the work panics.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (tell, told) = oneshot::channel();
    let started = std::thread::Builder::new().name("render".to_owned()).spawn(move || {
        // On Linux a priority is a thread's. Where it cannot be set the work is done all the same.
        let _ = rustix::process::getpriority_process(None)
            .and_then(|nice| rustix::process::setpriority_process(None, nice + NICE));
        let _ = tell.send(work());
    });
    if let Err(error) = started {
        tracing::warn!(%error, "no thread for rendering an image");
        return Err(Error::Busy("starting a thread"));
    }
    told.await.map_err(|_| Error::Internal("rendering an image panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_steps_back_and_may_fail() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let here = nice();
        assert_eq!(run(nice).await.unwrap(), (here + NICE).min(19));
        assert_eq!(nice(), here, "only the thread steps back");
        let panicked = run(|| std::panic::panic_any(1)).await;
        assert!(matches!(panicked, Err(Error::Internal(_))));
    }
}
