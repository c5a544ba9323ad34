//! GIF with a palette of its own.

use image::ExtendedColorType;
use image::codecs::gif::GifEncoder;

use crate::colour;
use crate::pixels::Pixels;

/// From 1, the best palette, to 30.
const SPEED: i32 = 10;

pub(super) fn encode(image: Pixels) -> Result<Vec<u8>, String> {
    let image = colour::in_colour(image);
    let colours =
        if image.layout.has_alpha() { ExtendedColorType::Rgba8 } else { ExtendedColorType::Rgb8 };
    let mut file = Vec::new();
    GifEncoder::new_with_speed(&mut file, SPEED)
        .encode(&image.data, image.width, image.height, colours)
        .map_err(|error| error.to_string())?;
    Ok(file)
}
