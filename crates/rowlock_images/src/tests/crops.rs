//! Which part stays.

use super::support::{BLUE, GREEN, RED, YELLOW, drawn, file, like, quarters, seen};
use crate::{Format, Gravity, Options, Resize};

fn cut(width: u32, height: u32, gravity: Gravity, offset: (f32, f32)) -> Options {
    let (offset_x, offset_y) = offset;
    Options {
        width: Some(width),
        height: Some(height),
        gravity,
        offset_x,
        offset_y,
        ..Options::default()
    }
}

/// Stripes of ten columns, or of ten rows: the number of the stripe is its grey, times ten.
fn stripes(upright: bool) -> Vec<u8> {
    let (width, height) = if upright { (100, 20) } else { (20, 100) };
    file(&drawn(width, height, |x, y| [(if upright { x } else { y } / 10 * 10) as u8]), Format::Png)
}

#[test]
fn gravity_draws_to_an_edge() {
    let across = |gravity| seen(&stripes(true), &cut(20, 20, gravity, (0.0, 0.0))).at(5, 10)[0];
    let down = |gravity| seen(&stripes(false), &cut(20, 20, gravity, (0.0, 0.0))).at(10, 5)[0];
    for (gravity, x, y) in [
        (Gravity::Centre, 40, 40),
        (Gravity::North, 40, 0),
        (Gravity::South, 40, 80),
        (Gravity::East, 80, 40),
        (Gravity::West, 0, 40),
        (Gravity::NorthEast, 80, 0),
        (Gravity::NorthWest, 0, 0),
        (Gravity::SouthEast, 80, 80),
        (Gravity::SouthWest, 0, 80),
        (Gravity::FocusPoint { x: 0.5, y: 0.5 }, 40, 40),
        (Gravity::FocusPoint { x: 0.0, y: 1.0 }, 0, 80),
        (Gravity::FocusPoint { x: 0.75, y: 0.25 }, 70, 20),
        (Gravity::FocusPoint { x: f32::NAN, y: 9e9 }, 40, 80),
    ] {
        // The middle may begin a pixel off a stripe.
        assert!(
            across(gravity).abs_diff(x) <= 10 && down(gravity).abs_diff(y) <= 10,
            "{gravity:?}"
        );
        if gravity != Gravity::Centre {
            assert!(
                across(gravity).abs_diff(x) == 0 || down(gravity).abs_diff(y) == 0,
                "{gravity:?}"
            );
        }
    }
}

#[test]
fn offsets_move_away_from_the_edge() {
    let left = |gravity, x| seen(&stripes(true), &cut(20, 20, gravity, (x, 0.0))).at(5, 10)[0];
    assert_eq!(left(Gravity::West, 30.0), 30);
    assert_eq!(left(Gravity::East, 30.0), 50);
    assert_eq!(left(Gravity::Centre, 20.0), 60);
    assert_eq!(left(Gravity::Centre, -20.0), 20);
    assert_eq!(left(Gravity::West, 0.3), 30);
    assert_eq!(left(Gravity::East, 0.3), 50);
    assert_eq!(left(Gravity::West, -5.0), 0);
    assert_eq!(left(Gravity::West, 1e30), 80);
    assert_eq!(left(Gravity::East, f32::INFINITY), 80);
    let top = |gravity, y| seen(&stripes(false), &cut(20, 20, gravity, (0.0, y))).at(10, 5)[0];
    assert_eq!(top(Gravity::North, 30.0), 30);
    assert_eq!(top(Gravity::South, 0.3), 50);
}

#[test]
fn a_corner_of_a_shrunk_image_is_that_corner() {
    for format in [Format::Jpeg, Format::Png] {
        let source = file(&quarters(400, 200), format);
        for (gravity, above, below) in [
            (Gravity::West, RED, BLUE),
            (Gravity::East, GREEN, YELLOW),
            (Gravity::NorthWest, RED, BLUE),
        ] {
            let image = seen(&source, &cut(20, 40, gravity, (0.0, 0.0)));
            assert_eq!((image.width, image.height), (20, 40));
            like(image.at(10, 5), &above, 12);
            like(image.at(10, 34), &below, 12);
        }
    }
}

#[test]
fn the_smart_part_is_where_something_is() {
    for at in [10, 150, 290] {
        let scene = drawn(400, 100, |x, y| {
            let inside = (at..at + 90).contains(&x) && (5..95).contains(&y);
            match inside {
                true if (x / 6 + y / 6) % 2 == 0 => [200, 140, 110],
                true => [60, 30, 20],
                false => [120, 125, 130],
            }
        });
        let image = seen(&file(&scene, Format::Png), &cut(100, 100, Gravity::Smart, (0.0, 0.0)));
        let busy = image.data.chunks_exact(3).filter(|it| !matches!(it, [120, 125, 130])).count();
        assert!(busy > 90 * 80, "only {busy} pixels of what is at {at}");
    }
}

#[test]
fn the_smart_part_of_nothing_is_the_middle() {
    let plain = drawn(300, 20, |x, _| [if (100..200).contains(&x) { 100 } else { 101 }]);
    let image = seen(&file(&plain, Format::Png), &cut(20, 20, Gravity::Smart, (0.0, 0.0)));
    like(image.at(10, 10), &[100], 0);
}

#[test]
fn what_is_contained_is_not_cut() {
    let source = file(&quarters(400, 200), Format::Png);
    let wish = Options { resize: Resize::Contain, ..cut(40, 40, Gravity::West, (0.0, 0.0)) };
    let image = seen(&source, &wish);
    like(image.at(2, 2), &RED, 3);
    like(image.at(37, 17), &YELLOW, 3);
}
