//! Images that are rendered from objects.

use rowlock_http::rest::ImageSides;
use rowlock_storage::RenderSettings;

use super::Mode;
use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

const IMAGE_TRANSFORMATION_ENABLED: Variable = Variable::new(
    "IMAGE_TRANSFORMATION_ENABLED",
    "Whether `/render/image` renders images. No image proxy is needed for it.",
)
.also(&["ENABLE_IMAGE_TRANSFORMATION"])
.default("alone: true; with a database: false");
const IMAGE_TRANSFORMATION_LIMIT_MIN_SIZE: Variable = Variable::new(
    "IMAGE_TRANSFORMATION_LIMIT_MIN_SIZE",
    "The least pixels of a rendered image's width and height: less is brought up to it.",
)
.also(&["IMG_LIMITS_MIN_SIZE"])
.default("1");
const IMAGE_TRANSFORMATION_LIMIT_MAX_SIZE: Variable = Variable::new(
    "IMAGE_TRANSFORMATION_LIMIT_MAX_SIZE",
    "The most pixels of a rendered image's width and height: more is brought down to it.",
)
.also(&["IMG_LIMITS_MAX_SIZE"])
.default("2000");
const ROWLOCK_IMAGE_MAX_BYTES: Variable =
    Variable::new("ROWLOCK_IMAGE_MAX_BYTES", "The most bytes of an object that is rendered.")
        .default("25000000");
const ROWLOCK_IMAGE_MAX_MEGAPIXELS: Variable = Variable::new(
    "ROWLOCK_IMAGE_MAX_MEGAPIXELS",
    "The most pixels, in millions, of an image that is rendered.",
)
.default("50");
const ROWLOCK_IMAGE_CONCURRENCY: Variable = Variable::new(
    "ROWLOCK_IMAGE_CONCURRENCY",
    "How many images are rendered at a time; more wait, and after 15 seconds are told to come again.",
)
.default("one for each core");
const ROWLOCK_IMAGE_MEMORY: Variable = Variable::new(
    "ROWLOCK_IMAGE_MEMORY",
    "How many bytes all renders together may take: an eighth for files that are read, an eighth for \
     results that clients have not taken yet, the rest for pixels. An image that needs more is refused.",
)
.default("1073741824, or half of the machine's memory (or the container's) where that is less");
const ROWLOCK_IMAGE_CACHE: Variable = Variable::new(
    "ROWLOCK_IMAGE_CACHE",
    "How many bytes of rendered images are kept in memory for whoever asks for the same and may see \
     it; `0` for none.",
)
.default("67108864");
const IMGPROXY_URL: Variable =
    Variable::new("IMGPROXY_URL", "The image proxy of a stack, which nothing here asks.");

pub(crate) const VARIABLES: &[&Variable] = &[
    &IMAGE_TRANSFORMATION_ENABLED,
    &IMAGE_TRANSFORMATION_LIMIT_MIN_SIZE,
    &IMAGE_TRANSFORMATION_LIMIT_MAX_SIZE,
    &ROWLOCK_IMAGE_MAX_BYTES,
    &ROWLOCK_IMAGE_MAX_MEGAPIXELS,
    &ROWLOCK_IMAGE_CONCURRENCY,
    &ROWLOCK_IMAGE_MEMORY,
    &ROWLOCK_IMAGE_CACHE,
    &IMGPROXY_URL,
];

/// Image rendering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageSettings {
    /// `IMAGE_TRANSFORMATION_LIMIT_…`; none where images are not rendered.
    pub(crate) sides: Option<ImageSides>,
    /// What a render may take. Its memory is what is set, or the default where the machine has
    /// enough.
    pub(crate) render: RenderSettings,
    /// Whether `ROWLOCK_IMAGE_MEMORY` is set.
    pub(crate) memory_is_set: bool,
    /// Whether `IMGPROXY_URL` is set.
    pub(crate) names_a_proxy: bool,
}

