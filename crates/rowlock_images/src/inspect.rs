//! What rendering a source would take.

use crate::decode::Header;
use crate::error::Error;
use crate::format::Format;
use crate::geometry::Plan;
use crate::options::{Limits, Options};

/// A source that may be rendered.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file's format.
    pub format: Format,
    /// In pixels, upright. 0 for an SVG.
    pub width: u32,
    /// In pixels, upright. 0 for an SVG.
    pub height: u32,
    /// An estimate of the most memory that [`render`](crate::render) takes at once, in bytes, whatever the options; the file
    /// itself not counted.
    pub cost_bytes: u64,
    header: Option<Header>,
}

impl Source {
    /// The same for these options: a JPEG that becomes small needs a fraction.
    #[must_use]
    pub fn cost(&self, options: &Options) -> u64 {
        self.header.as_ref().map_or(0, |header| cost(header, options))
    }
}

/// Reads the header of an image. Takes little time and memory, whatever the file.
///
/// # Errors
/// Everything but [`Error::Encode`] and [`Error::NoEncoder`]: no image, too large by the limits, broken at the beginning.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Source, Error> {
    let Some(header) = header(bytes, limits)? else {
        return Ok(Source {
            format: Format::Svg,
            width: 0,
            height: 0,
            cost_bytes: bytes.len() as u64,
            header: None,
        });
    };
    let (width, height) = header.orientation.size(header.width, header.height);
    let cost_bytes = cost(&header, &Options::default());
    Ok(Source { format: header.format, width, height, cost_bytes, header: Some(header) })
}

/// The header of a file within the limits; none of an SVG.
pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<Option<Header>, Error> {
    let size = bytes.len() as u64;
    if size > limits.max_bytes {
        return Err(Error::TooLarge { bytes: size, limit: limits.max_bytes });
    }
    let format = Format::of(bytes).ok_or(Error::NotAnImage)?;
    if format == Format::Svg {
        return Ok(None);
    }
    let header = Header::read(bytes, format)?;
    if header.pixels() > limits.max_pixels {
        return Err(Error::TooManyPixels { pixels: header.pixels(), limit: limits.max_pixels });
    }
    Ok(Some(header))
}

/// Bytes of memory: what the decoder needs, what it leaves, what resampling makes of it, and what an encoder needs.
fn cost(header: &Header, options: &Options) -> u64 {
    let (width, height) = header.orientation.size(header.width, header.height);
    let plan = Plan::new(width, height, options, u32::MAX);
    let divisor = u64::from(header.divisor(plan.shrink()));
    let decoded = header.pixels().div_ceil(divisor * divisor) * header.pixel_bytes;
    let result = u64::from(plan.kept.0) * u64::from(plan.kept.1);
    // Resampling multiplies transparency in and keeps an image that is resized one way; encoders hold planes and coefficients.
    header.working_bytes + 3 * decoded + 24 * result + 1024 * 1024
}
