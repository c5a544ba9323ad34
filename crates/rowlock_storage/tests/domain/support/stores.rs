//! Blob stores that fail or wait where a test wants them to.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use rowlock_blobs::{
    BlobAttributes, BlobBody, BlobKey, BlobStore, BlobWriter, Error, Found, Grower, GrowingStore,
    Grown, Growth, JoinedBlob, MultipartBlob, PartInfo, StagedPart,
};
use rowlock_types::UploadId;
use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;
type Hook<T> = Mutex<Option<Box<dyn FnMut(T) -> Pause + Send>>>;

/// What a store does beside its work.
#[derive(Default)]
pub(crate) struct Hooks {
    /// The store has no rename while this is set.
    pub(crate) in_place: Mutex<bool>,
    /// How long a blob may grow to.
    pub(crate) longest: Mutex<Option<u64>>,
    /// The end of a blob that grew leaves something while this is set.
    pub(crate) leaves: Mutex<bool>,
    /// Blobs of which unfinished uploads were asked to be removed.
    pub(crate) unfinished: Mutex<Vec<BlobKey>>,
    /// One bit of what is read of a blob is another while this is set.
    pub(crate) flips: Mutex<bool>,
    /// Deletions fail while this is set.
    pub(crate) fail_deletes: Mutex<bool>,
    /// The store is away while this is set: deletions fail as they do then.
    pub(crate) away: Mutex<bool>,
    /// Deletions wait while a test holds this.
    pub(crate) hold_deletes: tokio::sync::RwLock<()>,
    /// What grew is removed only while no test holds this.
    pub(crate) hold_growing: tokio::sync::RwLock<()>,
    /// How many blobs were asked to be deleted.
    pub(crate) deletes: Mutex<Vec<BlobKey>>,
    /// Waited for after the parts of a Complete were joined; gets the number of parts.
    pub(crate) joined: Hook<usize>,
    /// Waited for after a blob that grew was finished.
    pub(crate) grown: Hook<BlobKey>,
    /// Waited for after a blob was copied; gets the copy.
    pub(crate) copied: Hook<BlobKey>,
    /// Waited for after a part was staged in its place; gets its entity tag.
    pub(crate) staged: Hook<String>,
    /// Waited for after it was looked which part is in its place; gets the part's entity tag.
    pub(crate) looked: Hook<String>,
    /// While this is set, a blob that grows can go on at no growth older than the last one before
    /// which another was asked for, as on a store that forgets what a newer growth replaces.
    pub(crate) forgetful: Mutex<bool>,
    /// Up to where such a store has forgotten.
    pub(crate) forgotten: Arc<Mutex<HashMap<BlobKey, u64>>>,
    /// The tags of the parts that are in their places, by number; of one upload.
    pub(crate) parts: Mutex<HashMap<u32, String>>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct Hooked {
    pub(crate) inner: Arc<dyn BlobStore>,
    pub(crate) hooks: Arc<Hooks>,
}

#[async_trait]
impl GrowingStore for Hooked {
    fn check_growing(&self, length: u64) -> Result<(), Error> {
        match *self.hooks.longest.lock() {
            Some(most) if length > most => Err(Error::TooLarge { most }),
            _ => self.inner.check_growing(length),
        }
    }

    async fn create_growing(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
        length: Option<u64>,
        first: Option<u64>,
    ) -> Result<Growth, Error> {
        self.inner.create_growing(blob, attributes, length, first).await
    }

    async fn grow(&self, blob: &BlobKey, growth: &Growth) -> Result<Box<dyn Grower>, Error> {
        if !*self.hooks.forgetful.lock() {
            return self.inner.grow(blob, growth).await;
        }
        if self.hooks.forgotten.lock().get(blob).is_some_and(|from| growth.offset < *from) {
            return Err(Error::NotFound);
        }
        let inner = self.inner.grow(blob, growth).await?;
        let forgotten = Arc::clone(&self.hooks.forgotten);
        Ok(Box::new(Forgetful { inner, blob: blob.clone(), given: growth.offset, forgotten }))
    }

    async fn finish_growing(
        &self,
        blob: &BlobKey,
        growth: &Growth,
        attributes: &BlobAttributes,
    ) -> Result<Grown, Error> {
        let mut grown = self.inner.finish_growing(blob, growth, attributes).await;
        if let Ok(grown) = &mut grown {
            grown.left = *self.hooks.leaves.lock();
        }
        let pause = self.hooks.grown.lock().as_mut().map(|hook| hook(blob.clone()));
        if let Some(pause) = pause {
            pause.await;
        }
        grown
    }

    async fn remove_growing(&self, blob: &BlobKey, growth: Option<&Growth>) -> Result<(), Error> {
        drop(self.hooks.hold_growing.read().await);
        self.hooks.unfinished.lock().push(blob.clone());
        self.inner.remove_growing(blob, growth).await
    }
}

#[async_trait]
impl BlobStore for Hooked {
    fn writer(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
        length: Option<u64>,
    ) -> Box<dyn BlobWriter> {
        self.inner.writer(blob, attributes, length)
    }

    fn writes_in_place(&self) -> bool {
        *self.hooks.in_place.lock()
    }

    async fn remove_unfinished(&self, blob: &BlobKey) -> Result<(), Error> {
        self.hooks.unfinished.lock().push(blob.clone());
        Ok(())
    }

