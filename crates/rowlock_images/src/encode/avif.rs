//! AVIF by rav1e.

use ravif::{BitDepth, Encoder, Img};
use rgb::FromSlice;

use crate::colour;
use crate::pixels::Pixels;

/// From 1, the best, to 10.
const SPEED: u8 = 10;

pub(super) fn encode(image: Pixels, quality: u8) -> Result<Vec<u8>, String> {
    let image = colour::in_colour(image);
    let encoder = Encoder::new()
        .with_quality(f32::from(quality))
        .with_alpha_quality(f32::from(quality))
        .with_speed(SPEED)
        .with_bit_depth(BitDepth::Eight)
        .with_num_threads(Some(1));
    let (width, height) = (image.width as usize, image.height as usize);
    let file = if image.layout.has_alpha() {
        encoder.encode_rgba(Img::new(image.data.as_rgba(), width, height))
    } else {
        encoder.encode_rgb(Img::new(image.data.as_rgb(), width, height))
    };
    Ok(file.map_err(|error| error.to_string())?.avif_file)
}
