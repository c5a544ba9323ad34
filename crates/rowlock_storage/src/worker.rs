//! The outbox worker: deletes the blobs that committed transactions left behind, and nothing
//! that it cannot prove to be left behind.

use crate::empty::Emptied;
use crate::place::Place;
use crate::{Error, Storage};
use rowlock_blobs::{BlobKey, Error as BlobError, MultipartBlob};
use rowlock_catalog::{OutboxKind, OutboxRow};
use rowlock_types::{BucketName, KeyRules, ObjectKey, UploadId, Version};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many rows are claimed at once, and for how long.
const BATCH: i64 = 500;
const LEASE: Duration = Duration::from_secs(60);

/// The longest pause between two looks: other servers and the reference write rows too.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pause between two looks at what is old.
const TIDY_AFTER: Duration = Duration::from_secs(60);

/// How long the work under way, and what is due then, goes on once the server stops. Whoever stops it
/// kills it after ten seconds (`docker stop`), and the database has to be stopped as well.
const LAST_WORK: Duration = Duration::from_secs(4);

/// Blobs of failed writes that wait for their deletion; beyond it they are left to a scrub.
const MAX_DISCARDS: usize = 100_000;

/// Blobs whose row was never committed.
#[derive(Debug, Default)]
pub(crate) struct Discards(parking_lot::Mutex<VecDeque<(Instant, BlobKey)>>);

const STORE_AWAY: &str = "the blob store is not available";

