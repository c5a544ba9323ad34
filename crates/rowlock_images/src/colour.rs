//! Colours: profiles to sRGB, inks to light, transparency onto white.

use moxcms::{ColorProfile, DataColorSpace, Layout as ProfileLayout, TransformOptions};

use crate::guard::guarded;
use crate::pixels::{Layout, Pixels};

/// No honest profile is larger.
const MAX_PROFILE: usize = 4 * 1024 * 1024;

/// The image in sRGB: by its profile where it has one that fits, else taken to be sRGB already. Inks without a profile are
/// mixed the plain way.
pub(crate) fn to_srgb(image: Pixels, profile: Option<&[u8]>) -> Pixels {
    let profile = profile.filter(|it| it.len() <= MAX_PROFILE);
    // A profile is as hostile as the rest of a file.
    let converted = profile.and_then(|it| guarded(|| by_profile(&image, it)).ok().flatten());
    if let Some(converted) = converted {
        return converted;
    }
    if image.layout == Layout::Cmyk { mixed(&image) } else { image }
}

fn by_profile(image: &Pixels, profile: &[u8]) -> Option<Pixels> {
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    let (space, from, to, layout) = match image.layout {
        Layout::Grey => {
            (DataColorSpace::Gray, ProfileLayout::Gray, ProfileLayout::Rgb, Layout::Rgb)
        }
        Layout::GreyAlpha => {
            (DataColorSpace::Gray, ProfileLayout::GrayAlpha, ProfileLayout::Rgba, Layout::Rgba)
        }
        Layout::Rgb => (DataColorSpace::Rgb, ProfileLayout::Rgb, ProfileLayout::Rgb, Layout::Rgb),
        Layout::Rgba => {
            (DataColorSpace::Rgb, ProfileLayout::Rgba, ProfileLayout::Rgba, Layout::Rgba)
        }
        Layout::Cmyk => {
            (DataColorSpace::Cmyk, ProfileLayout::Rgba, ProfileLayout::Rgb, Layout::Rgb)
        }
    };
    if profile.color_space != space {
        return None;
    }
    let srgb = ColorProfile::new_srgb();
    let transform =
        profile.create_transform_8bit(from, &srgb, to, TransformOptions::default()).ok()?;
    let pixels = image.width as usize * image.height as usize;
    let mut data = vec![0; pixels * layout.channels()];
    transform.transform(&image.data, &mut data).ok()?;
    Some(Pixels { width: image.width, height: image.height, layout, data })
}

fn mixed(image: &Pixels) -> Pixels {
    let mut data = Vec::with_capacity(image.data.len() / 4 * 3);
    for ink in image.data.chunks_exact(4) {
        let light = 255 - u32::from(ink[3]);
        data.extend(ink[..3].iter().map(|it| ((255 - u32::from(*it)) * light / 255) as u8));
    }
    Pixels { width: image.width, height: image.height, layout: Layout::Rgb, data }
}

/// The image without transparency, seen on white paper.
pub(crate) fn on_white(image: Pixels) -> Pixels {
    let (colours, layout) = match image.layout {
        Layout::GreyAlpha => (1, Layout::Grey),
        Layout::Rgba => (3, Layout::Rgb),
        _ => return image,
    };
    let mut data = Vec::with_capacity(image.data.len() / (colours + 1) * colours);
    for pixel in image.data.chunks_exact(colours + 1) {
        let alpha = u32::from(pixel[colours]);
        let blend = |it: &u8| (u32::from(*it) * alpha + 255 * (255 - alpha) + 127) / 255;
        data.extend(pixel[..colours].iter().map(|it| blend(it) as u8));
    }
    Pixels { layout, data, ..image }
}

/// Grey as red, green and blue, for encoders that know nothing else.
pub(crate) fn in_colour(image: Pixels) -> Pixels {
    let (data, layout) = match image.layout {
        Layout::Grey => (image.data.iter().flat_map(|it| [*it; 3]).collect(), Layout::Rgb),
        Layout::GreyAlpha => {
            let pixels = image.data.chunks_exact(2);
            (pixels.flat_map(|it| [it[0], it[0], it[0], it[1]]).collect(), Layout::Rgba)
        }
        _ => return image,
    };
    Pixels { layout, data, ..image }
}
