//! The whole way of an image.

use crate::decode::Header;
use crate::encode;
use crate::error::Error;
use crate::format::Format;
use crate::geometry::{Area, Plan};
use crate::inspect::header;
use crate::options::{Gravity, Limits, Options, Wanted};
use crate::pixels::Pixels;
use crate::{colour, resize, smart};

/// The largest result that becomes an AVIF, as its encoder takes about a second for every two million pixels.
pub(crate) const MAX_AVIF_PIXELS: u64 = 8_000_000;

/// A rendered image.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its format.
    pub format: Format,
    /// In pixels. 0 for an SVG, which is passed through.
    pub width: u32,
    /// In pixels. 0 for an SVG, which is passed through.
    pub height: u32,
}

/// Makes of an image what the options say. Takes the thread for as long as it lasts, and memory as
/// [`Source::cost`](crate::Source::cost) says.
///
/// # Errors
/// Those of [`inspect`](crate::inspect()); [`Error::NoEncoder`] when the format that was asked for is not written, or pixels
/// were asked of an SVG; [`Error::Broken`] when the source cannot be decoded (a JPEG that ends early can, as far as it goes).
pub fn render(bytes: &[u8], options: &Options, limits: &Limits) -> Result<Rendered, Error> {
    let Some(header) = header(bytes, limits)? else {
        return match options.format {
            Wanted::As(format) if format != Format::Svg => Err(Error::NoEncoder(format)),
            _ => Ok(Rendered { bytes: bytes.to_vec(), format: Format::Svg, width: 0, height: 0 }),
        };
    };
    if let Wanted::As(format) = options.format
        && !format.is_written()
    {
        return Err(Error::NoEncoder(format));
    }
    let image = shaped(bytes, &header, options)?;
    let image = colour::to_srgb(image, header.profile.as_deref());
    let format = output(options.format, header.format, &image);
    let image = if format.has_alpha() { image } else { colour::on_white(image) };
    let (width, height) = (image.width, image.height);
    let bytes = encode::encode(image, format, options.quality)?;
    Ok(Rendered { bytes, format, width, height })
}

/// Decoded, resized, cut and upright.
fn shaped(bytes: &[u8], header: &Header, options: &Options) -> Result<Pixels, Error> {
    let orientation = header.orientation;
    let (width, height) = orientation.size(header.width, header.height);
    let plan = Plan::new(width, height, options, max_side(options.format, header.format));
    let stored = header.decode(bytes, header.divisor(plan.shrink()))?;
    let smart = plan.cuts() && options.gravity == Gravity::Smart;
    let drawn = if smart { plan.uncut() } else { plan };

    // Pixels are turned when there are least of them.
    let area = orientation.stored(drawn.area(), f64::from(width), f64::from(height));
    let size = orientation.size(drawn.kept.0, drawn.kept.1);
    let whole = !drawn.cuts() && size == (stored.width, stored.height);
    let image = if whole {
        stored
    } else {
        let across = f64::from(stored.width) / f64::from(header.width);
        let down = f64::from(stored.height) / f64::from(header.height);
        let area = Area {
            left: area.left * across,
            top: area.top * down,
            width: area.width * across,
            height: area.height * down,
        };
        resize::resample(stored, area, size.0, size.1)?
    };
    let image = orientation.apply(image);
    if smart {
        let at = smart::position(&image, plan.kept)?;
        return Ok(resize::cut(&image, at, plan.kept.0, plan.kept.1));
    }
    Ok(image)
}

/// The longest side that the result may have, whichever format it is going to be.
fn max_side(wanted: Wanted, source: Format) -> u32 {
    match wanted {
        Wanted::As(format) => format.max_side(),
        Wanted::Auto { webp: true } => Format::WebP.max_side(),
        _ => source.max_side(),
    }
}

/// The format of the result.
fn output(wanted: Wanted, source: Format, image: &Pixels) -> Format {
    let by_alpha = if image.layout.has_alpha() { Format::Png } else { Format::Jpeg };
    match wanted {
        // No encoder makes smaller ones.
        Wanted::As(Format::Avif) if image.width.min(image.height) < 16 => by_alpha,
        Wanted::As(Format::Avif) if image.pixels() > MAX_AVIF_PIXELS => Format::WebP,
        Wanted::As(format) => format,
        Wanted::Auto { webp: true } => Format::WebP,
        Wanted::Origin if source.is_written() => source,
        Wanted::Auto { .. } if matches!(source, Format::Jpeg | Format::Png | Format::Gif) => source,
        _ => by_alpha,
    }
}
