//! JPEG by mozjpeg, with its fast settings: the slow ones save some per cent of the bytes for many times the work.

use mozjpeg::{ColorSpace, Compress};

use crate::pixels::{Layout, Pixels};

pub(super) fn encode(image: &Pixels, quality: u8) -> Result<Vec<u8>, String> {
    let space = match image.layout {
        Layout::Grey => ColorSpace::JCS_GRAYSCALE,
        Layout::Rgb => ColorSpace::JCS_RGB,
        _ => return Err("not the pixels of a JPEG".into()),
    };
    let mut settings = Compress::new(space);
    settings.set_size(image.width as usize, image.height as usize);
    settings.set_fastest_defaults();
    settings.set_optimize_coding(true);
    settings.set_quality(f32::from(quality));
    let mut file = settings.start_compress(Vec::new()).map_err(|error| error.to_string())?;
    file.write_scanlines(&image.data).map_err(|error| error.to_string())?;
    file.finish().map_err(|error| error.to_string())
}
