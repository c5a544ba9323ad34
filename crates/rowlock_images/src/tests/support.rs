//! Drawings, files of every kind made of them, and the pixels that came out.

use mozjpeg::{ColorSpace, Compress, Marker};

use crate::encode::encode;
use crate::pixels::{Layout, Pixels};
use crate::{Error, Format, Limits, Options, Rendered, Wanted, inspect};

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
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let data = places.flat_map(|(x, y)| colour(x, y)).collect();
    Pixels { width, height, layout, data }
}

/// Red grows to the right, green downwards; blue stands still.
pub(super) fn slope(width: u32, height: u32) -> Pixels {
    drawn(width, height, |x, y| [(x * 255 / width) as u8, (y * 255 / height) as u8, 128])
}

pub(super) const RED: [u8; 3] = [220, 20, 20];
pub(super) const GREEN: [u8; 3] = [20, 200, 20];
pub(super) const BLUE: [u8; 3] = [20, 20, 220];
pub(super) const YELLOW: [u8; 3] = [220, 220, 20];

/// Red and green above, blue and yellow below.
pub(super) fn quarters(width: u32, height: u32) -> Pixels {
    drawn(width, height, |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => RED,
        (false, true) => GREEN,
        (true, false) => BLUE,
        (false, false) => YELLOW,
    })
}

pub(super) fn file(image: &Pixels, format: Format) -> Vec<u8> {
    encode(image.clone(), format, Some(95)).unwrap()
}

/// A JPEG without thinned out colours, whose segments of metadata are given by marker and content.
pub(super) fn jpeg(image: &Pixels, metadata: &[(u8, &[u8])], progressive: bool) -> Vec<u8> {
    let mut settings = Compress::new(match image.layout {
        Layout::Grey => ColorSpace::JCS_GRAYSCALE,
        Layout::Cmyk => ColorSpace::JCS_CMYK,
        _ => ColorSpace::JCS_RGB,
    });
    settings.set_size(image.width as usize, image.height as usize);
    settings.set_fastest_defaults();
    settings.set_quality(97.0);
    if image.layout == Layout::Rgb {
        settings.set_chroma_sampling_pixel_sizes((1, 1), (1, 1));
    }
    if progressive {
        settings.set_progressive_mode();
    }
    let mut file = settings.start_compress(Vec::new()).unwrap();
    for (marker, content) in metadata {
        file.write_marker(Marker::APP(*marker), content);
    }
    file.write_scanlines(&image.data).unwrap();
    file.finish().unwrap()
}

/// A segment with an orientation in it and nothing else.
pub(super) fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0]);
    block
}

/// A segment with a whole colour profile in it.
pub(super) fn icc(profile: &moxcms::ColorProfile) -> Vec<u8> {
    [b"ICC_PROFILE\0\x01\x01".to_vec(), profile.encode().unwrap()].concat()
}

/// What Windows, scanners and browsers' tabs use, written by the `image` crate.
pub(super) fn by_image(image: &Pixels, format: image::ImageFormat) -> Vec<u8> {
    let image = image::RgbImage::from_raw(image.width, image.height, image.data.clone()).unwrap();
    let mut image = image::DynamicImage::from(image);
    if format == image::ImageFormat::Ico {
        image = image.into_rgba8().into();
    }
    let mut file = std::io::Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// Renders with the default limits.
pub(super) fn render(bytes: &[u8], options: &Options) -> Result<Rendered, Error> {
    let limits = Limits::default();
    let source = inspect(bytes, &limits)?;
    assert!(source.cost(options) <= source.cost_bytes);
    crate::render(bytes, options, &limits)
}

/// What a rendering as a PNG looks like.
pub(super) fn seen(bytes: &[u8], options: &Options) -> Pixels {
    let options = Options { format: Wanted::As(Format::Png), ..options.clone() };
    pixels(&render(bytes, &options).unwrap().bytes)
}

/// The pixels of a file, as they are stored.
pub(super) fn pixels(bytes: &[u8]) -> Pixels {
    let header = crate::inspect::header(bytes, &Limits::default()).unwrap().unwrap();
    header.decode(bytes, 1).unwrap()
}

impl Pixels {
    /// The pixel in column `x` and row `y`.
    pub(super) fn at(&self, x: u32, y: u32) -> &[u8] {
        let at = y as usize * self.stride() + x as usize * self.layout.channels();
        &self.data[at..at + self.layout.channels()]
    }
}

/// Fails unless two pixels look alike.
#[track_caller]
pub(super) fn like(found: &[u8], expected: &[u8], tolerance: u8) {
    let same = found.len() == expected.len();
    let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= tolerance);
    assert!(same && near, "{found:?} is not like {expected:?}");
}
