//! Kinds of images, told apart by their first bytes.

use std::fmt;

/// A file format of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG; 8 bits, baseline and progressive.
    Jpeg,
    /// PNG.
    Png,
    /// WebP, lossy and lossless.
    WebP,
    /// AVIF; written, and recognised but not read.
    Avif,
    /// GIF; the first frame.
    Gif,
    /// Windows bitmaps; read, not written.
    Bmp,
    /// TIFF; read, not written.
    Tiff,
    /// Windows icons, the best of the images inside; read, not written.
    Ico,
    /// SVG; recognised, and passed through as it is.
    Svg,
}

impl Format {
    /// The media type of a file of this format, as IANA registers it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Avif => "image/avif",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Ico => "image/x-icon",
            Self::Svg => "image/svg+xml",
        }
    }

    /// The format of a file, by its first bytes; none when they are of no known image.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let begins = |magic: &[u8]| bytes.starts_with(magic);
        if begins(&[0xff, 0xd8, 0xff]) {
            Some(Self::Jpeg)
        } else if begins(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if begins(b"GIF87a") || begins(b"GIF89a") {
            Some(Self::Gif)
        } else if begins(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Self::WebP)
        } else if begins(b"BM") && bytes.get(6..10) == Some(&[0; 4]) {
            Some(Self::Bmp)
        } else if begins(b"II*\0") || begins(b"MM\0*") {
            Some(Self::Tiff)
        } else if begins(&[0, 0, 1, 0]) && bytes.get(4..6).is_some_and(|count| count != [0, 0]) {
            Some(Self::Ico)
        } else if bytes.get(4..8) == Some(b"ftyp") {
            is_avif(bytes).then_some(Self::Avif)
        } else {
            is_svg(bytes).then_some(Self::Svg)
        }
    }

    /// Whether [`render`](crate::render) writes this format.
    #[must_use]
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::WebP | Self::Avif | Self::Gif)
    }

    /// Whether files of this format can be partly transparent.
    pub(crate) const fn has_alpha(self) -> bool {
        !matches!(self, Self::Jpeg)
    }

    /// The longest side that a file of this format can have.
    pub(crate) const fn max_side(self) -> u32 {
        match self {
            Self::WebP => 16_383,
            Self::Avif => 16_384,
            Self::Jpeg => 65_500,
            _ => 65_535,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Avif => "AVIF",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Ico => "ICO",
            Self::Svg => "SVG",
        })
    }
}

/// Whether the file's brands, the major one and the compatible ones, hold AVIF's (ISO/IEC 23000-22).
fn is_avif(bytes: &[u8]) -> bool {
    let length = bytes.get(..4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let end = (length as usize).clamp(16, 256).min(bytes.len());
    bytes
        .get(8..end)
        .unwrap_or_default()
        .chunks_exact(4)
        .any(|brand| matches!(brand, b"avif" | b"avis"))
}

/// Whether the first element is `svg`. What may stand before it: a byte order mark, white space, declarations, comments.
fn is_svg(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(32 * 1024)];
    let mut rest = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    loop {
        rest = rest.trim_ascii_start();
        let end = if rest.starts_with(b"<!--") {
            memchr::memmem::find(rest, b"-->").map(|at| at + 3)
        } else if rest.starts_with(b"<?") {
            memchr::memmem::find(rest, b"?>").map(|at| at + 2)
        } else if rest.starts_with(b"<!") {
            end_of_declaration(rest)
        } else {
            let name = rest.strip_prefix(b"<").unwrap_or_default();
            let end = name.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'));
            let name = &name[..end.unwrap_or(0)];
            return name == b"svg" || name.ends_with(b":svg");
        };
        match end {
            Some(end) => rest = &rest[end..],
            None => return false,
        }
    }
}

/// Behind a `<!DOCTYPE …>`, whose internal subset may hold declarations of its own.
fn end_of_declaration(text: &[u8]) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' if depth == 1 => return Some(at + 1),
            b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}
