//! What `/health` is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use rowlock_http::system::HealthCheck;
use rowlock_storage::Storage;
use tokio::sync::Mutex;

use super::blobs::Blobs;
use super::fit::FitCheck;

/// How long a look at the database may take, and how long what it found counts: whoever asks often must not keep
/// the database or the store busy.
const PATIENCE: Duration = Duration::from_secs(10);
const COUNTS: Duration = Duration::from_secs(2);

/// What was wrong with the store, and when that was found out.
type Seen = (Instant, Vec<String>);

/// Looks at the database, at the blob store, and whether they belong together.
#[derive(Clone)]
pub(super) struct Health {
    storage: Storage,
    blobs: Blobs,
    fit: FitCheck,
    seen: Arc<Mutex<Option<Seen>>>,
}

impl Health {
    pub(super) fn new(storage: Storage, blobs: Blobs, fit: FitCheck) -> Self {
        Self { storage, blobs, fit, seen: Arc::default() }
    }

    /// One look at a time, which goes on when whoever asked for it is gone: probers with little
    /// patience would begin one after the other else, and see the end of none.
    async fn seen(self) -> Vec<String> {
        let mut seen = Arc::clone(&self.seen).lock_owned().await;
        if let Some((at, problems)) = &*seen
            && at.elapsed() < COUNTS
        {
            return problems.clone();
        }
        let looking = tokio::spawn(async move {
            let problems = self.look().await;
            *seen = Some((Instant::now(), problems.clone()));
            problems
        });
        looking.await.unwrap_or_else(|_| vec!["the look at database and store broke off".into()])
    }

    async fn look(&self) -> Vec<String> {
        let database = tokio::time::timeout(PATIENCE, self.storage.healthy());
        // Within a time of its own, so that it can name what does not answer.
        let (database, store) = tokio::join!(database, self.blobs.problem());
        let mut problems = Vec::new();
        if !matches!(database, Ok(Ok(()))) {
            problems.push("DATABASE_URL: the database does not answer".to_owned());
        }
        problems.extend(store);
        // With the database or the store away, nothing would be found anyhow.
        if problems.is_empty() {
            problems.extend(self.fit.misplaced().await);
        }
        problems
    }
}

impl HealthCheck for Health {
    fn problems(&self) -> BoxFuture<'static, Vec<String>> {
        let this = self.clone();
        Box::pin(this.seen())
    }
}
