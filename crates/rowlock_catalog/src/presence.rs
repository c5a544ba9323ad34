//! How a process shows that it lives: a session-level advisory lock on a connection of its own.
//! The database frees it when the process dies. On the same connection the process hears what
//! others want of the uploads that it holds.

use crate::resumable::{Asked, CHANNEL};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Notification};
use uuid::Uuid;

/// Opens one connection that passes on what it hears.
pub type ConnectListening = Arc<dyn Fn() -> BoxFuture<'static, Heard> + Send + Sync>;
type Heard = Result<(Client, mpsc::UnboundedReceiver<Notification>), crate::Error>;

/// Wishes that wait to be taken note of; beyond it the oldest are lost, and found in their rows.
const BACKLOG: usize = 1024;

/// How often the connection is tried: a broken one is found by using it.
const PULSE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);

/// The database notices a machine that is gone within a minute, rather than after hours.
const KEEPALIVE: &str = "\
    SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0";

/// A process's lock; given up when this is dropped.
#[derive(Debug)]
pub struct Presence {
    process: Uuid,
    asked: broadcast::Sender<Asked>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Presence {
    /// Holds a lock from now on, over every loss of the connection, which must be a direct one:
    /// poolers move sessions.
    ///
    /// # Errors
    /// The first connection's.
    pub async fn hold(connect: ConnectListening) -> Result<Self, crate::Error> {
        // The version tells others that there is a lock to look for.
        let process = Uuid::now_v7();
        let first = locked(&connect, process).await?;
        let asked = broadcast::Sender::new(BACKLOG);
        let task = tokio::spawn(keep(connect, process, first, asked.clone()));
        Ok(Self { process, asked, task: Some(task) })
    }

    /// For a process without a direct connection: its writes are given a day. It hears nothing.
    pub fn without_lock() -> Self {
        Self { process: Uuid::new_v4(), asked: broadcast::Sender::new(1), task: None }
    }

    /// The process's id in the ledger.
    pub fn process(&self) -> Uuid {
        self.process
    }

    /// What others want of uploads, from now on; not all of it concerns this process.
    pub fn asked(&self) -> broadcast::Receiver<Asked> {
        self.asked.subscribe()
    }
}

type Line = (Client, mpsc::UnboundedReceiver<Notification>);

async fn keep(
    connect: ConnectListening,
    process: Uuid,
    first: Line,
    asked: broadcast::Sender<Asked>,
) {
    let mut held = Some(first);
    loop {
        if let Some((client, heard)) = held.take() {
            listen(&client, heard, &asked).await;
            tracing::warn!("the connection that shows this process to live is lost");
        }
        tokio::time::sleep(PAUSE).await;
        match locked(&connect, process).await {
            Ok(line) => held = Some(line),
            Err(error) => tracing::debug!(%error, "the process's lock cannot be taken yet"),
        }
    }
}

/// Listens until the connection is lost.
async fn listen(
    client: &Client,
    mut heard: mpsc::UnboundedReceiver<Notification>,
    asked: &broadcast::Sender<Asked>,
) {
    loop {
        match tokio::time::timeout(PULSE, heard.recv()).await {
            Ok(None) => return,
            Ok(Some(note)) => {
                // Anybody may say anything here.
                if note.channel() == CHANNEL
                    && let Ok(wish) = note.payload().parse()
                {
                    // An error means that nobody is interested.
                    let _ = asked.send(wish);
                }
            }
            Err(_) => {
                if client.simple_query("SELECT 1").await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn locked(connect: &ConnectListening, process: Uuid) -> Result<Line, crate::Error> {
    let (client, heard) = connect().await?;
    client.batch_execute(KEEPALIVE).await?;
    client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
    client.batch_execute(&format!("SELECT pg_advisory_lock({})", lock_key(process))).await?;
    Ok((client, heard))
}

/// Whether a process of this id holds a lock while it lives.
pub(crate) fn has_lock(process: Uuid) -> bool {
    process.get_version_num() == 7
}

/// The lock of a process: the random half of its id.
pub(crate) fn lock_key(process: Uuid) -> i64 {
    let [.., a, b, c, d, e, f, g, h] = process.into_bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_of_locks_and_locks_differ() {
        let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
        assert!(has_lock(one) && !has_lock(Presence::without_lock().process()));
        assert_ne!(lock_key(one), lock_key(two));
    }
}
