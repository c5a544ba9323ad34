//! Files to pixels: first the header, which allocates nothing to speak of, then the rest.

mod jpeg;
mod jpeg_header;
mod raster;

use crate::error::Error;
use crate::format::Format;
use crate::guard::guarded;
use crate::orient::Orientation;
use crate::pixels::Pixels;

/// What a file says of itself before its pixels.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) format: Format,
    /// As stored, before it is turned.
    pub(crate) width: u32,
    /// The same.
    pub(crate) height: u32,
    pub(crate) orientation: Orientation,
    pub(crate) profile: Option<Vec<u8>>,
    /// Bytes of a pixel once it is decoded.
    pub(crate) pixel_bytes: u64,
    /// Bytes that the decoder needs beside the decoded pixels.
    pub(crate) working_bytes: u64,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Jpeg(jpeg_header::JpegHeader),
    Raster,
}

impl Header {
    /// Reads the header of a file of the given format.
    pub(crate) fn read(bytes: &[u8], format: Format) -> Result<Self, Error> {
        let header = match format {
            Format::Jpeg => jpeg::header(bytes)?,
            Format::Avif => return Err(Error::Unsupported("AVIF as a source")),
            Format::Svg => return Err(Error::Unsupported("SVG as pixels")),
            _ => guarded(|| raster::header(bytes, format)).map_err(Error::Broken)??,
        };
        if header.width == 0 || header.height == 0 {
            return Err(Error::Broken("it has no pixels".into()));
        }
        Ok(header)
    }

    /// Width times height.
    pub(crate) fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Into how many parts a side is divided while decoding, if the image is wanted `shrink` times smaller or less.
    pub(crate) fn divisor(&self, shrink: f64) -> u32 {
        match self.kind {
            Kind::Raster => 1,
            Kind::Jpeg(_) => [8, 4, 2].into_iter().find(|by| shrink >= f64::from(*by)).unwrap_or(1),
        }
    }

    /// The pixels, each side divided by `divisor` and rounded up.
    pub(crate) fn decode(&self, bytes: &[u8], divisor: u32) -> Result<Pixels, Error> {
        let pixels = guarded(|| match &self.kind {
            Kind::Jpeg(header) => jpeg::decode(bytes, header, divisor),
            Kind::Raster => raster::decode(bytes, self),
        });
        pixels.map_err(Error::Broken)?
    }
}
