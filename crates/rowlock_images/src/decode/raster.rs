//! All formats that are decoded by Rust alone, through the `image` crate.

use std::io::Cursor;

use image::codecs::{bmp, gif, ico, png, tiff, webp};
use image::{ColorType, ImageDecoder, ImageError, Limits};

use super::{Header, Kind};
use crate::error::Error;
use crate::format::Format;
use crate::orient::Orientation;
use crate::pixels::{Layout, Pixels};

type Decoder<'a> = Box<dyn ImageDecoder + 'a>;

/// What a decoder may allocate for metadata and tables, beside the pixels.
const SUNDRIES: u64 = 32 * 1024 * 1024;

fn open(bytes: &[u8], format: Format) -> Result<Decoder<'_>, Error> {
    let from = Cursor::new(bytes);
    Ok(match format {
        Format::Png => open_png(bytes)?,
        Format::Gif => Box::new(gif::GifDecoder::new(from).map_err(broken)?),
        Format::WebP => Box::new(webp::WebPDecoder::new(from).map_err(broken)?),
        Format::Bmp => Box::new(bmp::BmpDecoder::new(from).map_err(broken)?),
        Format::Tiff => Box::new(tiff::TiffDecoder::new(from).map_err(broken)?),
        Format::Ico => match png_in_ico(bytes) {
            Some(png) => open_png(png)?,
            None => Box::new(ico::IcoDecoder::new(from).map_err(broken)?),
        },
        _ => return Err(Error::NotAnImage),
    })
}

fn open_png(bytes: &[u8]) -> Result<Decoder<'_>, Error> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(SUNDRIES);
    Ok(Box::new(png::PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(broken)?))
}

/// The largest PNG that an icon holds. [`ico::IcoDecoder`] must see none: it opens them without a
/// limit to what their metadata unpack to.
fn png_in_ico(bytes: &[u8]) -> Option<&[u8]> {
    const HEAD: usize = 6;
    const ENTRY: usize = 16;
    let count = usize::from(u16::from_le_bytes(bytes.get(4..HEAD)?.try_into().ok()?));
    let entries = bytes[HEAD..].chunks_exact(ENTRY).take(count);
    let pngs = entries.filter_map(|entry| {
        let at = u32::from_le_bytes(entry[12..].try_into().ok()?);
        let png = bytes.get(usize::try_from(at).ok()?..)?;
        // A width of 0 stands for 256.
        png.starts_with(b"\x89PNG\r\n\x1a\n").then_some((entry[0].wrapping_sub(1), png))
    });
    pngs.max_by_key(|(width, _)| *width).map(|(_, png)| png)
}

fn broken(error: ImageError) -> Error {
    match error {
        ImageError::Unsupported(_) => Error::Unsupported("a variant that has no decoder"),
        error => Error::Broken(error.to_string()),
    }
}

pub(super) fn header(bytes: &[u8], format: Format) -> Result<Header, Error> {
    let mut decoder = open(bytes, format)?;
    let (width, height) = decoder.dimensions();
    let stored = u64::from(decoder.color_type().bytes_per_pixel());
    let (layout, _) = layout(decoder.color_type())?;
    let pixels = u64::from(width) * u64::from(height);
    // Metadata that cannot be read is no reason to refuse what can be seen.
    let profile = decoder.icc_profile().ok().flatten();
    let orientation = decoder.orientation().ok().map(|it| u16::from(it.to_exif()));
    Ok(Header {
        format,
        width,
        height,
        orientation: orientation.and_then(Orientation::from_exif).unwrap_or_default(),
        profile,
        pixel_bytes: layout.channels() as u64,
        working_bytes: pixels * (stored - layout.channels() as u64) + pixels * planes(format),
        kind: Kind::Raster,
    })
}

/// Bytes for each pixel that decoders keep of their own.
const fn planes(format: Format) -> u64 {
    match format {
        // Y, U and V beside the result; lossless images keep a second copy.
        Format::WebP => 4,
        // The frame's indices or colours beside the canvas.
        Format::Gif => 4,
        Format::Ico | Format::Tiff => 4,
        _ => 0,
    }
}

