//! Formats in and out.

use image::codecs::gif::GifEncoder;
use image::{Delay, Frame, RgbaImage};

use super::support::{by_image, drawn, file, jpeg, like, pixels, render, seen, slope};
use crate::{Error, Format, Limits, Options, Wanted, inspect};

const SVG: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg' width='2' height='2'/>";

fn wish(format: Wanted) -> Options {
    Options { width: Some(60), format, ..Options::default() }
}

#[test]
fn formats_that_are_read_become_formats_that_are_written() {
    let image = slope(120, 80);
    let written =
        [Format::Jpeg, Format::Png, Format::WebP, Format::Gif].map(|it| (it, file(&image, it)));
    let others = [
        (Format::Bmp, by_image(&slope(120, 80), image::ImageFormat::Bmp)),
        (Format::Tiff, by_image(&slope(120, 80), image::ImageFormat::Tiff)),
        (Format::Ico, by_image(&slope(120, 80), image::ImageFormat::Ico)),
    ];
    for (from, source) in written.into_iter().chain(others) {
        assert_eq!(Format::of(&source), Some(from));
        assert_eq!(inspect(&source, &Limits::default()).unwrap().format, from);
        for to in [Format::Jpeg, Format::Png, Format::WebP, Format::Gif, Format::Avif] {
            let result = render(&source, &wish(Wanted::As(to))).unwrap();
            assert_eq!((result.width, result.height, result.format), (60, 40, to));
            assert_eq!(Format::of(&result.bytes), Some(to));
            if to != Format::Avif {
                let image = pixels(&result.bytes);
                assert_eq!((image.width, image.height), (60, 40), "{from} to {to}");
                like(&image.at(30, 20)[..3], &[128, 128, 128], 20);
                like(&image.at(55, 5)[..3], &[235, 32, 128], 20);
            }
        }
    }
}

#[test]
fn what_is_not_written_is_refused() {
    let source = file(&slope(20, 20), Format::Png);
    for format in [Format::Bmp, Format::Tiff, Format::Ico, Format::Svg] {
        let result = render(&source, &wish(Wanted::As(format)));
        assert!(matches!(result, Err(Error::NoEncoder(it)) if it == format));
    }
}

#[test]
fn the_format_follows_source_and_client() {
    let opaque = slope(80, 80);
    let clear = drawn(80, 80, |x, _| [x as u8, 0, 0, 99]);
    let tiff = by_image(&slope(120, 80), image::ImageFormat::Tiff);
    for (source, wanted, expected) in [
        (file(&opaque, Format::Jpeg), Wanted::Origin, Format::Jpeg),
        (file(&clear, Format::Png), Wanted::Origin, Format::Png),
        (file(&opaque, Format::WebP), Wanted::Origin, Format::WebP),
        (file(&clear, Format::Gif), Wanted::Origin, Format::Gif),
        (tiff.clone(), Wanted::Origin, Format::Jpeg),
        (file(&opaque, Format::Jpeg), Wanted::Auto { webp: false }, Format::Jpeg),
        (file(&opaque, Format::Png), Wanted::Auto { webp: false }, Format::Png),
        (file(&opaque, Format::WebP), Wanted::Auto { webp: false }, Format::Jpeg),
        (file(&clear, Format::WebP), Wanted::Auto { webp: false }, Format::Png),
        (tiff.clone(), Wanted::Auto { webp: false }, Format::Jpeg),
        (file(&opaque, Format::Gif), Wanted::Auto { webp: true }, Format::WebP),
        (tiff, Wanted::Auto { webp: true }, Format::WebP),
    ] {
        assert_eq!(render(&source, &wish(wanted)).unwrap().format, expected, "{wanted:?}");
    }
}

#[test]
fn an_avif_that_would_be_too_small_is_something_else() {
    let wish = Options { width: Some(15), format: Wanted::As(Format::Avif), ..Options::default() };
    let opaque = file(&slope(80, 80), Format::WebP);
    assert_eq!(render(&opaque, &wish).unwrap().format, Format::Jpeg);
    let clear = file(&drawn(80, 80, |_, _| [1, 2, 3, 4]), Format::WebP);
    assert_eq!(render(&clear, &wish).unwrap().format, Format::Png);
    let wish = Options { width: Some(16), ..wish };
    assert_eq!(render(&opaque, &wish).unwrap().format, Format::Avif);
}

#[test]
fn an_avif_that_would_take_too_long_is_a_webp() {
    let wish = Options { format: Wanted::As(Format::Avif), ..Options::default() };
    let large = file(&drawn(4000, 2001, |_, _| [90]), Format::Png);
    assert_eq!(render(&large, &wish).unwrap().format, Format::WebP);
}

