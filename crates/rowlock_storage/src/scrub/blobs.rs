//! From the store to the rows: does every blob have its object?

use super::{Finding, Scrub, ScrubError};
use crate::Storage;
use crate::place::Place;
use futures_util::StreamExt;
use rowlock_blobs::{BlobKey, Found, FoundKind, STATE_ENDINGS};
use rowlock_catalog::AuditRow;
use rowlock_types::{BucketName, KeyRules, ObjectKey, Version};
use std::collections::{BTreeMap, HashSet};

/// How many blobs are looked up at once.
const BATCH: usize = 500;

/// A blob among others in a bucket, not judged yet.
pub(super) struct Candidate {
    pub(super) found: Found,
    pub(super) bucket: String,
    /// Its path in the bucket.
    pub(super) path: String,
    /// The length of `path` without the ending of a resumable upload's state.
    base: usize,
    /// Whether such state lies beside it.
    pub(super) resumable: bool,
}

impl Candidate {
    fn new(found: Found, bucket: String, path: String, resumable: bool) -> Self {
        let base = STATE_ENDINGS.iter().find_map(|ending| {
            let base = path.strip_suffix(ending)?;
            Place::of(base, None).version.map(|_| base.len())
        });
        let base = base.unwrap_or(path.len());
        Self { found, bucket, path, base, resumable }
    }

    /// Whether this is the state of a resumable upload, and no blob.
    pub(super) fn is_state(&self) -> bool {
        self.base < self.path.len()
    }

    /// The object whose blob (or state) this is, by its path.
    pub(super) fn place(&self) -> Place<'_> {
        Place::of(&self.path[..self.base], None)
    }

    /// The name of the blob that this is, or belongs to, in the store.
    fn name(&self) -> &str {
        &self.found.name[..self.found.name.len() - (self.path.len() - self.base)]
    }

    /// Whether a row with a blob of these names has this one.
    fn is_one_of(&self, names: &[String]) -> bool {
        names.iter().any(|name| name == self.name() || *name == self.found.name)
    }
}

/// What rows say of a candidate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Named,
    OtherLayout,
    Unnamed,
}

