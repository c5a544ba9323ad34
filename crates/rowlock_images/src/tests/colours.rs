//! Profiles, inks, depth, palettes and transparency.

use moxcms::{ColorProfile, ToneReprCurve};

use super::support::{drawn, file, icc, jpeg, like, render, seen};
use crate::pixels::{Layout, Pixels};
use crate::{Format, Options, Wanted};

fn small() -> Options {
    Options { width: Some(8), ..Options::default() }
}

/// Red, green and blue between 0 and 1 of Display P3 as sRGB, by the matrices of both (SMPTE EG 432-1, IEC 61966-2-1).
fn from_p3([r, g, b]: [f64; 3]) -> [u8; 3] {
    let linear = |v: f64| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
    let gamma =
        |v: f64| if v <= 0.003_130_8 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
    let (r, g, b) = (linear(r), linear(g), linear(b));
    let mixed = [
        1.224_94 * r - 0.224_94 * g,
        -0.042_06 * r + 1.042_06 * g,
        -0.019_64 * r - 0.078_64 * g + 1.098_27 * b,
    ];
    mixed.map(|v| (gamma(v.clamp(0.0, 1.0)) * 255.0).round() as u8)
}

#[test]
fn profiles_are_applied() {
    let profile = icc(&ColorProfile::new_display_p3());
    for colour in [[200, 100, 50], [40, 180, 60], [90, 90, 90], [30, 60, 200]] {
        let plain = drawn(32, 32, |_, _| colour);
        let image = seen(&jpeg(&plain, &[(2, &profile)], false), &small());
        let expected = from_p3(colour.map(|it| f64::from(it) / 255.0));
        like(image.at(4, 4), &expected, 3);
        like(seen(&jpeg(&plain, &[], false), &small()).at(4, 4), &colour, 2);
    }
}

#[test]
fn a_grey_images_profile_is_applied() {
    let mut profile = ColorProfile::new_gray_with_gamma(1.0);
    profile.gray_trc.get_or_insert(ToneReprCurve::Parametric(vec![1.0]));
    let plain = drawn(32, 32, |_, _| [128]);
    let image = seen(&jpeg(&plain, &[(2, &icc(&profile))], false), &small());
    // Half the light is 188 in sRGB.
    like(&image.at(4, 4)[..1], &[188], 3);
}

#[test]
fn profiles_that_do_not_fit_are_ignored() {
    let plain = drawn(32, 32, |_, _| [200, 100, 50]);
    let grey = icc(&ColorProfile::new_gray_with_gamma(1.0));
    let cut = &icc(&ColorProfile::new_display_p3())[..60];
    for profile in [grey.as_slice(), cut, b"ICC_PROFILE\0\x01\x01nonsense"] {
        like(seen(&jpeg(&plain, &[(2, profile)], false), &small()).at(4, 4), &[200, 100, 50], 2);
    }
}

#[test]
fn inks_become_light() {
    for (ink, light) in [
        ([0, 0, 0, 0], [255, 255, 255]),
        ([255, 0, 0, 0], [0, 255, 255]),
        ([0, 255, 255, 0], [255, 0, 0]),
        ([0, 0, 0, 255], [0, 0, 0]),
        ([0, 128, 0, 128], [127, 63, 127]),
    ] {
        // As Adobe's programs do, libjpeg stores the absence of ink and says so.
        let stored: Vec<u8> = ink.map(|it: u8| 255 - it).repeat(32 * 32);
        let plain = Pixels { width: 32, height: 32, layout: Layout::Cmyk, data: stored };
        let source = jpeg(&plain, &[], false);
        like(seen(&source, &Options::default()).at(4, 4), &light, 4);
        let result = render(&source, &small()).unwrap();
        assert_eq!((result.format, result.width), (Format::Jpeg, 8));
        like(super::support::pixels(&result.bytes).at(4, 4), &light, 4);
    }
}

#[test]
fn grey_stays_grey() {
    let plain = drawn(40, 40, |x, _| [if x < 20 { 30 } else { 200 }]);
    for format in [Format::Jpeg, Format::Png] {
        let result = render(&file(&plain, format), &small()).unwrap();
        let image = super::support::pixels(&result.bytes);
        assert_eq!(image.layout, Layout::Grey);
        like(image.at(0, 3), &[30], 6);
        like(image.at(7, 3), &[200], 6);
    }
    for format in [Format::WebP, Format::Gif, Format::Avif] {
        let wish = Options { width: Some(20), format: Wanted::As(format), ..Options::default() };
        let result = render(&file(&plain, Format::Png), &wish).unwrap();
        assert_eq!(result.format, format);
        if format != Format::Avif {
            like(&super::support::pixels(&result.bytes).at(18, 3)[..3], &[200; 3], 6);
        }
    }
}

