//! WebP by libwebp, lossy.

use webp::{Encoder, PixelLayout, WebPConfig};

use crate::colour;
use crate::pixels::Pixels;

/// Results of more pixels are compressed with less effort: half the time, and next to no bytes more.
const LARGE: u64 = 4_000_000;

pub(super) fn encode(image: Pixels, quality: u8) -> Result<Vec<u8>, String> {
    let image = colour::in_colour(image);
    let layout = if image.layout.has_alpha() { PixelLayout::Rgba } else { PixelLayout::Rgb };
    let mut settings = WebPConfig::new().map_err(|()| "libwebp has no settings".to_owned())?;
    settings.quality = f32::from(quality);
    settings.method = if image.pixels() > LARGE { 2 } else { 4 };
    let encoder = Encoder::new(&image.data, layout, image.width, image.height);
    let file = encoder.encode_advanced(&settings).map_err(|error| format!("{error:?}"))?;
    Ok(file.to_vec())
}
