//! The markers of a JPEG (ITU-T T.81, annex B) up to its first scan.

use crate::error::Error;

/// Progressive images come in some ten scans. A file of a few bytes each could hold millions, every one of them a walk over
/// the whole image.
const MAX_SCANS: usize = 100;

/// What the markers say.
#[derive(Debug, Clone, Default)]
pub(crate) struct JpegHeader {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Horizontal and vertical sampling factor of each component.
    pub(crate) sampling: Vec<(u8, u8)>,
    /// Whether there is more than one scan, so that all coefficients have to be in memory before the first pixel is known:
    /// always if the image is progressive.
    pub(crate) buffered: bool,
    /// Whether Adobe's marker is there, whose inks are stored as their absence.
    pub(crate) adobe: bool,
    pub(crate) exif: Option<Vec<u8>>,
    pub(crate) profile: Option<Vec<u8>>,
}

impl JpegHeader {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let broken = |what: &str| Error::Broken(what.to_owned());
        let mut header = Self::default();
        let mut profile: Vec<(u8, &[u8])> = Vec::new();
        let mut rest = bytes.get(2..).unwrap_or_default();
        loop {
            // Any bytes may stand before a marker, as libjpeg has it.
            let at = memchr::memchr(0xff, rest).ok_or_else(|| broken("it has no scan"))?;
            rest = rest[at..].trim_start_with(0xff);
            let Some((marker, behind)) = rest.split_first() else {
                return Err(broken("it has no scan"));
            };
            rest = behind;
            if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
                continue;
            }
            if *marker == 0xd9 {
                return Err(broken("it has no scan"));
            }
            let length = rest.get(..2).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
            let segment = rest.get(2..length).ok_or_else(|| broken("a marker is cut off"))?;
            match marker {
                0xc4 | 0xc8 | 0xcc => {}
                0xc0..=0xcf => header.frame(*marker, segment)?,
                0xda => {
                    let colours = segment.first().copied().unwrap_or_default();
                    header.buffered |= usize::from(colours) < header.sampling.len();
                    break;
                }
                0xe1 if header.exif.is_none() => {
                    header.exif = segment.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec);
                }
                0xe2 => {
                    if let Some([number, _count, part @ ..]) =
                        segment.strip_prefix(b"ICC_PROFILE\0")
                    {
                        profile.push((*number, part));
                    }
                }
                0xee => header.adobe |= segment.starts_with(b"Adobe"),
                _ => {}
            }
            rest = &rest[length..];
        }
        if header.sampling.is_empty() {
            return Err(broken("its scan comes before its frame"));
        }
        if header.buffered && scans(rest) > MAX_SCANS {
            return Err(Error::Unsupported("a JPEG of more than a hundred scans"));
        }
        profile.sort_by_key(|(number, _)| *number);
        if !profile.is_empty() {
            header.profile =
                Some(profile.iter().flat_map(|(_, part)| part.iter().copied()).collect());
        }
        Ok(header)
    }

    /// A frame header, B.2.2.
    fn frame(&mut self, marker: u8, segment: &[u8]) -> Result<(), Error> {
        let [precision, h1, h0, w1, w0, count, components @ ..] = segment else {
            return Err(Error::Broken("its frame is cut off".into()));
        };
        if !self.sampling.is_empty() {
            return Err(Error::Broken("it has two frames".into()));
        }
        if !matches!(marker, 0xc0..=0xc2) {
            return Err(Error::Unsupported("a lossless or arithmetic JPEG"));
        }
        if *precision != 8 {
            return Err(Error::Unsupported("a JPEG of more than 8 bits"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Error::Unsupported("a JPEG of neither one, three nor four colours"));
        }
        self.height = u32::from(u16::from_be_bytes([*h1, *h0]));
        self.width = u32::from(u16::from_be_bytes([*w1, *w0]));
        self.buffered = marker == 0xc2;
        let components = components.chunks_exact(3).take(usize::from(*count));
        self.sampling = components.map(|it| (it[1] >> 4, it[1] & 15)).collect();
        if self.sampling.len() != usize::from(*count) {
            return Err(Error::Broken("its frame is cut off".into()));
        }
        if self.sampling.iter().any(|(h, v)| !(1..=4).contains(h) || !(1..=4).contains(v)) {
            return Err(Error::Broken("its sampling factors are out of range".into()));
        }
        Ok(())
    }

    /// Bytes of all coefficients of the image, two for each.
    pub(crate) fn coefficient_bytes(&self) -> u64 {
        let most = |pick: fn(&(u8, u8)) -> u8| {
            u64::from(self.sampling.iter().map(pick).max().unwrap_or(1))
        };
        let (across, down) = (most(|it| it.0), most(|it| it.1));
        let units =
            u64::from(self.width).div_ceil(8 * across) * u64::from(self.height).div_ceil(8 * down);
        let blocks: u64 = self.sampling.iter().map(|(h, v)| u64::from(*h) * u64::from(*v)).sum();
        units * blocks * 128
    }
}

/// How many scans begin in the rest of the file, at most.
fn scans(rest: &[u8]) -> usize {
    1 + memchr::memmem::find_iter(rest, &[0xff, 0xda]).take(MAX_SCANS).count()
}

trait Trim {
    fn trim_start_with(&self, byte: u8) -> &[u8];
}

impl Trim for [u8] {
    fn trim_start_with(&self, byte: u8) -> &[u8] {
        let begin = self.iter().position(|it| *it != byte).unwrap_or(self.len());
        &self[begin..]
    }
}
