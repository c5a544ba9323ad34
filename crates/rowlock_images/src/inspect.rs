//! What rendering a source would take.

use crate::decode::Header;
use crate::error::Error;
use crate::format::Format;
use crate::geometry::Plan;
use crate::options::{Gravity, Limits, Options, Wanted};
use crate::render::MAX_AVIF_PIXELS;

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
    let whole = |format| Options { format: Wanted::As(format), ..Options::default() };
    let ways =
        [Format::Png, Format::WebP, Format::Avif].map(|format| cost(&header, &whole(format)));
    let cost_bytes = ways.into_iter().max().unwrap_or_default();
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

/// Bytes for tables, buffers and profiles, whatever the size.
const SUNDRIES: u64 = 6 * 1024 * 1024;

/// Bytes of memory: decoding and resampling at once, or what comes after, whichever is more.
fn cost(header: &Header, options: &Options) -> u64 {
    let (width, height) = header.orientation.size(header.width, header.height);
    let plan = Plan::new(width, height, options, u32::MAX);
    let divisor = header.divisor(plan.shrink());
    let (across, down) = (header.width.div_ceil(divisor), header.height.div_ceil(divisor));
    let decoded = u64::from(across) * u64::from(down) * header.pixel_bytes;
    // What is cut off by its content is there until then.
    let size = if options.gravity == Gravity::Smart { plan.scaled } else { plan.kept };
    let result = u64::from(size.0) * u64::from(size.1);
    let resampled = if plan.scaled == (width, height) && !plan.cuts() && divisor == 1 {
        0
    } else {
        // It goes across first, and keeps that.
        let narrowed = u64::from(header.orientation.size(size.0, size.1).0) * u64::from(down);
        (narrowed + result) * header.pixel_bytes
    };
    let shaping = header.working_bytes + decoded + resampled;
    shaping.max(result * after(options.format, header, result)) + SUNDRIES
}

/// Bytes for each pixel of the result once it has its size: the copies that turning it and mixing its colours make, an
/// encoder's planes and coefficients, and the file.
fn after(wanted: Wanted, header: &Header, result: u64) -> u64 {
    // CMYK has as many bytes and no transparency, which errs on the safe side.
    let transparent = header.pixel_bytes.is_multiple_of(2);
    let encoding = match wanted {
        Wanted::As(Format::Avif) if result <= MAX_AVIF_PIXELS => 32,
        // The tables with which libwebp packs transparency.
        Wanted::As(Format::Avif | Format::WebP) | Wanted::Auto { webp: true } if transparent => 42,
        Wanted::As(Format::Avif | Format::WebP) | Wanted::Auto { webp: true } => 14,
        Wanted::Origin if header.format == Format::WebP && transparent => 42,
        _ => 14,
    };
    encoding.max(2 * header.pixel_bytes)
}