#[test]
fn transparency_stays_where_it_can_and_lies_on_white_where_it_cannot() {
    let half = drawn(40, 40, |x, _| [255, 0, 0, if x < 20 { 0 } else { 128 }]);
    let source = file(&half, Format::Png);
    for format in [Format::Png, Format::WebP] {
        let wish = Options { width: Some(20), format: Wanted::As(format), ..Options::default() };
        let image = super::support::pixels(&render(&source, &wish).unwrap().bytes);
        assert_eq!(image.layout, Layout::Rgba);
        assert_eq!(image.at(2, 9)[3], 0);
        like(&image.at(17, 9)[3..], &[128], 2);
        like(&image.at(17, 9)[..3], &[255, 0, 0], 8);
    }
    let wish = Options { width: Some(20), format: Wanted::As(Format::Jpeg), ..Options::default() };
    let image = super::support::pixels(&render(&source, &wish).unwrap().bytes);
    like(image.at(2, 9), &[255, 255, 255], 6);
    like(image.at(17, 9), &[255, 127, 127], 6);
    // A GIF knows all or nothing.
    let wish = Options { width: Some(20), format: Wanted::As(Format::Gif), ..Options::default() };
    let image = super::support::pixels(&render(&source, &wish).unwrap().bytes);
    assert_eq!(image.at(2, 9)[3], 0);
}

#[test]
fn transparent_pixels_lend_no_colour() {
    // Green that nobody sees, beside red.
    let image = drawn(64, 64, |x, _| if x % 2 == 0 { [0, 255, 0, 0] } else { [255, 0, 0, 255] });
    let image = seen(&file(&image, Format::Png), &small());
    for pixel in image.data.chunks_exact(4) {
        like(&pixel[..3], &[255, 0, 0], 3);
        like(&pixel[3..], &[128], 12);
    }
    let grey = drawn(64, 64, |x, _| if x % 2 == 0 { [255, 0] } else { [10, 255] });
    let image = seen(&file(&grey, Format::Png), &small());
    assert_eq!(image.layout, Layout::GreyAlpha);
    like(&image.at(4, 4)[..1], &[10], 3);
}

fn png_with(
    colour: png::ColorType,
    depth: png::BitDepth,
    side: u32,
    rows: &[u8],
    palette: bool,
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if palette {
        encoder.set_palette([255, 0, 0, 0, 0, 255].as_slice());
        encoder.set_trns([255, 0].as_slice());
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(rows).unwrap();
    writer.finish().unwrap();
    file
}

#[test]
fn sixteen_bits_become_eight() {
    let rows: Vec<u8> = [0xff, 0xff, 0x80, 0x80, 0x00, 0x7f].repeat(16 * 16);
    let source = png_with(png::ColorType::Rgb, png::BitDepth::Sixteen, 16, &rows, false);
    for wish in [small(), Options::default()] {
        like(seen(&source, &wish).at(3, 3), &[255, 128, 0], 1);
    }
    let rows: Vec<u8> = [0x80, 0x80, 0x40, 0x40].repeat(16 * 16);
    let source = png_with(png::ColorType::GrayscaleAlpha, png::BitDepth::Sixteen, 16, &rows, false);
    like(seen(&source, &Options::default()).at(3, 3), &[128, 64], 1);
}

#[test]
fn palettes_and_single_bits_are_read() {
    // Sixteen pixels of one bit a row: the left eight are the palette's first colour, the others its second, transparent one.
    let source =
        png_with(png::ColorType::Indexed, png::BitDepth::One, 16, &[0x00, 0xff].repeat(16), true);
    let image = seen(&source, &Options::default());
    like(image.at(2, 2), &[255, 0, 0, 255], 0);
    assert_eq!(image.at(12, 2)[3], 0);
    let source = png_with(
        png::ColorType::Grayscale,
        png::BitDepth::One,
        16,
        &[0x00, 0xff].repeat(16),
        false,
    );
    let image = seen(&source, &Options::default());
    like(image.at(2, 2), &[0], 0);
    like(image.at(12, 2), &[255], 0);
}

#[test]
fn progressive_images_are_read() {
    let image = super::support::quarters(200, 100);
    let source = jpeg(&image, &[], true);
    for width in [200, 100, 25] {
        let wish = Options { width: Some(width), ..Options::default() };
        let image = seen(&source, &wish);
        like(image.at(2, 2), &super::support::RED, 10);
        like(image.at(width - 2, 2), &super::support::GREEN, 10);
    }
}
