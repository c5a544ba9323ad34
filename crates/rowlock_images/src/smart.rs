//! Which part of an image people look at: detail, skin and strong colours draw the eye.

use crate::colour;
use crate::error::Error;
use crate::geometry::Area;
use crate::pixels::{Layout, Pixels};
use crate::resize;

/// The longest side of the small copy on which attention is measured: enough to find a face, too little for grain to count.
const SMALL: u32 = 64;

/// Where the part of size `kept` lies that holds most of what draws the eye; of equals, the one nearest to the middle.
pub(crate) fn position(image: &Pixels, kept: (u32, u32)) -> Result<(u32, u32), Error> {
    let shrink = (f64::from(image.width.max(image.height)) / f64::from(SMALL)).max(1.0);
    let small = |side: u32| ((f64::from(side) / shrink).round() as u32).max(1);
    let (width, height) = (small(image.width), small(image.height));
    let whole = Area {
        left: 0.0,
        top: 0.0,
        width: f64::from(image.width),
        height: f64::from(image.height),
    };
    let copy = resize::resample(image.clone(), whole, width, height)?;
    let copy = colour::on_white(colour::to_srgb(colour::in_colour(copy), None));
    let sums = sums(&copy);

    let window = (small(kept.0).min(width), small(kept.1).min(height));
    let room = (width - window.0, height - window.1);
    let mut best = (0, u64::MAX, (0, 0));
    for y in 0..=room.1 {
        for x in 0..=room.0 {
            let interest = sums.within(x, y, window);
            let away = |at: u32, room: u32| u64::from((2 * at).abs_diff(room)).pow(2);
            let away = away(x, room.0) + away(y, room.1);
            if interest > best.0 || (interest == best.0 && away < best.1) {
                best = (interest, away, (x, y));
            }
        }
    }
    // Back to the large image, from edge to edge.
    let spread = |at: u32, room: u32, real: u32| (real * at).checked_div(room).unwrap_or(real / 2);
    Ok((
        spread(best.2.0, room.0, image.width - kept.0),
        spread(best.2.1, room.1, image.height - kept.1),
    ))
}

/// Sums of interest over everything above and to the left of each corner.
struct Sums {
    width: usize,
    corners: Vec<u64>,
}

impl Sums {
    fn within(&self, x: u32, y: u32, size: (u32, u32)) -> u64 {
        let corner = |x: u32, y: u32| self.corners[y as usize * self.width + x as usize];
        let (right, bottom) = (x + size.0, y + size.1);
        corner(right, bottom) + corner(x, y) - corner(right, y) - corner(x, bottom)
    }
}

fn sums(image: &Pixels) -> Sums {
    let (width, height) = (image.width as usize, image.height as usize);
    let stride = width + 1;
    let mut corners = vec![0; stride * (height + 1)];
    for y in 0..height {
        let mut row = 0;
        for x in 0..width {
            row += interest(image, x, y);
            corners[(y + 1) * stride + x + 1] = corners[y * stride + x + 1] + row;
        }
    }
    Sums { width: stride, corners }
}

fn interest(image: &Pixels, x: usize, y: usize) -> u64 {
    let [red, green, blue] = colour_at(image, x, y).map(i32::from);
    let light = |x: usize, y: usize| luminance(colour_at(image, x, y));
    let (right, bottom) = (image.width as usize - 1, image.height as usize - 1);
    let around = light(x.saturating_sub(1), y)
        + light((x + 1).min(right), y)
        + light(x, y.saturating_sub(1))
        + light(x, (y + 1).min(bottom));
    let own = luminance(colour_at(image, x, y));
    let detail = (4 * own - around).abs();
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    // Colour in the dark and in glare is not seen as such.
    let lit = (40..=240).contains(&own);
    let strength = if lit { (most - least) / 3 } else { 0 };
    // Skin of any shade: red over green over blue, by amounts that keep in step.
    let (warm, pale) = (red - green, green - blue);
    let skin = lit && warm > 8 && pale > 0 && warm * 2 > pale && warm < red / 2 && pale < red / 3;
    (detail + strength + if skin { 60 } else { 0 }) as u64
}

fn colour_at(image: &Pixels, x: usize, y: usize) -> [u8; 3] {
    debug_assert_eq!(image.layout, Layout::Rgb);
    let at = y * image.stride() + x * 3;
    [image.data[at], image.data[at + 1], image.data[at + 2]]
}

/// Of 255 (ITU-R BT.601).
fn luminance([red, green, blue]: [u8; 3]) -> i32 {
    (i32::from(red) * 299 + i32::from(green) * 587 + i32::from(blue) * 114) / 1000
}
