//! Drawings, files of every kind made of them, and the pixels that came out.

use crate::encode::encode;
use crate::pixels::{Layout, Pixels};
use crate::{Error, Format, Limits, Options, Rendered, inspect};

/// An image whose pixels `colour` gives by column and row.
pub(super) fn drawn<const N: usize>(
    width: u32,
    height: u32,
    colour: impl Fn(u32, u32) -> [u8; N],
) -> Pixels {
    let layout = match N {
        1 => Layout::Grey,
        2 => Layout::GreyAlpha,
        3 => Layout::Rgb,
        _ => Layout::Rgba,
    };
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            data.extend(colour(x, y));
        }
    }
    Pixels { width, height, layout, data }
}

/// Red grows to the right, green downwards; blue stands still.
pub(super) fn slope(width: u32, height: u32) -> Pixels {
    drawn(width, height, |x, y| [(x * 255 / width) as u8, (y * 255 / height) as u8, 128])
}

pub(super) fn file(image: &Pixels, format: Format) -> Vec<u8> {
    encode(image.clone(), format, Some(95)).unwrap()
}

/// Renders with the default limits.
pub(super) fn render(bytes: &[u8], options: &Options) -> Result<Rendered, Error> {
    let limits = Limits::default();
    let source = inspect(bytes, &limits)?;
    assert!(source.cost(options) <= source.cost_bytes);
    crate::render(bytes, options, &limits)
}

/// The pixels of a file, as they are stored.
pub(super) fn pixels(bytes: &[u8]) -> Pixels {
    let header = crate::inspect::header(bytes, &Limits::default()).unwrap().unwrap();
    header.decode(bytes, 1).unwrap()
}
