//! Orientation.

use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::support::{BLUE, GREEN, RED, YELLOW, exif, jpeg, like, quarters, render, seen};
use crate::{Gravity, Limits, Options, Resize, inspect};

/// The colours of the corners that each orientation shows: upper left, upper right, lower left, lower right.
const SHOWN: [[[u8; 3]; 4]; 8] = [
    [RED, GREEN, BLUE, YELLOW],
    [GREEN, RED, YELLOW, BLUE],
    [YELLOW, BLUE, GREEN, RED],
    [BLUE, YELLOW, RED, GREEN],
    [RED, BLUE, GREEN, YELLOW],
    [BLUE, RED, YELLOW, GREEN],
    [YELLOW, GREEN, BLUE, RED],
    [GREEN, YELLOW, RED, BLUE],
];

#[test]
fn images_are_turned_upright() {
    for (orientation, corners) in (1..).zip(SHOWN) {
        let source = jpeg(&quarters(120, 60), &[(1, &exif(orientation))], false);
        let upright = if orientation < 5 { (120, 60) } else { (60, 120) };
        let found = inspect(&source, &Limits::default()).unwrap();
        assert_eq!((found.width, found.height), upright);
        // As large as it is, half as large, and decoded at a quarter.
        for part in [1, 2, 4] {
            let (width, height) = (upright.0 / part, upright.1 / part);
            let image = seen(&source, &Options { width: Some(width), ..Options::default() });
            assert_eq!((image.width, image.height), (width, height), "orientation {orientation}");
            let (left, right) = (width / 5, width * 4 / 5);
            let (top, bottom) = (height / 5, height * 4 / 5);
            let places = [(left, top), (right, top), (left, bottom), (right, bottom)];
            for ((x, y), colour) in places.into_iter().zip(corners) {
                like(image.at(x, y), &colour, 14);
            }
        }
    }
}

#[test]
fn gravity_and_size_speak_of_the_upright_image() {
    for (orientation, [_, right, ..]) in (1..).zip(SHOWN) {
        let source = jpeg(&quarters(240, 120), &[(1, &exif(orientation))], false);
        let wish = Options {
            width: Some(20),
            height: Some(20),
            gravity: Gravity::NorthEast,
            ..Options::default()
        };
        let image = seen(&source, &wish);
        like(image.at(18, 2), &right, 14);
        let wish = Options { width: Some(40), height: Some(40), resize: Resize::Contain, ..wish };
        let result = render(&source, &wish).unwrap();
        let expected = if orientation < 5 { (40, 20) } else { (20, 40) };
        assert_eq!((result.width, result.height), expected);
    }
}

#[test]
fn metadata_is_left_out() {
    let source = jpeg(&quarters(40, 20), &[(1, &exif(6)), (13, b"Photoshop 3.0\0secret")], false);
    let result = render(&source, &Options::default()).unwrap().bytes;
    for trace in [b"Exif".as_slice(), b"secret", b"ICC_PROFILE"] {
        assert_eq!(memchr::memmem::find(&result, trace), None);
    }
}

#[test]
fn nonsense_for_an_orientation_leaves_the_image_as_it_is() {
    let cut = exif(6);
    for block in [exif(0), exif(9), exif(200), cut[..20].to_vec(), b"Exif\0\0XX\0*".to_vec()] {
        let source = jpeg(&quarters(40, 20), &[(1, &block)], false);
        let image = seen(&source, &Options::default());
        assert_eq!((image.width, image.height), (40, 20));
    }
}

#[test]
fn little_endian_exif_is_read_too() {
    let mut block = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0".to_vec();
    block.extend([0; 4]);
    let image = seen(&jpeg(&quarters(40, 20), &[(1, &block)], false), &Options::default());
    assert_eq!((image.width, image.height), (20, 40));
}

#[test]
fn other_formats_are_turned_too() {
    let image = quarters(40, 20);
    let (mut png, mut webp) = (Vec::new(), Vec::new());
    fn write(mut encoder: impl ImageEncoder, image: &[u8]) {
        encoder.set_exif_metadata(exif(6)[6..].to_vec()).unwrap();
        encoder.write_image(image, 40, 20, ExtendedColorType::Rgb8).unwrap();
    }
    write(PngEncoder::new(&mut png), &image.data);
    write(WebPEncoder::new_lossless(&mut webp), &image.data);
    for file in [png, webp] {
        let image = seen(&file, &Options::default());
        assert_eq!((image.width, image.height), (20, 40));
        like(image.at(2, 2), &BLUE, 2);
        like(image.at(17, 2), &RED, 2);
    }
}
