//! Blobs that grow over several requests: a multipart upload, and objects of our own for what does
//! not fill a part yet (`tail`).

use crate::grower::S3Grower;
use crate::layout::checked;
use crate::multipart::{self, Sent};
use crate::piece::Buffered;
use crate::read;
use crate::store::{Inner, MAX_PARTS, MIN_PART, S3Store};
use crate::tail::{self, Tail};
use async_trait::async_trait;
use rowlock_blobs::{BlobAttributes, BlobKey, Error, Grower, GrowingStore, Grown, Growth};
use rowlock_types::Version;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const FINISHING: &str = "finishing a blob that grew";

/// What the store needs to go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Noted {
    /// The service's id of the multipart upload.
    pub(crate) upload: String,
    /// Whether its parts carry a CRC32.
    pub(crate) summed: bool,
    /// The size of each part but the last: some services want them equal.
    pub(crate) part_size: u64,
    /// The length of the whole, where it was known at the beginning.
    pub(crate) length: Option<u64>,
    pub(crate) parts: Vec<Part>,
    /// What came after them.
    pub(crate) tails: Vec<Tail>,
    /// The names of tails that are not needed any more, and may still be there.
    pub(crate) dropped: Vec<String>,
    /// Whether a tail may still arrive of which it was not heard that it had.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unsure: bool,
}

/// Entity tag (without quotes), length in bytes, CRC32 in Base64.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part(String, u64, Option<String>);

impl From<Sent> for Part {
    fn from(sent: Sent) -> Self {
        Self(sent.etag, sent.size, sent.crc32)
    }
}

impl Noted {
    fn read(growth: &Growth) -> Result<Self, Error> {
        let noted: Self = growth.noted()?;
        if noted.part_size == 0 || noted.length() != growth.offset {
            return Err(Growth::foreign());
        }
        Ok(noted)
    }

    fn length(&self) -> u64 {
        let parts: u64 = self.parts.iter().map(|part| part.1).sum();
        parts + self.in_tails()
    }

    pub(crate) fn in_tails(&self) -> u64 {
        self.tails.iter().map(|tail| tail.size).sum()
    }

    pub(crate) fn growth(&self) -> Result<Growth, Error> {
        let inner = serde_json::to_value(self).map_err(|_| Growth::foreign())?;
        Ok(Growth { offset: self.length(), inner })
    }

    /// The number of the next part.
    pub(crate) fn next(&self) -> u32 {
        u32::try_from(self.parts.len()).map_or(u32::MAX, |parts| parts.saturating_add(1))
    }

    fn sent(&self) -> Vec<Sent> {
        let parts = (1..).zip(&self.parts);
        parts
            .map(|(number, Part(etag, size, crc32))| Sent {
                number,
                etag: etag.clone(),
                size: *size,
                crc32: crc32.clone(),
            })
            .collect()
    }
}

pub(crate) fn version(blob: &BlobKey) -> Result<Version, Error> {
    blob.version.ok_or(Error::UnsupportedKey("it has no version"))
}

#[async_trait]
impl GrowingStore for S3Store {
    fn check_growing(&self, length: u64) -> Result<(), Error> {
        self.0.growing_part_size(Some(length)).map(drop)
    }

    async fn create_growing(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
        length: Option<u64>,
        first: Option<u64>,
    ) -> Result<Growth, Error> {
        version(blob)?;
        // Kept before any part is sent, and to the end: what an earlier attempt has sent may arrive
        // any time, and must be what a later one sends in its place.
        let part_size = fitting(self.0.growing_part_size(length)?, length, first);
        let key = checked(self.0.layout.key(blob))?;
        let (upload, summed) = multipart::create_summed(&self.0, &key, attributes).await?;
        let noted = Noted {
            upload,
            summed,
            part_size,
            length,
            parts: Vec::new(),
            tails: Vec::new(),
            dropped: Vec::new(),
            unsure: false,
        };
        noted.growth()
    }

    async fn grow(&self, blob: &BlobKey, growth: &Growth) -> Result<Box<dyn Grower>, Error> {
        let version = version(blob)?;
        let noted = Noted::read(growth)?;
        Ok(Box::new(S3Grower::new(&self.0, self.0.layout.key(blob), version, noted)))
    }

