//! Pixels to files.

mod avif;
mod gif;
mod jpeg;
mod png;
mod webp;

use crate::error::Error;
use crate::format::Format;
use crate::guard::guarded;
use crate::pixels::Pixels;

/// The image as a file, without any metadata. `quality` as in [`Options`](crate::Options). A JPEG takes no transparency.
pub(crate) fn encode(image: Pixels, format: Format, quality: Option<u8>) -> Result<Vec<u8>, Error> {
    let quality = |default: u8| quality.unwrap_or(default).clamp(1, 100);
    let file = guarded(|| match format {
        Format::Jpeg => jpeg::encode(&image, quality(80)),
        Format::Png => png::encode(&image),
        Format::WebP => webp::encode(image, quality(80)),
        Format::Avif => avif::encode(image, quality(62)),
        Format::Gif => gif::encode(image),
        _ => Err("there is no encoder".to_owned()),
    });
    file.and_then(|file| file).map_err(Error::Encode)
}
