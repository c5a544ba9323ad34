//! The one field of Exif that matters here.

use crate::orient::Orientation;

const ORIENTATION: u16 = 0x0112;

/// The orientation that an Exif block (TIFF 6.0; Exif 2.32, 4.6.4) asks for; upright when it says nothing or nonsense.
pub(crate) fn orientation(block: &[u8]) -> Orientation {
    read(block).and_then(Orientation::from_exif).unwrap_or_default()
}

fn read(block: &[u8]) -> Option<u16> {
    let big = match block.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let two = |at: usize| -> Option<u16> {
        let bytes = [*block.get(at)?, *block.get(at.checked_add(1)?)?];
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let (first, second) = (usize::from(two(4)?), usize::from(two(6)?));
    let start = if big { first << 16 | second } else { second << 16 | first };
    let entries = usize::from(two(start)?);
    let found =
        (0..entries).map(|i| start + 2 + i * 12).find(|at| two(*at) == Some(ORIENTATION))?;
    // Type SHORT, one value, in the first two bytes of the entry's value.
    (two(found + 2)? == 3).then(|| two(found + 8)).flatten()
}
