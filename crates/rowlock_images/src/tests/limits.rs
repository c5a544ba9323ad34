//! What is refused by its header.

use super::support::{file, jpeg, slope};
use crate::{Error, Format, Limits, Options, inspect, render};

/// A file whose header claims another size than it has: `at` is where width and height stand.
fn claiming(mut file: Vec<u8>, at: usize, size: &[u8]) -> Vec<u8> {
    file[at..at + size.len()].copy_from_slice(size);
    file
}

/// The check of a PNG's first chunk, so that the lie is not seen by it.
fn png_claiming(width: u32, height: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let encoder = png::Encoder::new(&mut out, width, height);
    // The header is all that is written.
    drop(encoder.write_header());
    out.truncate(33);
    // An image chunk that holds next to nothing.
    out.extend([&[0, 0, 0, 2], b"IDAT\x78\x9c".as_slice(), &[0x0d, 0x57, 0x4a, 0x28]].concat());
    out
}

#[test]
fn bombs_are_refused_by_their_header() {
    let image = slope(16, 16);
    let gif = claiming(file(&image, Format::Gif), 6, &[0x60, 0xea, 0x60, 0xea]);
    let frame = jpeg(&image, &[], false);
    let at = memchr::memmem::find(&frame, &[0xff, 0xc0]).unwrap();
    let jpeg = claiming(frame, at + 5, &[0xea, 0x60, 0xea, 0x60]);
    for bomb in [png_claiming(60_000, 60_000), gif, jpeg] {
        let limits = Limits::default();
        let found = inspect(&bomb, &limits);
        assert!(
            matches!(found, Err(Error::TooManyPixels { pixels: 3_600_000_000, limit: 50_000_000 })),
            "{found:?}"
        );
        let result = render(&bomb, &Options::default(), &limits);
        assert!(matches!(result, Err(Error::TooManyPixels { .. })));
    }
}

#[test]
fn a_size_that_is_allowed_and_not_there_is_an_error() {
    let result = render(&png_claiming(3000, 3000), &Options::default(), &Limits::default());
    assert!(matches!(result, Err(Error::Broken(_))), "{result:?}");
}

#[test]
fn limits_are_inclusive() {
    let source = file(&slope(40, 30), Format::Png);
    let exact = Limits { max_pixels: 1200, max_bytes: source.len() as u64 };
    assert!(inspect(&source, &exact).is_ok());
    let fewer = Limits { max_pixels: 1199, ..exact };
    assert!(matches!(inspect(&source, &fewer), Err(Error::TooManyPixels { pixels: 1200, .. })));
    let smaller = Limits { max_bytes: exact.max_bytes - 1, ..exact };
    assert!(matches!(inspect(&source, &smaller), Err(Error::TooLarge { .. })));
}

#[test]
fn what_is_no_image_is_told_apart_from_what_is_broken() {
    let limits = Limits::default();
    for text in [b"".as_slice(), b"hello", b"%PDF-1.7", &[0; 100]] {
        assert!(matches!(inspect(text, &limits), Err(Error::NotAnImage)));
    }
    for format in [Format::Png, Format::Jpeg, Format::Gif, Format::WebP] {
        let whole = file(&slope(30, 30), format);
        let found = inspect(&whole[..14], &limits);
        assert!(matches!(found, Err(Error::Broken(_))), "{format}: {found:?}");
    }
}

#[test]
fn a_jpeg_that_becomes_small_costs_little() {
    let limits = Limits::default();
    let source = file(&slope(1600, 1200), Format::Jpeg);
    let found = inspect(&source, &limits).unwrap();
    let pixels = 1600 * 1200;
    assert!(found.cost_bytes > 3 * pixels && found.cost_bytes < 40 * pixels);
    let small = Options { width: Some(100), ..Options::default() };
    assert!(found.cost(&small) < 4 * pixels);
    assert!(found.cost(&small) < found.cost_bytes / 4);
    // All coefficients of a progressive one have to be kept, whatever becomes of it.
    let source = jpeg(&slope(1600, 1200), &[], true);
    let found = inspect(&source, &limits).unwrap();
    assert!(found.cost(&small) > 6 * pixels);
}

#[test]
fn a_jpeg_of_endless_scans_is_refused() {
    let source = jpeg(&slope(64, 64), &[], true);
    let at = memchr::memmem::find_iter(&source, &[0xff, 0xda]).last().unwrap();
    let (head, scan) = source.split_at(at);
    let scan = &scan[..scan.len() - 2];
    let endless = [head, &scan.repeat(200), &[0xff, 0xd9]].concat();
    let found = inspect(&endless, &Limits::default());
    assert!(matches!(found, Err(Error::Unsupported(_))), "{found:?}");
}

#[test]
fn a_jpeg_of_a_scan_for_each_colour_costs_as_much_as_a_progressive_one() {
    let limits = Limits::default();
    let source = jpeg(&slope(1600, 1200), &[], false);
    let at = memchr::memmem::find(&source, &[0xff, 0xda]).unwrap();
    // Length, number of colours, and two bytes for each.
    assert_eq!(source[at + 2..at + 5], [0, 12, 3]);
    let one = [&source[..at], &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0], &source[at + 14..]].concat();
    let small = Options { width: Some(100), ..Options::default() };
    let [plain, split] = [source, one].map(|it| inspect(&it, &limits).unwrap().cost(&small));
    assert!(split >= plain + 6 * 1600 * 1200, "{split} is not far above {plain}");
}

#[test]
fn a_gif_whose_frame_is_larger_than_its_screen_is_refused() {
    let source = file(&slope(16, 16), Format::Gif);
    let at = memchr::memmem::find(&source, b"\x2c\0\0\0\0\x10\0\x10\0").unwrap();
    let bomb = claiming(source, at + 5, &[0x60, 0xea, 0x60, 0xea]);
    let result = render(&bomb, &Options::default(), &Limits::default());
    assert!(matches!(result, Err(Error::Broken(_))), "{result:?}");
}
