//! JPEG by mozjpeg, which shrinks while it decodes. Its errors are panics: see [`crate::guard`].

use mozjpeg::{ColorSpace, Decompress};

use super::jpeg_header::JpegHeader;
use super::{Header, Kind};
use crate::error::Error;
use crate::exif;
use crate::format::Format;
use crate::pixels::{Layout, Pixels};

pub(super) fn header(bytes: &[u8]) -> Result<Header, Error> {
    let mut header = JpegHeader::read(bytes)?;
    let orientation = header.exif.take().map(|block| exif::orientation(&block)).unwrap_or_default();
    Ok(Header {
        format: Format::Jpeg,
        width: header.width,
        height: header.height,
        orientation,
        profile: header.profile.take(),
        pixel_bytes: layout(&header).channels() as u64,
        working_bytes: if header.buffered { header.coefficient_bytes() } else { 0 },
        kind: Kind::Jpeg(header),
    })
}

fn layout(header: &JpegHeader) -> Layout {
    match header.sampling.len() {
        1 => Layout::Grey,
        4 => Layout::Cmyk,
        _ => Layout::Rgb,
    }
}

pub(super) fn decode(bytes: &[u8], header: &JpegHeader, divisor: u32) -> Result<Pixels, Error> {
    let broken = |error: std::io::Error| Error::Broken(error.to_string());
    let mut file = Decompress::new_mem(bytes).map_err(broken)?;
    let size = (header.width as usize, header.height as usize);
    if file.size() != size || file.components().len() != header.sampling.len() {
        // What was checked against the limits is not what would be decoded.
        return Err(Error::Broken("its frame is ambiguous".into()));
    }
    file.scale((8 / divisor) as u8);
    let layout = layout(header);
    let mut lines = file
        .to_colorspace(match layout {
            Layout::Grey => ColorSpace::JCS_GRAYSCALE,
            Layout::Cmyk => ColorSpace::JCS_CMYK,
            _ => ColorSpace::JCS_RGB,
        })
        .map_err(broken)?;
    let (width, height) = (lines.width(), lines.height());
    let mut data: Vec<u8> = lines.read_scanlines().map_err(broken)?;
    if data.len() != width * height * layout.channels() {
        return Err(Error::Broken("lines are missing".into()));
    }
    if layout == Layout::Cmyk && header.adobe {
        data.iter_mut().for_each(|ink| *ink = 255 - *ink);
    }
    Ok(Pixels { width: width as u32, height: height as u32, layout, data })
}