impl ImageSettings {
    pub(crate) fn from_source(source: &Source, mode: Mode) -> Result<Self, ConfigError> {
        let standard = RenderSettings::default();
        let positive = |variable| source.number(variable).filter(|number| *number > 0);
        let side = |variable, default| {
            let side = positive(variable).map(|side| u32::try_from(side).unwrap_or(u32::MAX));
            side.unwrap_or(default)
        };
        let (least, most) = (
            side(&IMAGE_TRANSFORMATION_LIMIT_MIN_SIZE, ImageSides::default().least),
            side(&IMAGE_TRANSFORMATION_LIMIT_MAX_SIZE, ImageSides::default().most),
        );
        let memory = source.bytes(&ROWLOCK_IMAGE_MEMORY).filter(|bytes| *bytes > 0);
        let concurrency = positive(&ROWLOCK_IMAGE_CONCURRENCY);
        Ok(Self {
            sides: source
                .flag(&IMAGE_TRANSFORMATION_ENABLED, mode == Mode::Alone)?
                .then_some(ImageSides { least, most }),
            render: RenderSettings {
                max_bytes: source
                    .bytes(&ROWLOCK_IMAGE_MAX_BYTES)
                    .filter(|bytes| *bytes > 0)
                    .unwrap_or(standard.max_bytes),
                max_pixels: positive(&ROWLOCK_IMAGE_MAX_MEGAPIXELS)
                    .map_or(standard.max_pixels, |millions| millions.saturating_mul(1_000_000)),
                concurrency: concurrency
                    .and_then(|number| usize::try_from(number).ok())
                    .unwrap_or(standard.concurrency),
                memory: memory.unwrap_or(standard.memory),
                cache: source.bytes(&ROWLOCK_IMAGE_CACHE).unwrap_or(standard.cache),
                ..standard
            },
            memory_is_set: memory.is_some(),
            names_a_proxy: source.has(&IMGPROXY_URL),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], mode: Mode) -> ImageSettings {
        ImageSettings::from_source(&Source::new(pairs, &[]), mode).unwrap()
    }

    #[test]
    fn rendering_is_on_alone_and_as_the_stack_says() {
        let standard = RenderSettings::default();
        let alone = read(&[], Mode::Alone);
        assert_eq!((alone.sides, alone.render), (Some(ImageSides::default()), standard.clone()));
        assert_eq!(read(&[], Mode::Stack).sides, None);
        assert_eq!(read(&[("IMAGE_TRANSFORMATION_ENABLED", "false")], Mode::Alone).sides, None);
        let stack = [("ENABLE_IMAGE_TRANSFORMATION", "true"), ("IMGPROXY_URL", "http://x:1")];
        let stack = read(&stack, Mode::Stack);
        assert!(stack.sides.is_some() && stack.names_a_proxy && !stack.memory_is_set);
    }

    #[test]
    fn limits() {
        let set = read(
            &[
                ("IMG_LIMITS_MIN_SIZE", "10"),
                ("IMAGE_TRANSFORMATION_LIMIT_MAX_SIZE", "4000"),
                ("ROWLOCK_IMAGE_MAX_BYTES", "1000"),
                ("ROWLOCK_IMAGE_MAX_MEGAPIXELS", "7"),
                ("ROWLOCK_IMAGE_CONCURRENCY", "3"),
                ("ROWLOCK_IMAGE_MEMORY", "9000000"),
                ("ROWLOCK_IMAGE_CACHE", "0"),
            ],
            Mode::Alone,
        );
        assert_eq!(set.sides, Some(ImageSides { least: 10, most: 4000 }));
        assert!(set.memory_is_set);
        let wanted = RenderSettings {
            max_bytes: 1000,
            max_pixels: 7_000_000,
            concurrency: 3,
            memory: 9_000_000,
            cache: 0,
            ..RenderSettings::default()
        };
        assert_eq!(set.render, wanted);
        let zeros = read(
            &[
                ("ROWLOCK_IMAGE_MAX_BYTES", "0"),
                ("ROWLOCK_IMAGE_MAX_MEGAPIXELS", "0"),
                ("ROWLOCK_IMAGE_CONCURRENCY", "0"),
                ("ROWLOCK_IMAGE_MEMORY", "0"),
                ("IMG_LIMITS_MAX_SIZE", "0"),
            ],
            Mode::Alone,
        );
        assert_eq!(zeros.render, RenderSettings::default());
        assert_eq!(zeros.sides, Some(ImageSides::default()));
    }
}
