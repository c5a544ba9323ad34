//! Resampling.

use fast_image_resize::images::Image;
use fast_image_resize::{MulDiv, ResizeOptions, Resizer};

use crate::error::Error;
use crate::geometry::Area;
use crate::pixels::Pixels;

/// The part `area` of an image as `width` × `height`, by Lanczos' filter on the values as they are, as libvips does for
/// imgproxy; transparent pixels lend no colour to their neighbours.
pub(crate) fn resample(
    source: Pixels,
    area: Area,
    width: u32,
    height: u32,
) -> Result<Pixels, Error> {
    // Neither can happen: sizes fit, and the filter knows every layout.
    let failed = |error: &dyn std::fmt::Display| Error::Encode(error.to_string());
    let layout = source.layout;
    let area = inside(area, &source);
    let mut from =
        Image::from_vec_u8(source.width, source.height, source.data, layout.pixel_type())
            .map_err(|error| failed(&error))?;
    let mut to = Image::new(width, height, layout.pixel_type());
    let alpha = MulDiv::new();
    // In place, where the resizer would make a copy of the whole source.
    if layout.has_alpha() {
        alpha.multiply_alpha_inplace(&mut from).map_err(|error| failed(&error))?;
    }
    let options =
        ResizeOptions::new().crop(area.left, area.top, area.width, area.height).use_alpha(false);
    Resizer::new().resize(&from, &mut to, &options).map_err(|error| failed(&error))?;
    if layout.has_alpha() {
        alpha.divide_alpha_inplace(&mut to).map_err(|error| failed(&error))?;
    }
    Ok(Pixels { width, height, layout, data: to.into_vec() })
}

/// Rounding may carry an area's edge a hair over the image's.
fn inside(area: Area, image: &Pixels) -> Area {
    let (width, height) = (f64::from(image.width), f64::from(image.height));
    let left = area.left.clamp(0.0, width - 1.0);
    let top = area.top.clamp(0.0, height - 1.0);
    Area { left, top, width: area.width.min(width - left), height: area.height.min(height - top) }
}

/// The part of an image that begins at `at`, as it is. It must lie inside.
pub(crate) fn cut(source: &Pixels, at: (u32, u32), width: u32, height: u32) -> Pixels {
    let channels = source.layout.channels();
    let row = width as usize * channels;
    let mut data = Vec::with_capacity(row * height as usize);
    for y in at.1..at.1 + height {
        let begin = y as usize * source.stride() + at.0 as usize * channels;
        data.extend_from_slice(&source.data[begin..begin + row]);
    }
    Pixels { width, height, layout: source.layout, data }
}
