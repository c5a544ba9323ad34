//! A comparison of all rows with all that lies in the store.
//!
//! It runs beside any number of servers and deletes nothing. Neither side is held in memory: the
//! store is listed and each group of blobs is looked up among the rows, then the rows are read in
//! order and each one's blob is looked for. What seems to be wrong is looked at a second time
//! before it is told, since objects are written and deleted meanwhile.

mod blobs;
mod finding;
mod growing;
mod leftover;
mod rows;

pub use finding::{Finding, ScrubSummary};

use crate::{Error, Fit, Storage};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

/// How old a blob without a row must be for quarantine.
pub const QUARANTINE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How many objects must be found before anything goes to quarantine.
const FIT: u16 = 64;

/// How to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubOptions {
    /// What was written later than this ago may still get its row, and is only counted.
    pub min_age: Duration,
    /// Whether blobs without a row that are older than [`QUARANTINE_AGE`] are moved to
    /// `__internal/quarantine` in the store.
    pub quarantine: bool,
}

/// Why rows and blobs can't be compared.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// Policies hide rows from the database user.
    #[error(
        "the database user neither owns storage.objects nor bypasses row-level security: rows \
         that it does not see would count as missing"
    )]
    Blind,
    /// What the store holds belongs to another database, or the other way round.
    #[error(
        "{missing} of {looked_at} objects that were looked for have no blob (or there is no \
         object at all): database and store do not belong together as they are configured, and \
         nothing goes to quarantine"
    )]
    Unfit {
        /// How many objects were looked for.
        looked_at: usize,
        /// How many of them have no blob.
        missing: usize,
    },
    /// The database or the store failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<rowlock_catalog::Error> for ScrubError {
    fn from(error: rowlock_catalog::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<rowlock_blobs::Error> for ScrubError {
    fn from(error: rowlock_blobs::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// One comparison under way.
struct Scrub<'a> {
    storage: &'a Storage,
    options: ScrubOptions,
    now: SystemTime,
    report: &'a mut (dyn FnMut(Finding) + Send),
    summary: ScrubSummary,
    /// Blobs aside that may belong to any row without a version: which ones do, the rows tell.
    versionless: HashSet<String>,
}

impl Storage {
    /// Compares all rows with all that lies in the store, and reports what does not fit as it is
    /// found.
    ///
    /// # Errors
    /// [`ScrubError`]; what was reported until then holds.
    pub async fn scrub(
        &self,
        options: ScrubOptions,
        report: &mut (dyn FnMut(Finding) + Send),
    ) -> Result<ScrubSummary, ScrubError> {
        if !self.catalog.sees_all_rows().await? {
            return Err(ScrubError::Blind);
        }
        if options.quarantine {
            let Fit { looked_at, missing } = self.fit(FIT).await?;
            if looked_at == 0 || missing > 0 {
                return Err(ScrubError::Unfit { looked_at, missing });
            }
        }
        let mut scrub = Scrub {
            storage: self,
            options,
            now: SystemTime::now(),
            report,
            summary: ScrubSummary::default(),
            versionless: HashSet::new(),
        };
        scrub.blobs().await?;
        scrub.rows().await?;
        scrub.versionless_leftovers();
        Ok(scrub.summary)
    }
}

impl Scrub<'_> {
    fn tell(&mut self, finding: Finding) {
        self.summary.count(&finding);
        (self.report)(finding);
    }

    fn age(&self, modified: SystemTime) -> Duration {
        self.now.duration_since(modified).unwrap_or_default()
    }
}