#[test]
fn svg_passes_as_it_is_or_not_at_all() {
    for wanted in [Wanted::Origin, Wanted::Auto { webp: true }, Wanted::As(Format::Svg)] {
        let result = render(SVG, &wish(wanted)).unwrap();
        assert_eq!((result.bytes.as_slice(), result.format), (SVG, Format::Svg));
    }
    let refused = render(SVG, &wish(Wanted::As(Format::WebP)));
    assert!(matches!(refused, Err(Error::NoEncoder(Format::WebP))));
}

#[test]
fn an_animation_shows_its_first_frame() {
    let frame = |colour: [u8; 4]| RgbaImage::from_pixel(40, 40, image::Rgba(colour));
    let (first, second) = (frame([250, 10, 10, 255]), frame([10, 10, 250, 255]));
    let mut gif = Vec::new();
    let frames = [&first, &second]
        .map(|it| Frame::from_parts(it.clone(), 0, 0, Delay::from_numer_denom_ms(50, 1)));
    GifEncoder::new(&mut gif).encode_frames(frames).unwrap();
    let settings = webp::WebPConfig::new().unwrap();
    let mut webp = webp::AnimEncoder::new(40, 40, &settings);
    webp.add_frame(webp::AnimFrame::from_rgba(&first, 40, 40, 0));
    webp.add_frame(webp::AnimFrame::from_rgba(&second, 40, 40, 50));
    for source in [gif, webp.encode().to_vec()] {
        like(&seen(&source, &wish(Wanted::Origin)).at(20, 20)[..3], &[250, 10, 10], 12);
        let result = render(&source, &wish(Wanted::Auto { webp: true })).unwrap();
        assert_eq!((result.format, result.width), (Format::WebP, 40));
    }
}

#[test]
fn quality_is_heard() {
    let noise = drawn(200, 200, |x, y| {
        [(x * x * 31 + y * y * 17) as u8, (x * y * 7) as u8, (x * 13 + y * 5) as u8]
    });
    let source = file(&noise, Format::Png);
    for format in [Format::Jpeg, Format::WebP, Format::Avif] {
        let size = |quality| {
            let wish = Options { quality, ..wish(Wanted::As(format)) };
            render(&source, &wish).unwrap().bytes.len()
        };
        let (low, plain, high) = (size(Some(20)), size(None), size(Some(100)));
        assert!(low < plain && plain < high, "{format}: {low}, {plain}, {high}");
    }
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    let behind = |text: &[u8]| Format::of(&[text, SVG].concat());
    assert_eq!(behind(b"\xef\xbb\xbf \n<?xml version='1.0'?>\n<!-- <html> -->"), Some(Format::Svg));
    assert_eq!(behind(b"<!DOCTYPE svg [ <!ENTITY a '<b>'> ]>"), Some(Format::Svg));
    assert_eq!(behind(b"<html>"), None);
    assert_eq!(behind(b"text "), None);
    assert_eq!(Format::of(b"<s:svg xmlns:s='http://www.w3.org/2000/svg'>"), Some(Format::Svg));
    assert_eq!(Format::of(b"<svgx>"), None);
    assert_eq!(Format::of(b"<!-- no end"), None);
    assert_eq!(Format::of(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1"), Some(Format::Avif));
    assert_eq!(Format::of(b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1"), Some(Format::Avif));
    assert_eq!(Format::of(b"\0\0\0\x18ftypisom\0\0\0\0mp42isom"), None);
    assert_eq!(Format::of(b""), None);
    assert_eq!(Format::of(b"RIFF\0\0\0\0WAVE"), None);
    for format in [Format::Jpeg, Format::Png, Format::Gif, Format::WebP, Format::Avif] {
        assert!(format.content_type().starts_with("image/"));
        assert_eq!(Format::of(&file(&slope(20, 20), format)), Some(format));
    }
}

#[test]
fn avif_is_recognised_and_not_read() {
    let source = file(&slope(20, 20), Format::Avif);
    assert!(matches!(inspect(&source, &Limits::default()), Err(Error::Unsupported(_))));
}

#[test]
fn what_no_encoder_would_write_is_scaled_down() {
    // A WebP has at most 16,383 pixels a side.
    let long = jpeg(&drawn(20_000, 4, |x, _| [(x / 100) as u8]), &[], false);
    let wish = Options { format: Wanted::As(Format::WebP), ..Options::default() };
    let result = render(&long, &wish).unwrap();
    assert_eq!((result.width, result.height), (16_383, 3));
}
