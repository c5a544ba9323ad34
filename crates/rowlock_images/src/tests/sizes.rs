//! The sizes that come of each kind of fitting.

use super::support::{file, pixels, render, slope};
use crate::{Format, Gravity, Options, Resize};

type Asked = (Option<u32>, Option<u32>);

#[track_caller]
fn becomes(source: (u32, u32), resize: Resize, (width, height): Asked, expected: (u32, u32)) {
    let file = file(&slope(source.0, source.1), Format::Jpeg);
    for gravity in [Gravity::Centre, Gravity::Smart] {
        let wish = Options { width, height, resize, gravity, ..Options::default() };
        let result = render(&file, &wish).unwrap();
        let found = (result.width, result.height);
        assert_eq!(found, expected, "{source:?} by {resize:?} to {width:?}, {height:?}");
        let image = pixels(&result.bytes);
        assert_eq!((image.width, image.height), expected, "the file is another size");
    }
}

const LANDSCAPE: (u32, u32) = (300, 200);
const PORTRAIT: (u32, u32) = (200, 300);

#[test]
fn cover_fills_the_frame_and_is_cut() {
    becomes(LANDSCAPE, Resize::Cover, (Some(100), Some(100)), (100, 100));
    becomes(PORTRAIT, Resize::Cover, (Some(100), Some(100)), (100, 100));
    becomes(LANDSCAPE, Resize::Cover, (Some(30), Some(90)), (30, 90));
    becomes(PORTRAIT, Resize::Cover, (Some(90), Some(30)), (90, 30));
}

#[test]
fn cover_enlarges_nothing() {
    becomes(LANDSCAPE, Resize::Cover, (Some(600), Some(400)), (300, 200));
    becomes(LANDSCAPE, Resize::Cover, (Some(500), Some(100)), (300, 100));
    becomes(PORTRAIT, Resize::Cover, (Some(100), Some(500)), (100, 300));
    becomes(LANDSCAPE, Resize::Cover, (Some(300), Some(200)), (300, 200));
}

#[test]
fn contain_lies_inside_the_frame() {
    becomes(LANDSCAPE, Resize::Contain, (Some(100), Some(100)), (100, 67));
    becomes(PORTRAIT, Resize::Contain, (Some(100), Some(100)), (67, 100));
    becomes(LANDSCAPE, Resize::Contain, (Some(600), Some(100)), (150, 100));
    becomes(LANDSCAPE, Resize::Contain, (Some(600), Some(600)), (300, 200));
}

#[test]
fn fill_takes_the_frames_proportions() {
    becomes(LANDSCAPE, Resize::Fill, (Some(100), Some(100)), (100, 100));
    becomes(PORTRAIT, Resize::Fill, (Some(150), Some(20)), (150, 20));
    // Twice as wide and half as high: as wide as it is, and a quarter as high.
    becomes(LANDSCAPE, Resize::Fill, (Some(600), Some(100)), (300, 50));
    becomes(LANDSCAPE, Resize::Fill, (Some(600), Some(600)), (200, 200));
}

#[test]
fn one_side_decides_the_other() {
    for resize in [Resize::Cover, Resize::Contain] {
        becomes(LANDSCAPE, resize, (Some(150), None), (150, 100));
        becomes(LANDSCAPE, resize, (None, Some(50)), (75, 50));
        becomes(PORTRAIT, resize, (Some(150), Some(0)), (150, 225));
        becomes(PORTRAIT, resize, (Some(0), Some(30)), (20, 30));
        becomes(LANDSCAPE, resize, (Some(900), None), (300, 200));
        becomes(PORTRAIT, resize, (None, Some(900)), (200, 300));
    }
    // Whoever lets an image be distorted leaves the other side as it is.
    becomes(LANDSCAPE, Resize::Fill, (Some(150), None), (150, 200));
    becomes(LANDSCAPE, Resize::Fill, (None, Some(50)), (300, 50));
    becomes(LANDSCAPE, Resize::Fill, (Some(600), None), (300, 100));
}

#[test]
fn no_side_leaves_the_size() {
    for resize in [Resize::Cover, Resize::Contain, Resize::Fill] {
        becomes(LANDSCAPE, resize, (None, None), LANDSCAPE);
        becomes(PORTRAIT, resize, (Some(0), Some(0)), PORTRAIT);
    }
}

#[test]
fn every_result_has_a_pixel() {
    becomes((300, 2), Resize::Contain, (Some(10), Some(10)), (10, 1));
    becomes((2, 300), Resize::Cover, (Some(1), Some(1)), (1, 1));
    becomes((1, 1), Resize::Fill, (Some(7), Some(9)), (1, 1));
}

#[test]
fn a_large_jpeg_is_shrunk_while_it_is_decoded() {
    // By 2, 4 and 8, with a rest that the resizer takes, and just not by them.
    let file = file(&slope(803, 611), Format::Jpeg);
    for width in [800, 402, 401, 400, 201, 200, 101, 100, 99, 10, 1] {
        let wish = Options { width: Some(width), ..Options::default() };
        let result = render(&file, &wish).unwrap();
        assert_eq!(result.width, width);
        let image = pixels(&result.bytes);
        let (right, bottom) = (image.width - 1, image.height - 1);
        if width >= 99 {
            super::support::like(image.at(0, 0), &[0, 0, 128], 12);
            super::support::like(image.at(right, bottom), &[253, 253, 128], 12);
            super::support::like(image.at(right / 2, bottom / 2), &[127, 127, 128], 12);
        }
    }
}
