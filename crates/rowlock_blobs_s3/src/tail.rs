//! What of a growing blob fills no part yet: objects of our own, in the order of their bytes.
//!
//! Each is a new object of a name that nobody else writes, so that those that were noted last are
//! there and whole whatever another process does that takes itself for the blob's only writer.

use crate::budget::Wait;
use crate::growing::Noted;
use crate::piece::Buffered;
use crate::retry::pause;
use crate::store::Inner;
use crate::{delete, list, read, writer};
use bytes::Bytes;
use rowlock_blobs::{BlobAttributes, Error};
use rowlock_types::Version;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const DOING: &str = "reading back what grew of a blob";
/// How often one is read at most whose bytes are not those that were kept.
const ATTEMPTS: u32 = 4;

/// One that is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// Its name below the blob's prefix.
    pub(crate) name: String,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its entity tag without quotes.
    pub(crate) etag: String,
    /// Its CRC32 in Base64, but for those that were kept before there was one with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crc32: Option<String>,
}

fn key(store: &Inner, version: Version, name: &str) -> String {
    format!("{}{name}", store.layout.growing(version))
}

/// Keeps what is held; `unsure` is set unless it is certain that nothing of it can arrive later.
pub(crate) async fn put(
    store: &Inner,
    version: Version,
    held: &Buffered,
    unsure: &mut bool,
) -> Result<Tail, Error> {
    let name = format!("{:016x}", rand::random::<u64>());
    let key = key(store, version, &name);
    let crc32 = held.sums(true).await?.crc32;
    let (before, mut tries) = (std::mem::replace(unsure, true), 0);
    let attributes = BlobAttributes::default();
    let etag = writer::put_counted(store, &key, &attributes, held, &mut tries).await?;
    *unsure = before || tries > 1;
    Ok(Tail { name, size: held.len(), etag, crc32 })
}

/// Reads tails, for which room is made beside what is held.
///
/// # Errors
/// [`Error::NotFound`], [`Error::WrongLength`], [`Error::Busy`] where there is no memory for them,
/// [`Error::Unavailable`] where they are not what was kept, or the service's failure.
pub(crate) async fn read(
    store: &Arc<Inner>,
    version: Version,
    tails: &[Tail],
    held: &mut Buffered,
) -> Result<Vec<Bytes>, Error> {
    let size: u64 = tails.iter().map(|tail| tail.size).sum();
    let bytes = usize::try_from(size).unwrap_or(usize::MAX);
    let most = held.len() + size;
    if size > 0 && !held.make_room(&store.budget, bytes, most, Wait::Long).await {
        return Err(Error::Busy { doing: DOING });
    }
    let mut chunks = Vec::new();
    for tail in tails {
        chunks.append(&mut read_one(store, version, tail).await?);
    }
    Ok(chunks)
}

/// Reads one, again where it is another than was kept: its bytes go on under a digest that is made
/// of them anew, so that nothing finds out later.
async fn read_one(store: &Arc<Inner>, version: Version, tail: &Tail) -> Result<Vec<Bytes>, Error> {
    let mut attempt = 0;
    loop {
        let (mut chunks, mut piece) = (Vec::new(), Buffered::default());
        let key = key(store, version, &tail.name);
        read::whole(store, key, tail.size, &tail.etag, |chunk| chunks.push(chunk)).await?;
        piece.prepend(chunks.clone());
        if tail.crc32.is_none() || piece.sums(true).await?.crc32 == tail.crc32 {
            return Ok(chunks);
        }
        attempt += 1;
        tracing::warn!(attempt, "the store gave other bytes than it was given of a growing blob");
        if attempt == ATTEMPTS {
            let why = "other bytes than were kept".to_owned();
            return Err(Error::Unavailable { doing: DOING, why });
        }
        tokio::time::sleep(pause(attempt, false)).await;
    }
}

/// Removes some, as far as they are there.
pub(crate) async fn remove(store: &Inner, version: Version, names: &[String]) -> Result<(), Error> {
    delete::keys(store, names.iter().map(|name| key(store, version, name)).collect()).await
}

/// Removes those that are noted.
pub(crate) async fn remove_known(
    store: &Inner,
    version: Version,
    noted: &Noted,
) -> Result<(), Error> {
    let tails = noted.tails.iter().map(|tail| tail.name.clone());
    let names: Vec<String> = tails.chain(noted.dropped.iter().cloned()).collect();
    remove(store, version, &names).await
}

/// Removes those that are listed: of attempts that nobody noted, too.
pub(crate) async fn remove_listed(store: &Inner, version: Version) -> Result<(), Error> {
    let keys = list::below(store, &store.layout.growing(version)).await?;
    delete::keys(store, keys).await
}
