//! Formats in and out, and the sizes that come of each kind of fitting.

use super::support::{file, pixels, render, slope};
use crate::{Format, Options, Resize, Wanted};

#[test]
fn formats_that_are_read_become_formats_that_are_written() {
    let image = slope(120, 80);
    for from in [Format::Jpeg, Format::Png, Format::WebP, Format::Gif] {
        let source = file(&image, from);
        assert_eq!(Format::of(&source), Some(from));
        for to in [Format::Jpeg, Format::Png, Format::WebP, Format::Gif, Format::Avif] {
            let wish = Options { width: Some(60), format: Wanted::As(to), ..Options::default() };
            let result = render(&source, &wish).unwrap();
            assert_eq!((result.width, result.height, result.format), (60, 40, to));
            assert_eq!(Format::of(&result.bytes), Some(to));
            if to != Format::Avif {
                let image = pixels(&result.bytes);
                assert_eq!((image.width, image.height), (60, 40), "{from} to {to}");
            }
        }
    }
}

#[test]
fn each_kind_of_fitting_has_its_sizes() {
    let cases = [
        (Resize::Cover, (Some(40), Some(40)), (40, 40)),
        (Resize::Contain, (Some(40), Some(40)), (40, 20)),
        (Resize::Fill, (Some(40), Some(40)), (40, 40)),
        (Resize::Cover, (Some(40), None), (40, 20)),
    ];
    let source = file(&slope(200, 100), Format::Jpeg);
    for (resize, (width, height), size) in cases {
        let wish = Options { width, height, resize, ..Options::default() };
        let result = render(&source, &wish).unwrap();
        assert_eq!((result.width, result.height), size, "{wish:?}");
    }
}