    async fn read(&self, blob: &BlobKey, size: u64, range: Range<u64>) -> Result<BlobBody, Error> {
        let read = self.inner.read(blob, size, range).await?;
        if !*self.hooks.flips.lock() {
            return Ok(read);
        }
        let mut bytes = super::collect(read).await;
        *bytes.last_mut().unwrap() ^= 1;
        Ok(BlobBody::Bytes(bytes.into()))
    }

    async fn head(&self, blob: &BlobKey) -> Result<u64, Error> {
        self.inner.head(blob).await
    }

    async fn copy(
        &self,
        from: &BlobKey,
        size: u64,
        to: &BlobKey,
        attributes: &BlobAttributes,
    ) -> Result<Option<String>, Error> {
        let copied = self.inner.copy(from, size, to, attributes).await;
        let pause = self.hooks.copied.lock().as_mut().map(|hook| hook(to.clone()));
        if let Some(pause) = pause {
            pause.await;
        }
        copied
    }

    async fn delete(&self, blobs: &[BlobKey]) -> Vec<Result<(), Error>> {
        self.hooks.deletes.lock().extend_from_slice(blobs);
        drop(self.hooks.hold_deletes.read().await);
        if *self.hooks.fail_deletes.lock() {
            return blobs.iter().map(|_| Err(Error::Full)).collect();
        }
        if *self.hooks.away.lock() {
            let away = |_| Err(Error::Unavailable { doing: "deleting", why: "away".into() });
            return blobs.iter().map(away).collect();
        }
        self.inner.delete(blobs).await
    }

    async fn create_multipart(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
    ) -> Result<UploadId, Error> {
        self.inner.create_multipart(blob, attributes).await
    }

    fn part_writer(
        &self,
        upload: &MultipartBlob,
        number: u32,
        length: Option<u64>,
    ) -> Box<dyn BlobWriter> {
        let inner = self.inner.part_writer(upload, number, length);
        if !self.writes_in_place() {
            return inner;
        }
        Box::new(InPlace { inner, number, hooks: Arc::clone(&self.hooks) })
    }

    async fn complete_multipart(
        &self,
        upload: &MultipartBlob,
        parts: &[PartInfo],
        attributes: &BlobAttributes,
    ) -> Result<JoinedBlob, Error> {
        let joined = self.inner.complete_multipart(upload, parts, attributes).await;
        let pause = self.hooks.joined.lock().as_mut().map(|hook| hook(parts.len()));
        if let Some(pause) = pause {
            pause.await;
        }
        joined
    }

    async fn remove_multipart(&self, upload: &MultipartBlob) -> Result<(), Error> {
        self.inner.remove_multipart(upload).await
    }

    fn list(&self) -> BoxStream<'static, Result<Found, Error>> {
        self.inner.list()
    }

    fn names(&self, blob: &BlobKey) -> Vec<String> {
        self.inner.names(blob)
    }

    async fn exists(&self, name: &str) -> Result<bool, Error> {
        self.inner.exists(name).await
    }

    async fn quarantine(&self, name: &str) -> Result<String, Error> {
        self.inner.quarantine(name).await
    }
}

/// Forgets what the last growth that it gave has replaced once it is asked for the next.
struct Forgetful {
    inner: Box<dyn Grower>,
    blob: BlobKey,
    given: u64,
    forgotten: Arc<Mutex<HashMap<BlobKey, u64>>>,
}

impl Forgetful {
    fn forget(&self) {
        self.forgotten.lock().insert(self.blob.clone(), self.given);
    }
}

#[async_trait]
impl Grower for Forgetful {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.inner.write(chunk).await
    }

    async fn checkpoint(&mut self) -> Result<Growth, Error> {
        self.forget();
        let growth = self.inner.checkpoint().await?;
        self.given = growth.offset;
        Ok(growth)
    }

    async fn sync(&mut self, last: bool) -> Result<Growth, Error> {
        self.forget();
        let growth = self.inner.sync(last).await?;
        self.given = growth.offset;
        Ok(growth)
    }
}

/// A part that takes its place when it is staged.
struct InPlace {
    inner: Box<dyn BlobWriter>,
    number: u32,
    hooks: Arc<Hooks>,
}

#[async_trait]
impl BlobWriter for InPlace {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.inner.write(chunk).await
    }

    async fn finish(self: Box<Self>) -> Result<(), Error> {
        self.inner.finish().await
    }

    async fn stage(self: Box<Self>, etag: &str) -> Result<Box<dyn StagedPart>, Error> {
        let Self { inner, number, hooks } = *self;
        inner.stage(etag).await?.publish().await?;
        let etag = etag.to_owned();
        hooks.parts.lock().insert(number, etag.clone());
        let pause = hooks.staged.lock().as_mut().map(|hook| hook(etag.clone()));
        if let Some(pause) = pause {
            pause.await;
        }
        Ok(Box::new(Staged { number, etag, hooks }))
    }
}

struct Staged {
    number: u32,
    etag: String,
    hooks: Arc<Hooks>,
}

#[async_trait]
impl StagedPart for Staged {
    async fn publish(self: Box<Self>) -> Result<Option<String>, Error> {
        Ok(Some(self.etag))
    }

    async fn is_in_place(&mut self) -> Result<bool, Error> {
        let is_in_place = self.hooks.parts.lock().get(&self.number) == Some(&self.etag);
        let pause = self.hooks.looked.lock().as_mut().map(|hook| hook(self.etag.clone()));
        if let Some(pause) = pause {
            pause.await;
        }
        Ok(is_in_place)
    }
}
