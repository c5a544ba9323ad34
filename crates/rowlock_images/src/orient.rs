//! Turning and mirroring.

use crate::geometry::Area;
use crate::pixels::Pixels;

/// How stored pixels have to be turned to be seen upright, as Exif numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Orientation {
    /// Rows and columns are swapped, before everything else.
    transposed: bool,
    /// Left and right are swapped, of the upright image.
    mirrored: bool,
    /// Top and bottom are swapped, of the upright image.
    flipped: bool,
}

impl Orientation {
    /// Exif's value (Exif 2.32, 4.6.4 A: which edges of the scene the 0th row and the 0th column are).
    pub(crate) fn from_exif(value: u16) -> Option<Self> {
        let (transposed, mirrored, flipped) = match value {
            1 => (false, false, false),
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => return None,
        };
        Some(Self { transposed, mirrored, flipped })
    }

    /// Width and height the other way round, where the image lies on its side. Its own inverse.
    pub(crate) fn size<T>(self, width: T, height: T) -> (T, T) {
        if self.transposed { (height, width) } else { (width, height) }
    }

    /// Where an area of the upright image, `width` × `height`, lies in the stored one.
    pub(crate) fn stored(self, area: Area, width: f64, height: f64) -> Area {
        let left = if self.mirrored { width - area.left - area.width } else { area.left };
        let top = if self.flipped { height - area.top - area.height } else { area.top };
        if self.transposed {
            Area { left: top, top: left, width: area.height, height: area.width }
        } else {
            Area { left, top, ..area }
        }
    }

    /// The image upright.
    pub(crate) fn apply(self, stored: Pixels) -> Pixels {
        if self == Self::default() {
            return stored;
        }
        let channels = stored.layout.channels();
        let (width, height) = self.size(stored.width, stored.height);
        let mut data = Vec::with_capacity(stored.data.len());
        for y in 0..height {
            let y = if self.flipped { height - 1 - y } else { y };
            for x in 0..width {
                let x = if self.mirrored { width - 1 - x } else { x };
                let (column, row) = if self.transposed { (y, x) } else { (x, y) };
                let at = row as usize * stored.stride() + column as usize * channels;
                data.extend_from_slice(&stored.data[at..at + channels]);
            }
        }
        Pixels { width, height, layout: stored.layout, data }
    }
}