    async fn finish_growing(
        &self,
        blob: &BlobKey,
        growth: &Growth,
        attributes: &BlobAttributes,
    ) -> Result<Grown, Error> {
        let (store, version) = (&self.0, version(blob)?);
        let noted = Noted::read(growth)?;
        let key = store.layout.key(blob);
        let mut parts = noted.sent();
        let whole = match noted.tails.is_empty() {
            true => true,
            false => match last_part(store, &key, version, &noted).await? {
                Some(part) => {
                    parts.push(part);
                    true
                }
                None => false,
            },
        };
        let mut grown = if whole {
            let id = noted.upload.as_str();
            let joined = multipart::complete(store, &key, id, &parts, attributes).await?;
            Grown { size: joined.size, etag: joined.etag, left: false }
        } else {
            finished(store, &key, growth.offset).await?
        };
        grown.left = noted.unsure;
        let removed = async {
            tail::remove_known(store, version, &noted).await?;
            tail::remove_listed(store, version).await
        };
        if let Err(error) = removed.await {
            grown.left = true;
            tracing::warn!(%error, "what was kept of a blob while it grew could not be removed yet");
        }
        Ok(grown)
    }

    async fn remove_growing(&self, blob: &BlobKey, growth: Option<&Growth>) -> Result<(), Error> {
        let (store, version) = (&self.0, version(blob)?);
        let key = store.layout.key(blob);
        let noted = growth.and_then(|growth| Noted::read(growth).ok());
        if let Some(noted) = &noted {
            multipart::abort(store, &key, &noted.upload).await?;
            tail::remove_known(store, version, noted).await?;
        }
        multipart::abort_all(store, &key, None).await?;
        tail::remove_listed(store, version).await
    }
}

/// The size of parts, `most` otherwise, for a client that sends `first` bytes and perhaps as many
/// each time: so many, or a multiple that parts may have, so that its requests end with a part.
fn fitting(most: u64, length: Option<u64>, first: Option<u64>) -> u64 {
    let (Some(length), Some(first @ 1..)) = (length, first) else { return most };
    let least = MIN_PART.max(length.div_ceil(MAX_PARTS));
    let size = least.div_ceil(first).saturating_mul(first);
    if size <= most { size } else { most }
}

/// Makes the tails the last part. `None` where they or the upload are gone: it was finished before,
/// or never will be.
async fn last_part(
    store: &Arc<Inner>,
    key: &str,
    version: Version,
    noted: &Noted,
) -> Result<Option<Sent>, Error> {
    let mut held = Buffered::default();
    match tail::read(store, version, &noted.tails, &mut held).await {
        Ok(chunks) => held.prepend(chunks),
        Err(Error::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    }
    let number = noted.next();
    let (id, service_number) = (noted.upload.as_str(), i32::try_from(number).unwrap_or(i32::MAX));
    let mut sums = held.sums(noted.summed).await?;
    let mut sent = multipart::put_part(store, key, id, service_number, &held, sums.clone()).await;
    if noted.summed && sent.as_ref().is_err_and(|failure| store.gives_up_checksums(failure)) {
        sums = held.sums(false).await?;
        sent = multipart::put_part(store, key, id, service_number, &held, sums.clone()).await;
    }
    match sent {
        Ok(etag) => Ok(Some(Sent { number, etag, size: held.len(), crc32: sums.crc32 })),
        Err(failure) if failure.code == "NoSuchUpload" => Ok(None),
        Err(failure) => Err(failure.write_error(FINISHING)),
    }
}

/// What an earlier attempt has made of it.
async fn finished(store: &Inner, key: &str, size: u64) -> Result<Grown, Error> {
    match read::head(store, key).await {
        Ok(found) if found.size == size => Ok(Grown { size, etag: found.etag, left: false }),
        Ok(found) => Err(Error::WrongLength { expected: size, found: found.size }),
        Err(failure) => Err(failure.error(FINISHING)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_what_a_client_sends_at_a_time() {
        const MIB: u64 = 1 << 20;
        for (first, length, wanted) in [
            (None, Some(100 * MIB), 16 * MIB),
            (Some(0), Some(100 * MIB), 16 * MIB),
            (Some(6 * MIB), Some(100 * MIB), 6 * MIB),
            (Some(5 * MIB), Some(100 * MIB), 5 * MIB),
            (Some(3 * MIB), Some(100 * MIB), 6 * MIB),
            (Some(MIB), Some(100 * MIB), 5 * MIB),
            (Some(7), Some(100 * MIB), 5 * MIB + 1),
            (Some(12 * MIB), Some(100 * MIB), 12 * MIB),
            // Parts would be more than there may be, or larger than they should.
            (Some(6 * MIB), Some(60_000 * MIB), 6 * MIB),
            (Some(6 * MIB), Some(60_000 * MIB + 1), 12 * MIB),
            (Some(6 * MIB), Some(120_000 * MIB + 1), 16 * MIB),
            (Some(u64::MAX), Some(100 * MIB), 16 * MIB),
            (Some(6 * MIB), None, 16 * MIB),
        ] {
            let size = fitting(16 * MIB, length, first);
            assert_eq!(size, wanted, "{first:?} of {length:?}");
            assert!(wanted == 16 * MIB || first.is_some_and(|first| wanted % first == 0));
        }
    }
}
