//! Files that were damaged, by accident or by intent.

use super::support::{by_image, drawn, exif, file, icc, jpeg, slope};
use crate::pixels::{Layout, Pixels};
use crate::{Error, Format, Gravity, Limits, Options, Resize, Wanted, inspect, render};

/// Marsaglia's xorshift: the same damage every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn damaged(&mut self, file: &[u8]) -> Vec<u8> {
        let mut file = file.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(file.len());
            match self.below(6) {
                0 => file.truncate(at.max(12)),
                1 => drop(file.splice(at..at, [self.below(256) as u8; 3])),
                2 => drop(file.drain(at..(at + self.below(8)).min(file.len()))),
                3 => file[at] = [0x00, 0xff, 0x7f, 0x80][self.below(4)],
                // Headers are where it hurts.
                4 => {
                    let at = at % 64.min(file.len());
                    file[at] = self.below(256) as u8;
                }
                _ => file[at] ^= 1 << self.below(8),
            }
            if file.is_empty() {
                file.push(0);
            }
        }
        file
    }
}

fn survives(sources: &[Vec<u8>], rounds: usize) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let limits = Limits { max_pixels: 200_000, max_bytes: 100_000 };
    let (mut rendered, mut refused) = (0, 0);
    for source in sources {
        assert!(inspect(source, &limits).is_ok());
        for _ in 0..rounds {
            let file = dice.damaged(source);
            let wish = Options {
                width: Some(dice.below(40) as u32),
                height: Some(dice.below(40) as u32),
                resize: [Resize::Cover, Resize::Contain, Resize::Fill][dice.below(3)],
                gravity: [Gravity::Smart, Gravity::SouthEast][dice.below(2)],
                format: Wanted::As([Format::Jpeg, Format::Png][dice.below(2)]),
                ..Options::default()
            };
            let found = inspect(&file, &limits);
            match render(&file, &wish, &limits) {
                Ok(result) => {
                    let found = found.unwrap();
                    assert!(result.width <= found.width && result.height <= found.height);
                    assert_eq!(Format::of(&result.bytes), Some(result.format));
                    rendered += 1;
                }
                Err(Error::Encode(error)) => panic!("not the source's fault: {error}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(rendered > 0 && refused > 0, "{rendered} rendered, {refused} refused");
}

#[test]
fn damaged_jpegs() {
    let profile = icc(&moxcms::ColorProfile::new_display_p3());
    let inks = Pixels { width: 20, height: 20, layout: Layout::Cmyk, data: vec![90; 1600] };
    survives(
        &[
            jpeg(&slope(40, 30), &[(1, &exif(6))], false),
            jpeg(&slope(40, 30), &[(2, &profile)], true),
            file(&slope(33, 17), Format::Jpeg),
            jpeg(&inks, &[], false),
            jpeg(&drawn(20, 20, |x, y| [(x * y) as u8]), &[], true),
        ],
        800,
    );
}

#[test]
fn damaged_pngs() {
    let clear = drawn(24, 24, |x, y| [x as u8 * 9, y as u8 * 9, 9, (x * y) as u8]);
    survives(&[file(&slope(30, 20), Format::Png), file(&clear, Format::Png)], 1500);
}

#[test]
fn damaged_webps() {
    let clear = drawn(24, 24, |x, y| [x as u8 * 9, y as u8 * 9, 9, (x * y) as u8]);
    let lossless = webp::Encoder::from_rgba(&clear.data, 24, 24).encode_lossless().to_vec();
    survives(&[file(&slope(30, 20), Format::WebP), file(&clear, Format::WebP), lossless], 1000);
}

#[test]
fn damaged_gifs() {
    let clear = drawn(24, 24, |x, y| [x as u8 * 9, y as u8 * 9, 9, (x * y) as u8]);
    survives(&[file(&slope(30, 20), Format::Gif), file(&clear, Format::Gif)], 1500);
}

#[test]
fn damaged_files_of_other_kinds() {
    let kinds = [image::ImageFormat::Bmp, image::ImageFormat::Tiff, image::ImageFormat::Ico];
    let sources = kinds.map(|kind| by_image(&slope(24, 20), kind));
    survives(&sources, 1000);
}

#[test]
fn a_jpeg_that_ends_early_is_shown_as_far_as_it_goes() {
    let whole = jpeg(&slope(64, 64), &[], false);
    let result =
        render(&whole[..whole.len() * 3 / 4], &Options::default(), &Limits::default()).unwrap();
    let image = super::support::pixels(&result.bytes);
    super::support::like(image.at(2, 2), &[8, 8, 128], 10);
}