fn layout(colour: ColorType) -> Result<(Layout, u8), Error> {
    Ok(match colour {
        ColorType::L8 => (Layout::Grey, 8),
        ColorType::La8 => (Layout::GreyAlpha, 8),
        ColorType::Rgb8 => (Layout::Rgb, 8),
        ColorType::Rgba8 => (Layout::Rgba, 8),
        ColorType::L16 => (Layout::Grey, 16),
        ColorType::La16 => (Layout::GreyAlpha, 16),
        ColorType::Rgb16 => (Layout::Rgb, 16),
        ColorType::Rgba16 => (Layout::Rgba, 16),
        ColorType::Rgb32F => (Layout::Rgb, 32),
        ColorType::Rgba32F => (Layout::Rgba, 32),
        _ => return Err(Error::Unsupported("pixels of an unknown kind")),
    })
}

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Pixels, Error> {
    let mut decoder = open(bytes, header.format)?;
    let (width, height) = decoder.dimensions();
    let (layout, depth) = layout(decoder.color_type())?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(SUNDRIES + header.pixels() * (header.pixel_bytes + 12));
    decoder.set_limits(limits).map_err(broken)?;
    let stored = decoder.total_bytes();
    if stored != header.pixels() * u64::from(decoder.color_type().bytes_per_pixel()) {
        return Err(Error::Broken("its size is ambiguous".into()));
    }
    let mut data = vec![0; stored as usize];
    decoder.read_image(&mut data).map_err(broken)?;
    match depth {
        16 => narrow(&mut data, |it: [u8; 2]| {
            ((u32::from(u16::from_ne_bytes(it)) * 255 + 32_767) / 65_535) as u8
        }),
        // What is no number becomes 0.
        32 => narrow(&mut data, |it: [u8; 4]| {
            (f32::from_ne_bytes(it).clamp(0.0, 1.0) * 255.0).round() as u8
        }),
        _ => {}
    }
    Ok(Pixels { width, height, layout, data })
}

/// Makes every N bytes one, in place.
fn narrow<const N: usize>(data: &mut Vec<u8>, value: impl Fn([u8; N]) -> u8) {
    let values = data.len() / N;
    for at in 0..values {
        let mut wide = [0; N];
        wide.copy_from_slice(&data[at * N..(at + 1) * N]);
        data[at] = value(wide);
    }
    data.truncate(values);
    data.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder};

    fn icon_of(pngs: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut icon = vec![0, 0, 1, 0, pngs.len() as u8, 0];
        let mut at = (6 + 16 * pngs.len()) as u32;
        for (side, png) in pngs {
            let size = png.len() as u32;
            icon.extend([*side, *side, 0, 0, 1, 0, 32, 0]);
            icon.extend([size.to_le_bytes(), at.to_le_bytes()].concat());
            at += size;
        }
        icon.extend(pngs.iter().flat_map(|(_, png)| png));
        icon
    }

    fn png(side: u32, profile: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::PngEncoder::new(&mut out);
        if profile > 0 {
            encoder.set_icc_profile(vec![0; profile]).unwrap();
        }
        let data = vec![9; (side * side * 4) as usize];
        encoder.write_image(&data, side, side, ExtendedColorType::Rgba8).unwrap();
        out
    }

    #[test]
    fn a_profile_inside_an_icon_is_not_unpacked_beyond_what_is_allowed() {
        let size = |bytes: &[u8]| {
            header(bytes, Format::Ico).map(|it| (it.width, it.profile.map(|it| it.len())))
        };
        assert_eq!(size(&icon_of(&[(16, png(16, 1000))])).unwrap(), (16, Some(1000)));
        let bomb = icon_of(&[(16, png(16, 2 * SUNDRIES as usize))]);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(size(&bomb).unwrap(), (16, None));
        let header = header(&bomb, Format::Ico).unwrap();
        assert_eq!(decode(&bomb, &header).unwrap().data, vec![9; 16 * 16 * 4]);
    }

    #[test]
    fn the_largest_of_an_icon_is_shown() {
        let icon = icon_of(&[(16, png(16, 0)), (0, png(256, 0)), (32, png(32, 0))]);
        assert_eq!(header(&icon, Format::Ico).unwrap().width, 256);
        // An entry that points behind the end is none.
        let mut cut = icon_of(&[(16, png(16, 0)), (32, png(32, 0))]);
        cut[6 + 16 + 12..6 + 16 + 16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(header(&cut, Format::Ico).unwrap().width, 16);
    }
}
