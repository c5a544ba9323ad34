//! Emptying a bucket of any size: the first objects before the answer, the rest through the
//! outbox, all as the caller.

use crate::task::detached;
use crate::{Context, Error, Storage};
use rowlock_catalog::{EmptyJob, OutboxRow, SqlState};
use rowlock_types::{BucketName, Operation};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Objects per step, and steps before the answer.
const STEP: i64 = 500;
const FIRST_STEPS: usize = 2;

/// How long the outbox works on one bucket before it turns to other rows.
const TURN: Duration = Duration::from_secs(10);

/// How far an emptying has come.
pub(crate) enum Emptied {
    /// Nothing is left that the caller may delete.
    Done,
    /// There is more.
    More(EmptyJob),
    /// It has to be tried again.
    Later(&'static str),
}

impl Storage {
    /// Deletes the objects of a bucket that the caller may delete: the first thousand before this
    /// returns, the rest in the background, even across restarts. What is written after the call
    /// stays. Multipart uploads begun before it end: the caller's own, and all where the service
    /// role asks.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], or what the database says; what was deleted until then is gone.
    pub async fn empty_bucket(&self, ctx: &Context, bucket: &BucketName) -> Result<(), Error> {
        let (this, ctx, bucket) = (self.clone(), ctx.clone(), bucket.clone());
        detached(async move { this.begin_emptying(&ctx, &bucket).await }).await
    }

    async fn begin_emptying(&self, ctx: &Context, bucket: &BucketName) -> Result<(), Error> {
        let scope = ctx.scope();
        let until = self.catalog.begin_empty(&scope, bucket.as_str()).await?;
        let until = until.ok_or(Error::NoSuchBucket)?;
        let subject = ctx.caller.subject.as_deref();
        if ctx.caller.is_service || subject.is_some() {
            let owner = if ctx.caller.is_service { None } else { subject };
            self.catalog.end_uploads_until(bucket.as_str(), until, owner).await?;
        }
        let mut job = EmptyJob::new(&scope, until, String::new());
        for _ in 0..FIRST_STEPS {
            if !self.empty_step(ctx, bucket.as_str(), &mut job).await? {
                self.wake.notify_one();
                return Ok(());
            }
        }
        self.catalog.queue_empty(bucket.as_str(), &job).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// True when there may be more.
    async fn empty_step(
        &self,
        ctx: &Context,
        bucket: &str,
        job: &mut EmptyJob,
    ) -> Result<bool, Error> {
        let grace = self.settings.blob_grace;
        let (until, after) = (job.until, job.after.as_str());
        let step = self.catalog.empty_step(&ctx.scope(), bucket, until, after, STEP, grace).await?;
        self.ring();
        match step.last {
            Some(last) if step.seen as i64 >= STEP => {
                job.after = last;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Goes on with an emptying that the outbox holds.
    pub(crate) async fn go_on_emptying(&self, row: &OutboxRow, job: &EmptyJob) -> Emptied {
        let mut job = job.clone();
        let ctx = Context {
            caller: Arc::new(job.caller()),
            request: Arc::new(job.origin.request()),
            operation: Operation::BucketEmpty,
        };
        let began = Instant::now();
        loop {
            match self.empty_step(&ctx, &row.bucket, &mut job).await {
                Ok(true) if began.elapsed() < TURN => {}
                Ok(true) => return Emptied::More(job),
                Ok(false) => return Emptied::Done,
                Err(error) if is_refusal(&error) => {
                    let bucket = &row.bucket;
                    tracing::warn!(%bucket, %error, "a bucket is not emptied any further");
                    return Emptied::Done;
                }
                Err(error) => {
                    let bucket = &row.bucket;
                    tracing::warn!(%bucket, %error, "a bucket could not be emptied");
                    return Emptied::Later("the database failed");
                }
            }
        }
    }
}

/// Whether the caller lost the right, or the role: trying again changes nothing.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Catalog(rowlock_catalog::Error::RoleRefused(_)) => true,
        Error::Catalog(error) => {
            error.is(&SqlState::INSUFFICIENT_PRIVILEGE)
                || error.is(&SqlState::INVALID_PARAMETER_VALUE)
        }
        _ => false,
    }
}
