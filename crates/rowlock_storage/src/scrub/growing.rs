//! What there is of resumable uploads: somebody may go on with it, or nobody ever will.

use super::{Finding, Scrub, ScrubError};
use rowlock_blobs::Found;
use rowlock_types::Version;
use std::collections::HashSet;

impl Scrub<'_> {
    /// Blobs that grow, with their versions.
    pub(super) async fn growing(
        &mut self,
        growing: Vec<(Found, String)>,
    ) -> Result<(), ScrubError> {
        let versions = growing.iter().map(|(_, version)| version.as_str());
        let known = self.resumable(versions).await?;
        for (found, version) in growing {
            let age = self.age(found.modified);
            let Found { name, size, .. } = found;
            if known.contains(&version) || age < self.options.min_age {
                self.summary.under_way += 1;
            } else if self.storage.blobs.exists(&name).await? {
                self.tell(Finding::Resumable { name, size, age });
            }
        }
        Ok(())
    }

    /// Which of these versions are those of resumable uploads: what lies of one may be on its way
    /// to be an object, whatever its age.
    pub(super) async fn resumable<'v>(
        &self,
        versions: impl Iterator<Item = &'v str>,
    ) -> Result<HashSet<String>, ScrubError> {
        let versions = versions.filter_map(|version| Version::parse(version).ok());
        let versions: Vec<_> = versions.map(|version| version.uuid()).collect();
        if versions.is_empty() {
            return Ok(HashSet::new());
        }
        let known = self.storage.catalog.resumables_of(&versions).await?;
        Ok(known.into_iter().map(|version| version.to_string()).collect())
    }
}
