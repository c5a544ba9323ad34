//! Images rendered from objects: smaller, cut, in another format.
//!
//! A render costs far more than any other read, so that it runs on threads of its own, so many at
//! a time and no more, within an amount of memory that all of them share ([`room`]). Whoever finds
//! no room in time is told to come again. What was rendered is kept for a while ([`finished`]);
//! it is looked for only by those who hold the object's row, which their rights gave them.

mod finished;
mod room;
mod thread;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use rowlock_blobs::BlobBody;
use tokio::time::Instant;

pub use rowlock_images as images;
use rowlock_images::{Format, Limits, Options};

use self::finished::{Finished, Key};
use self::room::Rooms;
use crate::{Error, Object, OpenedObject, Storage};

/// How long a render may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(15);
/// How much longer whoever waits for somebody else's render of the same may do so.
const LONGER: Duration = Duration::from_secs(30);

/// How images are rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderSettings {
    /// The most bytes that a source may have.
    pub max_bytes: u64,
    /// The most pixels that a source may have.
    pub max_pixels: u64,
    /// How many are rendered at a time.
    pub concurrency: usize,
    /// How many may be rendered, or wait for it, at a time.
    pub crowd: usize,
    /// How many bytes sources, pixels and results that clients have not taken yet may take together.
    pub memory: u64,
    /// How many bytes of results are kept beside that; 0 for none.
    pub cache: u64,
}

impl Default for RenderSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            max_bytes: 25_000_000,
            max_pixels: 50_000_000,
            concurrency: cores,
            crowd: 256,
            memory: 1 << 30,
            cache: 64 << 20,
        }
    }
}

/// A rendered image.
#[derive(Debug, Clone)]
pub struct RenderedImage {
    /// The file. Its memory counts among [`RenderSettings::memory`] for as long as this or any part
    /// of it is there.
    pub bytes: Bytes,
    /// What it is.
    pub format: Format,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Where images are rendered.
#[derive(Debug)]
pub(crate) struct Studio {
    limits: Limits,
    rooms: Rooms,
    finished: Option<Finished>,
}

impl Studio {
    pub(crate) fn new(settings: &RenderSettings) -> Self {
        Self {
            limits: Limits { max_pixels: settings.max_pixels, max_bytes: settings.max_bytes },
            rooms: Rooms::new(settings),
            finished: (settings.cache > 0).then(|| Finished::new(settings.cache)),
        }
    }
}

impl Storage {
    /// Sets how images are rendered.
    #[must_use]
    pub fn with_images(mut self, settings: &RenderSettings) -> Self {
        self.studio = Arc::new(Studio::new(settings));
        self
    }

    /// Renders the image that an object is. Whoever has the object may read it.
    ///
    /// # Errors
    /// [`Error::Image`] for what is no image or one that is too large, [`Error::Busy`] where there
    /// is no room in time, or what the store says.
    pub async fn render(
        &self,
        opened: &OpenedObject,
        options: &Options,
    ) -> Result<RenderedImage, Error> {
        let (studio, object) = (&self.studio, &opened.object);
        let limit = studio.limits.max_bytes;
        if object.size > limit {
            return Err(images::Error::TooLarge { bytes: object.size, limit }.into());
        }
        // A row that names no blob of its own has no image, whatever was rendered of another.
        let version = opened.version.as_ref().filter(|_| object.blob.is_some());
        let deadline = Instant::now() + PATIENCE;
        let (Some(finished), Some(version)) = (&studio.finished, version) else {
            let _place = studio.rooms.enter()?;
            return self.make(object, options, deadline).await;
        };
        let key = Key::new(object, version, options);
        if let Some(image) = finished.get(&key) {
            return Ok(image);
        }
        let _place = studio.rooms.enter()?;
        let making = finished.get_or_make(&key, self.make(object, options, deadline));
        tokio::time::timeout_at(deadline + LONGER, making)
            .await
            .map_err(|_| Error::Busy("waiting for an image"))?
    }

    /// Reads, decodes and encodes, with room for each; the result holds its own for as long as
    /// anybody has it, however many do.
    async fn make(
        &self,
        object: &Object,
        options: &Options,
        deadline: Instant,
    ) -> Result<RenderedImage, Error> {
        let (rooms, limits) = (&self.studio.rooms, self.studio.limits);
        let source_room = rooms.for_source(object.size, deadline).await?;
        let source = self.read_whole(object).await?;
        let turn = rooms.turn(deadline).await?;
        let options = options.clone();
        let (source, options, cost) = thread::run(move || {
            let cost = images::inspect(&source, &limits).map(|image| image.cost(&options));
            (source, options, cost)
        })
        .await?;
        let memory = rooms.for_pixels(cost?, deadline).await?;
        // The room goes where the work ends, whoever still waits for it.
        let held = (source_room, turn, memory);
        let (rendered, held) =
            thread::run(move || (images::render(&source, &options, &limits), held)).await?;
        let rendered = rendered?;
        let bytes = Bytes::from(rendered.bytes);
        let room = rooms.for_result(bytes.len() as u64, deadline + LONGER).await?;
        drop(held);
        Ok(RenderedImage {
            bytes: room.with(bytes),
            format: rendered.format,
            width: rendered.width,
            height: rendered.height,
        })
    }

    /// All bytes of an object that has been found small enough.
    async fn read_whole(&self, object: &Object) -> Result<Bytes, Error> {
        match self.read_blob(object, 0..object.size).await? {
            BlobBody::Bytes(bytes) => Ok(bytes),
            BlobBody::Stream(mut stream) => {
                let mut whole = BytesMut::with_capacity(usize::try_from(object.size).unwrap_or(0));
                while let Some(chunk) = stream.try_next().await.map_err(Error::from)? {
                    whole.extend_from_slice(&chunk);
                }
                Ok(whole.freeze())
            }
        }
    }
}
