//! Writes to a store that has no rename: noted before they begin, struck out by their commit. What
//! a process leaves that dies in between is found by its note.

use crate::{Error, Storage};
use rowlock_blobs::BlobKey;
use rowlock_catalog::PendingWrite;
use rowlock_types::{BucketName, KeyRules, ObjectKey, Version};
use std::time::Duration;

/// A request that was given up may still be under way in the store.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// The same after a process has died: its connections are gone.
const ADOPTED: Duration = Duration::from_secs(10);

/// A write that was noted; unless it comes to its commit, its blob is discarded.
pub(crate) struct Begun {
    storage: Storage,
    blob: Option<BlobKey>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(blob) = self.blob.take() {
            self.storage.discard(blob, GIVEN_UP);
        }
    }
}

impl Begun {
    /// The commit comes next, and sees to the blob.
    pub(crate) fn goes_to_commit(mut self) {
        self.blob = None;
    }

    /// Strikes the note out on its own, where that is not the business of a commit of an upload.
    pub(crate) async fn strike_out(mut self) -> Result<(), Error> {
        let Some(blob) = &self.blob else { return Ok(()) };
        let name = name(blob);
        let write = PendingWrite { blob: &name, process: self.storage.process };
        if !self.storage.catalog.end_pending(&write).await? {
            return Err(taken_over());
        }
        self.blob = None;
        Ok(())
    }
}

/// To the client: try again.
pub(crate) fn taken_over() -> Error {
    let why = "this server was taken for dead during the write";
    Error::Catalog(rowlock_catalog::Error::Unavailable(why.to_owned()))
}

impl Storage {
    /// Notes a write, where the store needs that.
    pub(crate) async fn begin_write(&self, blob: &BlobKey) -> Result<Begun, Error> {
        let mut begun = Begun { storage: self.clone(), blob: None };
        if self.blobs.writes_in_place() {
            let name = name(blob);
            let write = PendingWrite { blob: &name, process: self.process };
            self.catalog.begin_pending(&write).await?;
            begun.blob = Some(blob.clone());
        }
        Ok(begun)
    }

    /// Takes over what dead processes have begun, to be removed like any failed write.
    pub(crate) async fn adopt_writes(&self) -> Result<(), Error> {
        if !self.blobs.writes_in_place() {
            return Ok(());
        }
        let adopted = self.catalog.adopt_pending(self.process).await?;
        if !adopted.is_empty() {
            let writes = adopted.len();
            tracing::info!(writes, "took over what dead servers had begun to write, to remove it");
        }
        for name in adopted {
            match parse(&name) {
                Some(blob) => self.discard(blob, ADOPTED),
                None => tracing::error!("the ledger names a blob that cannot be"),
            }
        }
        Ok(())
    }

    /// The end of a discarded blob: what its write left unfinished goes, then its note.
    pub(crate) async fn forget_write(&self, blob: &BlobKey) -> Result<(), Error> {
        let Some(version) = blob.version.filter(|_| self.blobs.writes_in_place()) else {
            return Ok(());
        };
        let (bucket, key) = (blob.bucket.as_str(), blob.key.as_str());
        if self.catalog.no_upload_becomes(bucket, key, &version.to_string()).await? {
            self.blobs.remove_unfinished(blob).await?;
        }
        let name = name(blob);
        let write = PendingWrite { blob: &name, process: self.process };
        self.catalog.end_pending(&write).await?;
        Ok(())
    }
}

/// What the ledger calls a blob. Buckets have no slash, and versions are last.
pub(crate) fn name(blob: &BlobKey) -> String {
    let version = blob.version.map(|version| version.to_string()).unwrap_or_default();
    format!("{}/{}/{version}", blob.bucket.as_str(), blob.key.as_str())
}

fn parse(name: &str) -> Option<BlobKey> {
    let (bucket, rest) = name.split_once('/')?;
    let (key, version) = rest.rsplit_once('/')?;
    Some(BlobKey {
        bucket: BucketName::existing(bucket).ok()?,
        key: ObjectKey::new(key, KeyRules::Utf8).ok()?,
        version: Some(Version::parse(version).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::{name, parse};
    use rowlock_blobs::BlobKey;
    use rowlock_types::{BucketName, KeyRules, ObjectKey, Version};

    #[test]
    fn names_are_read_back() {
        for key in ["a", "a/b", "/a//b/", "ünï/67e55044-10b1-426f-9247-bb680e5fe0c8"] {
            let blob = BlobKey {
                bucket: BucketName::existing("b").unwrap(),
                key: ObjectKey::new(key, KeyRules::Utf8).unwrap(),
                version: Some(Version::random()),
            };
            assert_eq!(parse(&name(&blob)), Some(blob));
        }
        for bad in ["", "b", "b/a", "b/a/1", "b/67e55044-10b1-426f-9247-bb680e5fe0c8"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
