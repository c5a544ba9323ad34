//! Renders that are kept for whoever asks for the same next.

use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};
use rowlock_images::Options;

use super::RenderedImage;
use crate::{Error, Object};

/// What a kept render takes beside its bytes.
const OVERHEAD: u64 = 512;
/// A render of middling size, for the cache's guess at how many it will have.
const MIDDLING: u64 = 32 * 1024;

/// Which bytes were rendered, and how. A version is of one object: a row may claim any, but not
/// make another object's bytes its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn new(object: &Object, version: &str, options: &Options) -> Self {
        let (bucket, key, etag) = (object.bucket.as_str(), object.key.as_str(), &object.etag);
        Self(format!("{:?}", (bucket, key, version, etag.as_str(), object.size, options)))
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, RenderedImage> for Weight {
    fn weight(&self, key: &Key, image: &RenderedImage) -> u64 {
        (key.0.len() + image.bytes.len()) as u64 + OVERHEAD
    }
}

/// Renders up to a number of bytes.
pub(super) struct Finished(Cache<Key, RenderedImage, Weight>);

impl std::fmt::Debug for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finished").field("bytes", &self.0.weight()).finish()
    }
}

impl Finished {
    pub(super) fn new(bytes: u64) -> Self {
        // One shard, so that a render of any size up to the whole has room.
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(bytes)
            .estimated_items_capacity(usize::try_from(bytes / MIDDLING).unwrap_or(1).max(1))
            .build();
        Self(match options {
            Ok(options) => {
                Cache::with_options(options, Weight, Default::default(), Default::default())
            }
            // Only for options that were forgotten, and none was.
            Err(_) => Cache::with_weighter(1, bytes, Weight),
        })
    }

    pub(super) fn get(&self, key: &Key) -> Option<RenderedImage> {
        self.0.get(key)
    }

    /// What is kept, or what somebody is making already, or what `make` makes. Where the one who
    /// makes it leaves or fails, the next one does.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) async fn get_or_make(
        &self,
        key: &Key,
        make: impl Future<Output = Result<RenderedImage, Error>>,
    ) -> Result<RenderedImage, Error> {
        self.0.get_or_insert_async(key, make).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_images::Format;

    fn image(bytes: usize) -> RenderedImage {
        RenderedImage { bytes: vec![0; bytes].into(), format: Format::Png, width: 1, height: 1 }
    }

    fn key(name: &str) -> Key {
        Key(name.to_owned())
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_room_for() {
        let finished = Finished::new(1 << 20);
        for n in 0..100 {
            finished.get_or_make(&key(&n.to_string()), async { Ok(image(50_000)) }).await.unwrap();
            assert!(finished.0.weight() <= 1 << 20);
        }
        assert!(finished.0.len() > 10, "{}", finished.0.len());
        let large = finished.get_or_make(&key("large"), async { Ok(image(2 << 20)) }).await;
        assert_eq!(large.unwrap().bytes.len(), 2 << 20);
        assert!(finished.get(&key("large")).is_none());
        assert!(finished.0.weight() <= 1 << 20);
    }

    #[tokio::test]
    async fn one_makes_it_for_all_who_wait_and_another_where_the_first_leaves() {
        let finished = Finished::new(1 << 20);
        let at = key("a");
        let mut leaves = Box::pin(finished.get_or_make(&at, std::future::pending()));
        assert!(futures_util::poll!(leaves.as_mut()).is_pending());
        let second = finished.get_or_make(&at, async { Err(Error::Busy("rendering")) });
        let third = finished.get_or_make(&at, async { Err(Error::Busy("rendering")) });
        let leave = async { drop(leaves) };
        let (second, third, ()) = futures_util::join!(second, third, leave);
        assert!(matches!((second, third), (Err(Error::Busy(_)), Err(Error::Busy(_)))));
        let made = finished.get_or_make(&at, async { Ok(image(5)) }).await;
        assert_eq!(made.unwrap().bytes.len(), 5);
        let kept = finished.get_or_make(&at, async { Err(Error::Internal("made again")) }).await;
        assert_eq!(kept.unwrap().bytes.len(), 5);
    }
}
