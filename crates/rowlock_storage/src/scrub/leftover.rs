//! What no row names: still being written, soon to be deleted, or left over.

use super::blobs::Candidate;
use super::{Finding, QUARANTINE_AGE, Scrub, ScrubError};
use crate::place::Place;
use crate::worker::Proof;
use rowlock_blobs::Found;
use rowlock_types::BucketName;
use std::collections::HashSet;
use std::time::Duration;

/// Servers remove their temporary files after a day, and look every hour.
const TEMPORARY_LIFE: Duration = Duration::from_secs(26 * 60 * 60);

impl Scrub<'_> {
    pub(super) async fn leftovers(&mut self, candidates: Vec<Candidate>) -> Result<(), ScrubError> {
        if candidates.is_empty() {
            return Ok(());
        }
        let waiting = self.waiting(&candidates).await?;
        let pending = self.pending(&candidates).await?;
        let versions = candidates.iter().filter_map(|candidate| candidate.place().version);
        let resumable = self.resumable(versions).await?;
        for candidate in candidates {
            let age = self.age(candidate.found.modified);
            let (bucket, place) = (candidate.bucket.as_str(), candidate.place());
            if waiting.contains(&(bucket.to_owned(), place.path())) {
                self.summary.waiting += 1;
            } else if age < self.options.min_age
                || pending.contains(&ledger_name(bucket, &place))
                || place.version.is_some_and(|version| resumable.contains(version))
            {
                self.summary.under_way += 1;
            } else if candidate.is_state() || candidate.resumable {
                let Found { name, size, .. } = candidate.found;
                if self.storage.blobs.exists(&name).await? {
                    self.tell(Finding::Resumable { name, size, age });
                }
            } else if let Some(version) = place.version
                && !self.storage.catalog.no_upload_becomes(bucket, place.name, version).await?
            {
                self.summary.under_way += 1;
            } else {
                // Only for quarantine: the proof costs a statement for each blob.
                let old = self.options.quarantine && age >= QUARANTINE_AGE;
                let proved = old && self.is_proved(&candidate).await?;
                self.unreferenced(candidate.found, proved).await?;
            }
        }
        Ok(())
    }

    /// Reports a blob that no row names, and moves it if that was asked for, it is old enough, and
    /// its absence from the rows is proved.
    pub(super) async fn unreferenced(
        &mut self,
        found: Found,
        proved: bool,
    ) -> Result<(), ScrubError> {
        let age = self.age(found.modified);
        if age < self.options.min_age {
            self.summary.under_way += 1;
            return Ok(());
        }
        // Deleted since it was listed, and struck out of the outbox.
        if !self.storage.blobs.exists(&found.name).await? {
            return Ok(());
        }
        let moves = self.options.quarantine && proved && age >= QUARANTINE_AGE;
        let moved_to = match moves {
            true => match self.storage.blobs.quarantine(&found.name).await {
                Ok(name) => Some(name),
                // Somebody else was faster.
                Err(rowlock_blobs::Error::NotFound) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
            false => None,
        };
        let Found { name, size, .. } = found;
        self.tell(Finding::Unreferenced { name, size, age, moved_to });
        Ok(())
    }

    /// As the worker proves it before it deletes.
    async fn is_proved(&self, candidate: &Candidate) -> Result<bool, ScrubError> {
        let Ok(bucket) = BucketName::existing(&candidate.bucket) else { return Ok(false) };
        let place = candidate.place();
        let row = (place.name.to_owned(), place.version.map(str::to_owned));
        let proofs = self.storage.prove(&bucket, &[row]).await?;
        Ok(matches!(proofs.as_slice(), [Proof::Gone(_)]))
    }

    /// The bucket and path of what the worker is to delete.
    async fn waiting(
        &self,
        candidates: &[Candidate],
    ) -> Result<HashSet<(String, String)>, ScrubError> {
        let places: Vec<Place<'_>> = candidates.iter().map(Candidate::place).collect();
        let versions: Vec<&str> = places.iter().filter_map(|place| place.version).collect();
        let names: Vec<&str> = places.iter().map(|place| place.name).collect();
        let rows = self.storage.catalog.outbox_rows_of(&versions, &names).await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let path = Place::of(&row.name, row.version.as_deref()).path();
                (row.bucket, path)
            })
            .collect())
    }

    async fn pending(&self, candidates: &[Candidate]) -> Result<HashSet<String>, ScrubError> {
        if !self.storage.blobs.writes_in_place() {
            return Ok(HashSet::new());
        }
        let names: Vec<String> =
            candidates.iter().map(|it| ledger_name(&it.bucket, &it.place())).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(self.storage.catalog.pending_of(&names).await?.into_iter().collect())
    }

    pub(super) async fn upload(
        &mut self,
        found: Found,
        id: String,
        bucket: &str,
        path: &str,
    ) -> Result<(), ScrubError> {
        let catalog = &self.storage.catalog;
        if !catalog.upload_is_gone(&id).await? {
            return Ok(());
        }
        let age = self.age(found.modified);
        let place = Place::of(path, None);
        let ledger = ledger_name(bucket, &place);
        // Of an upload aside no more than the version shows.
        let version = place.version.or_else(|| found.name.rsplit('/').next());
        let resumable = !self.resumable(version.into_iter()).await?.is_empty();
        if catalog.outbox_has_upload(&id).await? {
            self.summary.waiting += 1;
        } else if age < self.options.min_age
            || resumable
            || !catalog.pending_of(&[&ledger]).await?.is_empty()
        {
            self.summary.under_way += 1;
        } else if self.storage.blobs.writes_in_place()
            || self.storage.blobs.exists(&found.name).await?
        {
            let Found { name, size, .. } = found;
            self.tell(Finding::Upload { name, id, size, age });
        }
        Ok(())
    }

    pub(super) fn temporary(&mut self, found: Found) {
        let age = self.age(found.modified);
        if age > TEMPORARY_LIFE.max(self.options.min_age) {
            let Found { name, size, .. } = found;
            self.tell(Finding::Temporary { name, size, age });
        }
    }
}

/// What the ledger of begun writes calls a blob.
fn ledger_name(bucket: &str, place: &Place<'_>) -> String {
    format!("{bucket}/{}/{}", place.name, place.version.unwrap_or_default())
}
