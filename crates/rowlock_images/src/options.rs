//! What a caller may wish for.

use crate::Format;

/// How an image is fitted into the width and height that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resize {
    /// Covers the whole frame, keeps its proportions, and is cut where it would stick out: imgproxy's `fill`.
    #[default]
    Cover,
    /// Lies wholly inside the frame and keeps its proportions: imgproxy's `fit`.
    Contain,
    /// Takes the frame's proportions, however distorted: imgproxy's `force`. A side that is not given stays as it is.
    Fill,
}

/// Which part of an image stays when [`Resize::Cover`] cuts it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Gravity {
    /// The middle.
    #[default]
    Centre,
    /// The middle of the upper edge.
    North,
    /// The middle of the lower edge.
    South,
    /// The middle of the right edge.
    East,
    /// The middle of the left edge.
    West,
    /// The upper right corner.
    NorthEast,
    /// The upper left corner.
    NorthWest,
    /// The lower right corner.
    SouthEast,
    /// The lower left corner.
    SouthWest,
    /// Where the image is most interesting: edges, skin, saturated colours. Offsets do not apply.
    Smart,
    /// Around a point, given as shares of width and height between 0 and 1.
    FocusPoint {
        /// From the left edge.
        x: f32,
        /// From the upper edge.
        y: f32,
    },
}

impl Gravity {
    /// The gravity that imgproxy calls `name`: `no so ea we noea nowe soea sowe ce sm fp`, the last of them with the offsets as
    /// its point.
    #[must_use]
    pub fn named(name: &str, x: f32, y: f32) -> Option<Self> {
        Some(match name {
            "no" => Self::North,
            "so" => Self::South,
            "ea" => Self::East,
            "we" => Self::West,
            "noea" => Self::NorthEast,
            "nowe" => Self::NorthWest,
            "soea" => Self::SouthEast,
            "sowe" => Self::SouthWest,
            "ce" => Self::Centre,
            "sm" => Self::Smart,
            "fp" => Self::FocusPoint { x, y },
            _ => return None,
        })
    }
}

/// The format of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The source's own; where it is not written here, PNG for images with transparency and JPEG for others.
    Origin,
    /// This one. AVIF below 16 pixels a side becomes PNG or JPEG, as imgproxy has it, and above 8 million pixels WebP, as it
    /// would take its encoder many seconds.
    As(Format),
    /// WebP where the client takes it (imgproxy's `AUTO_WEBP`); else the source's own if every client can be trusted to show it
    /// (JPEG, PNG, GIF), else PNG or JPEG. An SVG stays what it is.
    Auto {
        /// Whether the request's `Accept` names `image/webp`.
        webp: bool,
    },
}

impl Default for Wanted {
    fn default() -> Self {
        Self::Auto { webp: false }
    }
}

/// What to make of a source. The default changes nothing but its encoding.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// In pixels; none and 0 mean as the height and the proportions have it.
    pub width: Option<u32>,
    /// In pixels; none and 0 mean as the width and the proportions have it.
    pub height: Option<u32>,
    /// How the image is fitted into width and height.
    pub resize: Resize,
    /// Which part of it stays.
    pub gravity: Gravity,
    /// Moves what stays away from the edge of [`Options::gravity`], or to the right: pixels of the result, or a share of the
    /// resized image's width if it is below 1.
    pub offset_x: f32,
    /// The same, away from the edge or down.
    pub offset_y: f32,
    /// Of JPEG, WebP and AVIF, from 1 to 100; none means 80, and 62 for AVIF, which looks alike.
    pub quality: Option<u8>,
    /// The format of the result.
    pub format: Wanted,
}

/// What is refused before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most pixels that a source may have. The default is 50 million, as `IMGPROXY_MAX_SRC_RESOLUTION=50`.
    pub max_pixels: u64,
    /// The most bytes that a source may have. The default is 25 million.
    pub max_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pixels: 50_000_000, max_bytes: 25_000_000 }
    }
}