impl Scrub<'_> {
    pub(super) async fn blobs(&mut self) -> Result<(), ScrubError> {
        let mut groups = self.storage.blobs.list().chunks(BATCH);
        while let Some(group) = groups.next().await {
            let (mut candidates, mut aside, mut growing) = (Vec::new(), Vec::new(), Vec::new());
            for found in group {
                let mut found = found?;
                if let FoundKind::Blob { .. } | FoundKind::Aside { .. } = found.kind {
                    self.summary.blobs += 1;
                    self.summary.bytes += found.size;
                }
                match std::mem::replace(&mut found.kind, FoundKind::Odd) {
                    FoundKind::Blob { bucket, path, resumable } => {
                        candidates.push(Candidate::new(found, bucket, path, resumable));
                    }
                    FoundKind::Aside { version } => aside.push((found, version)),
                    FoundKind::Upload { id, bucket, path } => {
                        self.upload(found, id, &bucket, &path).await?;
                    }
                    FoundKind::Growing { version } => growing.push((found, version)),
                    FoundKind::Temporary => self.temporary(found),
                    FoundKind::Odd => self.tell(Finding::Odd { name: found.name }),
                }
            }
            self.candidates(candidates).await?;
            self.aside(aside).await?;
            self.growing(growing).await?;
        }
        Ok(())
    }

    async fn candidates(&mut self, candidates: Vec<Candidate>) -> Result<(), ScrubError> {
        let unnamed = self.not_named_exactly(candidates).await?;
        // The rest by the path that they share with other spellings: few, or none.
        let mut groups: BTreeMap<(String, String), Vec<Candidate>> = BTreeMap::new();
        for candidate in unnamed {
            let first = candidate.place().first_segment().to_owned();
            groups.entry((candidate.bucket.clone(), first)).or_default().push(candidate);
        }
        let mut leftovers = Vec::new();
        for ((bucket, first), group) in groups {
            let verdicts = self.by_path(&bucket, &first, &group).await?;
            for (candidate, verdict) in group.into_iter().zip(verdicts) {
                match verdict {
                    Verdict::Named => {}
                    Verdict::OtherLayout => {
                        self.tell(Finding::OtherLayout { name: candidate.found.name });
                    }
                    Verdict::Unnamed => leftovers.push(candidate),
                }
            }
        }
        self.leftovers(leftovers).await
    }

    /// Leaves out all whose row has the very name that their path shows: nearly all there are.
    async fn not_named_exactly(
        &self,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Candidate>, ScrubError> {
        let mut wanted: Vec<(&str, String)> = Vec::new();
        for candidate in &candidates {
            let bucket = candidate.bucket.as_str();
            let name = candidate.place().name;
            wanted.push((bucket, name.to_owned()));
            wanted.push((bucket, format!("{name}/")));
            if name != candidate.path {
                wanted.push((bucket, candidate.path.clone()));
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        let buckets: Vec<&str> = wanted.iter().map(|(bucket, _)| *bucket).collect();
        let names: Vec<&str> = wanted.iter().map(|(_, name)| name.as_str()).collect();
        let rows = self.storage.catalog.rows_named(&buckets, &names).await?;
        let named: HashSet<String> =
            rows.iter().flat_map(|row| names_of(self.storage, row)).collect();
        Ok(candidates
            .into_iter()
            .filter(|it| !named.contains(it.name()) && !named.contains(&it.found.name))
            .collect())
    }

    async fn by_path(
        &self,
        bucket: &str,
        first: &str,
        group: &[Candidate],
    ) -> Result<Vec<Verdict>, ScrubError> {
        let places: Vec<Place<'_>> = group.iter().map(Candidate::place).collect();
        let versions: Vec<&str> = places.iter().filter_map(|place| place.version).collect();
        let live = self.storage.catalog.live_rows(bucket, first, &versions, true).await?;
        let live = live.ok_or(ScrubError::Blind)?;
        let rows: Vec<(String, Vec<String>)> = live
            .into_iter()
            .map(|row| {
                let path = Place::of(&row.name, row.version.as_deref()).path();
                let row = AuditRow {
                    bucket: bucket.to_owned(),
                    name: row.name,
                    version: row.version,
                    size: None,
                };
                (path, names_of(self.storage, &row))
            })
            .collect();
        let verdict = |(candidate, place): (&Candidate, &Place<'_>)| {
            let path = place.path();
            let mut verdict = Verdict::Unnamed;
            for (of_row, names) in &rows {
                if candidate.is_one_of(names) {
                    return Verdict::Named;
                }
                if *of_row == path {
                    verdict = Verdict::OtherLayout;
                }
            }
            verdict
        };
        Ok(group.iter().zip(&places).map(verdict).collect())
    }

    /// Blobs aside show no more than their versions, and their rows are found by these.
    async fn aside(&mut self, aside: Vec<(Found, String)>) -> Result<(), ScrubError> {
        let (versioned, versionless): (Vec<_>, Vec<_>) =
            aside.into_iter().partition(|(_, version)| Version::parse(version).is_ok());
        for (found, _) in versionless {
            if self.age(found.modified) >= self.options.min_age {
                self.versionless.insert(found.name);
            } else {
                self.summary.under_way += 1;
            }
        }
        if versioned.is_empty() {
            return Ok(());
        }
        let versions: Vec<&str> = versioned.iter().map(|(_, version)| version.as_str()).collect();
        // A store may date a blob from when its upload began, so that age alone proves nothing.
        // Asked before the rows: what was committed in between is seen there.
        let under_way = self.storage.catalog.versions_under_way(&versions).await?;
        let resumable = self.resumable(versions.iter().copied()).await?;
        let rows = self.storage.catalog.rows_of_versions(&versions).await?;
        let rows = rows.ok_or(ScrubError::Blind)?;
        let named: HashSet<String> =
            rows.iter().flat_map(|row| names_of(self.storage, row)).collect();
        let alive: HashSet<&str> = rows.iter().filter_map(|row| row.version.as_deref()).collect();
        let waiting = self.storage.catalog.outbox_rows_of(&versions, &[]).await?;
        let waiting: HashSet<&str> =
            waiting.iter().filter_map(|row| row.version.as_deref()).collect();
        for (found, version) in &versioned {
            if named.contains(&found.name) {
                continue;
            }
            if waiting.contains(version.as_str()) {
                self.summary.waiting += 1;
                continue;
            }
            if under_way.contains(version) || resumable.contains(version) {
                self.summary.under_way += 1;
                continue;
            }
            // That no row whatever has this version is more than the worker proves.
            let proved = !alive.contains(version.as_str());
            self.unreferenced(found.clone(), proved).await?;
        }
        Ok(())
    }

    pub(super) fn versionless_leftovers(&mut self) {
        let mut names: Vec<String> = self.versionless.drain().collect();
        names.sort_unstable();
        for name in names {
            self.tell(Finding::Unreferenced {
                name,
                size: 0,
                age: self.options.min_age,
                moved_to: None,
            });
        }
    }
}

/// The names of the blob that a row may have, where it may have one.
fn names_of(storage: &Storage, row: &AuditRow) -> Vec<String> {
    let (Ok(bucket), Ok(key)) =
        (BucketName::existing(&row.bucket), ObjectKey::new(&row.name, KeyRules::Utf8))
    else {
        return Vec::new();
    };
    let version = match row.version.as_deref().map(Version::parse) {
        None => None,
        Some(Ok(version)) => Some(version),
        Some(Err(_)) => return Vec::new(),
    };
    storage.blobs.names(&BlobKey { bucket, key, version })
}
