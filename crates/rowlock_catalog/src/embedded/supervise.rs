//! Keeping the server alive while we are, and starting it again when it dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::postmaster::{Launch, Postmaster, stop_orphan};
use super::process;

/// The first and the longest pause between two attempts to start a server that died.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Whether the private database runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// It accepts connections as far as is known.
    pub running: bool,
    /// How often it died and was started again since [`super::Embedded::start`].
    pub restarts: u64,
}

/// The task that watches one server. Dropped, it stops the server without being waited for.
#[derive(Debug)]
pub(super) struct Supervisor {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    status: watch::Receiver<Status>,
    /// 0 while no server runs.
    pid: Arc<AtomicI32>,
}

impl Supervisor {
    pub(super) fn new(launch: Launch, postmaster: Postmaster) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, status) = watch::channel(Status { running: true, restarts: 0 });
        let pid = Arc::new(AtomicI32::new(postmaster.pid.as_raw_nonzero().get()));
        let task = tokio::spawn(watch_over(launch, postmaster, stopped, tell, Arc::clone(&pid)));
        Self { stop: Some(stop), task, status, pid }
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    pub(super) fn pid(&self) -> Option<u32> {
        u32::try_from(self.pid.load(Ordering::Acquire)).ok().filter(|pid| *pid != 0)
    }

    /// Stops the server and waits for its end.
    pub(super) async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if (&mut self.task).await.is_err() {
            tracing::warn!("the task that watched PostgreSQL broke off");
        }
    }
}

async fn watch_over(
    launch: Launch,
    mut postmaster: Postmaster,
    mut stopped: oneshot::Receiver<()>,
    tell: watch::Sender<Status>,
    pid: Arc<AtomicI32>,
) {
    let cluster = launch.home.cluster();
    loop {
        let ended = tokio::select! {
            ended = postmaster.ended() => ended,
            _ = &mut stopped => {
                postmaster.stop(&cluster).await;
                pid.store(0, Ordering::Release);
                tell.send_modify(|status| status.running = false);
                return;
            }
        };
        pid.store(0, Ordering::Release);
        tell.send_modify(|status| status.running = false);
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::error!(%how, "PostgreSQL ended unexpectedly; starting it again");
        let again = tokio::select! {
            again = start_again(&launch) => again,
            _ = &mut stopped => {
                // The attempt was dropped half way, and its server told to stop.
                let _ = tokio::task::spawn_blocking(move || stop_orphan(&cluster)).await;
                return;
            }
        };
        pid.store(again.pid.as_raw_nonzero().get(), Ordering::Release);
        postmaster = again;
        tell.send_modify(|status| {
            *status = Status { running: true, restarts: status.restarts + 1 };
        });
        tracing::info!("PostgreSQL runs again");
    }
}

async fn start_again(launch: &Launch) -> Postmaster {
    let mut pause = PAUSES.0;
    loop {
        let cluster = launch.home.cluster();
        let _ = tokio::task::spawn_blocking(move || process::clear_leftovers(&cluster)).await;
        match launch.start().await {
            Ok(postmaster) => return postmaster,
            Err(error) => tracing::error!(%error, "PostgreSQL cannot be started again yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
