//! What of a growing blob fills no part yet, between two requests: an object of our own.
//!
//! Each is a new object of a name that nobody else writes, so that the one that was noted last is
//! there and whole whatever another process does that takes itself for the blob's only writer.

use crate::budget::Wait;
use crate::growing::Noted;
use crate::piece::Buffered;
use crate::read;
use crate::store::Inner;
use crate::{delete, list, writer};
use rowlock_blobs::{BlobAttributes, Error};
use rowlock_types::Version;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const DOING: &str = "keeping the end of a blob that grows";

/// One that is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// Its name below the blob's prefix.
    pub(crate) name: String,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its entity tag without quotes.
    pub(crate) etag: String,
}

fn key(store: &Inner, version: Version, name: &str) -> String {
    format!("{}{name}", store.layout.growing(version))
}

/// Keeps what is held.
pub(crate) async fn put(store: &Inner, version: Version, held: &Buffered) -> Result<Tail, Error> {
    let name = format!("{:016x}", rand::random::<u64>());
    let key = key(store, version, &name);
    let etag = writer::put(store, &key, &BlobAttributes::default(), held).await?;
    Ok(Tail { name, size: held.len(), etag })
}

/// Reads it back into memory that is empty yet.
///
/// # Errors
/// [`Error::NotFound`], [`Error::WrongLength`], [`Error::Busy`] where there is no memory for it, or
/// the service's failure.
pub(crate) async fn read(
    store: &Arc<Inner>,
    version: Version,
    tail: &Tail,
    held: &mut Buffered,
) -> Result<(), Error> {
    let bytes = usize::try_from(tail.size).unwrap_or(usize::MAX);
    if !held.make_room(&store.budget, bytes, tail.size, Wait::Long).await {
        return Err(Error::Busy { doing: DOING });
    }
    let key = key(store, version, &tail.name);
    read::whole(store, key, tail.size, &tail.etag, |chunk| held.push(chunk)).await
}

/// Removes one, if it is there.
pub(crate) async fn remove(store: &Inner, version: Version, name: &str) -> Result<(), Error> {
    delete::keys(store, vec![key(store, version, name)]).await
}

/// Removes all of them.
pub(crate) async fn remove_all(
    store: &Inner,
    version: Version,
    noted: &Noted,
) -> Result<(), Error> {
    remove_known(store, version, noted).await?;
    remove_listed(store, version).await
}

/// Removes those that are noted.
pub(crate) async fn remove_known(
    store: &Inner,
    version: Version,
    noted: &Noted,
) -> Result<(), Error> {
    let tail = noted.tail.as_ref().map(|tail| &tail.name);
    for name in tail.into_iter().chain(&noted.replaced) {
        remove(store, version, name).await?;
    }
    Ok(())
}

/// Removes those that are listed: of attempts that nobody noted, too.
pub(crate) async fn remove_listed(store: &Inner, version: Version) -> Result<(), Error> {
    let keys = list::below(store, &store.layout.growing(version)).await?;
    delete::keys(store, keys).await
}