/// What became of one piece of work.
enum Done {
    /// It is finished, or was none.
    Yes,
    /// It has to be tried again.
    Later(&'static str),
    /// It has to be tried again, and so has all else: the blob store or the database is away.
    Away(&'static str),
}

/// What is known of the blob that a row named.
pub(crate) enum Proof {
    /// No row names it any more.
    Gone(BlobKey),
    /// A row names it, or there can be none.
    NoBlob,
    /// The database's answer proves nothing.
    Missing,
}

impl Storage {
    /// Hands a blob without a row to the worker, to be looked at after `patience`.
    pub(crate) fn discard(&self, blob: BlobKey, patience: Duration) {
        let mut waiting = self.discards.0.lock();
        if waiting.len() >= MAX_DISCARDS {
            tracing::warn!("too many failed writes: a blob without a row stays");
            return;
        }
        waiting.push_back((Instant::now() + patience, blob));
        drop(waiting);
        self.wake.notify_one();
    }

    /// Works until `shutdown` is done, and a few seconds longer at most. One per process; any number
    /// of processes share the work.
    pub async fn run_worker(self, shutdown: impl Future<Output = ()>) {
        let stopping = AtomicBool::new(false);
        let told = async {
            shutdown.await;
            stopping.store(true, Ordering::Relaxed);
            self.wake.notify_one();
            self.ring();
            tokio::time::sleep(LAST_WORK).await;
        };
        let work = futures_util::future::join(self.work(&stopping), self.deliver_events(&stopping));
        tokio::select! {
            _ = work => {}
            () = self.keep_expiring() => {}
            () = told => tracing::warn!("some deletions are left to the next server"),
        }
    }

    async fn work(&self, stopping: &AtomicBool) {
        let mut tidied = Instant::now();
        self.adopt().await;
        while !stopping.load(Ordering::Relaxed) {
            let pause = match self.work_once(stopping).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "the outbox is not reachable");
                    LONGEST_PAUSE
                }
            };
            if tidied.elapsed() > TIDY_AFTER {
                tidied = Instant::now();
                self.tidy().await;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        // Of files they are written down nowhere else.
        self.work_discards().await;
    }

    async fn adopt(&self) {
        if let Err(error) = self.adopt_writes().await {
            tracing::warn!(%error, "writes of dead servers could not be taken over");
        }
    }

    /// Gives up what nobody goes on with, for ever, and beside the other work, which would have to
    /// wait for it.
    async fn keep_expiring(&self) {
        loop {
            if let Err(error) = self.give_up_expired(BATCH).await {
                tracing::warn!(%error, "expired resumable uploads could not be given up");
            }
            tokio::time::sleep(TIDY_AFTER).await;
        }
    }

    async fn tidy(&self) {
        self.catalog.close_idle();
        self.adopt().await;
        if let Err(error) = self.catalog.refresh_forbidden_roles().await {
            tracing::warn!(%error, "roles could not be read");
        }
        if let Err(error) = self.abort_abandoned().await {
            tracing::warn!(%error, "abandoned uploads could not be aborted");
        }
        if let Err(error) = self.catalog.forget_completed().await {
            tracing::warn!(%error, "old Completes could not be forgotten");
        }
        self.forget_dead_events().await;
    }

    /// Aborts multipart uploads past their expiry; their parts go through the outbox.
    async fn abort_abandoned(&self) -> Result<(), Error> {
        let expiry = self.settings.multipart_expiry;
        for upload in self.catalog.abandoned_uploads(expiry, BATCH).await? {
            if self.catalog.end_abandoned(&upload, expiry).await? {
                let (bucket, key) = (&upload.bucket, &upload.key);
                tracing::info!(%bucket, %key, "an abandoned multipart upload was aborted");
            }
        }
        Ok(())
    }

    /// Does all that is due; how long to pause then.
    async fn work_once(&self, stopping: &AtomicBool) -> Result<Duration, Error> {
        self.end_lapsed_turns().await;
        self.work_discards().await;
        while !stopping.load(Ordering::Relaxed) {
            let rows = self.catalog.claim_outbox(BATCH, LEASE).await?;
            if rows.is_empty() {
                break;
            }
            self.work_batch(rows).await?;
        }
        let due = self.catalog.next_outbox_due().await?.unwrap_or(LONGEST_PAUSE);
        // Never a busy loop, even when a row that is due is held by another worker.
        Ok(due.clamp(Duration::from_millis(50), LONGEST_PAUSE))
    }

    async fn work_discards(&self) {
        let now = Instant::now();
        let mut due: VecDeque<BlobKey> = {
            let mut waiting = self.discards.0.lock();
            let (due, later): (VecDeque<_>, VecDeque<_>) =
                waiting.drain(..).partition(|(at, _)| *at <= now);
            *waiting = later;
            due.into_iter().map(|(_, blob)| blob).collect()
        };
        while let Some(blob) = due.pop_front() {
            match self.work_discard(&blob).await {
                Done::Yes => {}
                Done::Later(_) => self.discard_again(blob),
                Done::Away(_) => {
                    // The others would wait as long each. They come first the next time: one blob
                    // must not keep all of them.
                    due.push_back(blob);
                    due.drain(..).for_each(|blob| self.discard_again(blob));
                }
            }
        }
    }

    async fn work_discard(&self, blob: &BlobKey) -> Done {
        let row = (blob.key.as_str().to_owned(), blob.version.map(|v| v.to_string()));
        match self.delete_unless_alive(&blob.bucket, &[row]).await {
            Ok(mut outcomes) => match outcomes.pop() {
                Some(Done::Yes) => {}
                Some(other) => return other,
                None => return Done::Later("nothing was done"),
            },
            Err(_) => return Done::Away("the database failed"),
        }
        match self.forget_write(blob).await {
            Ok(()) => Done::Yes,
            Err(error) => {
                tracing::warn!(%error, "what a failed write left could not be removed");
                match error {
                    Error::Catalog(_) => Done::Away("the database failed"),
                    Error::StorageUnavailable(_) => Done::Away(STORE_AWAY),
                    _ => Done::Later("the blob store failed"),
                }
            }
        }
    }

    fn discard_again(&self, blob: BlobKey) {
        let mut waiting = self.discards.0.lock();
        if waiting.len() < MAX_DISCARDS {
            waiting.push_back((Instant::now() + Duration::from_secs(30), blob));
        }
    }

    async fn work_batch(&self, rows: Vec<OutboxRow>) -> Result<(), Error> {
        let mut finished = Vec::new();
        let mut failed: Vec<(i64, i32, &'static str)> = Vec::new();
        let mut buckets = Vec::new();
        let mut blobs: BTreeMap<(String, String), Vec<OutboxRow>> = BTreeMap::new();
        let mut away = None;
        for row in rows {
            match &row.kind {
                OutboxKind::DeleteBlob => {
                    let place = Place::of(&row.name, row.version.as_deref());
                    let group = (row.bucket.clone(), place.first_segment().to_owned());
                    blobs.entry(group).or_default().push(row);
                }
                OutboxKind::EmptyBucket(_) => buckets.push(row),
                OutboxKind::RemoveMultipart { upload_id } => {
                    let done = match away {
                        // One after the other would wait for the same answer.
                        Some(why) => Done::Away(why),
                        None => self.remove_multipart(&row, upload_id).await,
                    };
                    match done {
                        Done::Yes => finished.push(row.id),
                        Done::Later(why) => failed.push((row.id, row.attempts, why)),
                        Done::Away(why) => {
                            away = Some(why);
                            failed.push((row.id, row.attempts, why));
                        }
                    }
                }
            }
        }
        let (mut proofs, mut proved) = (Vec::new(), Vec::new());
        for ((bucket, _), rows) in blobs {
            let Ok(bucket) = BucketName::existing(&bucket) else {
                // Such a bucket has no folder: nothing can lie there.
                finished.extend(rows.iter().map(|row| row.id));
                continue;
            };
            let named: Vec<_> =
                rows.iter().map(|row| (row.name.clone(), row.version.clone())).collect();
            proofs.extend(self.prove(&bucket, &named).await?);
            proved.extend(rows.iter().map(|row| (row.id, row.attempts)));
        }
        // All of them together: stores delete many in one request.
        for ((id, attempts), done) in proved.into_iter().zip(self.delete_proved(proofs).await) {
            match done {
                Done::Yes => finished.push(id),
                Done::Later(why) | Done::Away(why) => failed.push((id, attempts, why)),
            }
        }
        if !finished.is_empty() {
            self.catalog.finish_outbox(&finished).await?;
        }
        for (id, attempts, why) in failed {
            let delay = Duration::from_secs(1 << attempts.clamp(0, 9));
            self.catalog.postpone_outbox(id, delay, why).await?;
        }
        self.work_emptyings(buckets).await
    }

    /// Goes on with buckets to be emptied, a turn each; last, since it makes new work.
    async fn work_emptyings(&self, rows: Vec<OutboxRow>) -> Result<(), Error> {
        for row in rows {
            let OutboxKind::EmptyBucket(job) = &row.kind else { continue };
            match self.go_on_emptying(&row, job).await {
                Emptied::Done => self.catalog.finish_outbox(&[row.id]).await?,
                Emptied::More(job) => self.catalog.advance_empty(row.id, &job).await?,
                Emptied::Later(why) => {
                    let delay = Duration::from_secs(1 << row.attempts.clamp(0, 9));
                    self.catalog.postpone_outbox(row.id, delay, why).await?;
                }
            }
        }
        Ok(())
    }

    /// Deletes the blobs of rows that are gone, all in one bucket and below one first segment.
    async fn delete_unless_alive(
        &self,
        bucket: &BucketName,
        rows: &[(String, Option<String>)],
    ) -> Result<Vec<Done>, Error> {
        let proofs = self.prove(bucket, rows).await?;
        Ok(self.delete_proved(proofs).await)
    }

    /// Which blobs no row names any more, all in one bucket and below one first segment.
    pub(crate) async fn prove(
        &self,
        bucket: &BucketName,
        rows: &[(String, Option<String>)],
    ) -> Result<Vec<Proof>, Error> {
        let places: Vec<Place<'_>> =
            rows.iter().map(|(name, version)| Place::of(name, version.as_deref())).collect();
        let Some(first) = places.first() else { return Ok(Vec::new()) };
        let versions: Vec<&str> = places.iter().filter_map(|place| place.version).collect();
        let or_none = rows.iter().any(|row| row.1.is_none());
        let live = self
            .catalog
            .live_rows(bucket.as_str(), first.first_segment(), &versions, or_none)
            .await?;
        let Some(live) = live else { return Ok(rows.iter().map(|_| Proof::Missing).collect()) };
        let live: HashSet<String> =
            live.iter().map(|row| Place::of(&row.name, row.version.as_deref()).path()).collect();
        let proof = |((name, version), place): (&(String, Option<String>), &Place<'_>)| {
            if live.contains(&place.path()) {
                return Proof::NoBlob;
            }
            blob_key(bucket, name, version.as_deref()).map_or(Proof::NoBlob, Proof::Gone)
        };
        Ok(rows.iter().zip(&places).map(proof).collect())
    }

    /// Deletes what is proved to be nobody's.
    async fn delete_proved(&self, proofs: Vec<Proof>) -> Vec<Done> {
        let gone: Vec<BlobKey> = proofs
            .iter()
            .filter_map(|proof| match proof {
                Proof::Gone(blob) => Some(blob.clone()),
                Proof::NoBlob | Proof::Missing => None,
            })
            .collect();
        let answers = if gone.is_empty() { Vec::new() } else { self.blobs.delete(&gone).await };
        if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            let failed = answers.iter().filter(|answer| answer.is_err()).count();
            tracing::warn!(failed, %error, "blobs could not be deleted yet");
        }
        let mut answers = answers.into_iter();
        proofs
            .iter()
            .map(|proof| match proof {
                Proof::NoBlob => Done::Yes,
                Proof::Missing => Done::Later("absence is not proved"),
                Proof::Gone(_) => match answers.next() {
                    Some(Ok(())) => Done::Yes,
                    Some(Err(BlobError::Unavailable { .. })) => Done::Away(STORE_AWAY),
                    _ => Done::Later("the blob store failed"),
                },
            })
            .collect()
    }

    /// Removes an ended upload's parts, and a blob that a failed Complete may have left.
    async fn remove_multipart(&self, row: &OutboxRow, upload_id: &str) -> Done {
        let (Ok(bucket), Ok(key)) =
            (BucketName::existing(&row.bucket), ObjectKey::new(&row.name, KeyRules::Utf8))
        else {
            return Done::Yes;
        };
        let version = row.version.as_deref().and_then(|text| Version::parse(text).ok());
        let (Ok(upload_id), Some(version)) = (UploadId::parse(upload_id), version) else {
            return Done::Yes;
        };
        match self.catalog.upload_is_gone(upload_id.as_str()).await {
            Ok(true) => {}
            Ok(false) => return Done::Later("the upload is not proved to be gone"),
            Err(_) => return Done::Later("the database failed"),
        }
        let blob = BlobKey { bucket, key, version: Some(version) };
        let upload = MultipartBlob { upload_id, blob };
        if let Err(error) = self.blobs.remove_multipart(&upload).await {
            tracing::warn!(%error, "parts could not be removed");
            return match error {
                BlobError::Unavailable { .. } => Done::Away(STORE_AWAY),
                _ => Done::Later("the blob store failed"),
            };
        }
        let named = [(row.name.clone(), row.version.clone())];
        match self.delete_unless_alive(&upload.blob.bucket, &named).await {
            Ok(mut outcomes) => outcomes.pop().unwrap_or(Done::Yes),
            Err(_) => Done::Later("the database failed"),
        }
    }
}

/// The blob that a row named, if it could name one.
fn blob_key(bucket: &BucketName, name: &str, version: Option<&str>) -> Option<BlobKey> {
    let key = ObjectKey::new(name, KeyRules::Utf8).ok()?;
    let version = match version {
        Some(text) => Some(Version::parse(text).ok()?),
        None => None,
    };
    Some(BlobKey { bucket: bucket.clone(), key, version })
}
