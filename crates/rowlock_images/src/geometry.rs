//! Sizes and cuts. All of it speaks of the upright image, in imgproxy's terms: first the whole image is scaled, then what
//! sticks out of the frame is cut off.

use crate::options::{Gravity, Options, Resize};

/// A part of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// What becomes of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    /// The source's size.
    pub(crate) source: (u32, u32),
    /// The size of the whole image once it is scaled; never above the source's.
    pub(crate) scaled: (u32, u32),
    /// The size of the part that is kept of it.
    pub(crate) kept: (u32, u32),
    /// Where that part begins, unless its content decides ([`Gravity::Smart`]).
    pub(crate) at: (u32, u32),
}

impl Plan {
    /// What `options` make of a source of `width` × `height`, if no side may be longer than `max_side`.
    pub(crate) fn new(width: u32, height: u32, options: &Options, max_side: u32) -> Self {
        let asked = |side: Option<u32>| side.filter(|side| *side > 0);
        let (frame_width, frame_height) = (asked(options.width), asked(options.height));
        let (across, down) = shrinks((width, height), (frame_width, frame_height), options.resize);
        let mut scaled = (shrunk(width, across), shrunk(height, down));
        let longest = scaled.0.max(scaled.1);
        if longest > max_side {
            let shrink = f64::from(longest) / f64::from(max_side);
            scaled =
                (shrunk(scaled.0, shrink).min(max_side), shrunk(scaled.1, shrink).min(max_side));
        }
        let kept = (
            frame_width.map_or(scaled.0, |frame| frame.min(scaled.0)),
            frame_height.map_or(scaled.1, |frame| frame.min(scaled.1)),
        );
        let at = position(scaled, kept, options);
        Self { source: (width, height), scaled, kept, at }
    }

    /// The part of the source that is kept.
    pub(crate) fn area(&self) -> Area {
        let across = f64::from(self.source.0) / f64::from(self.scaled.0);
        let down = f64::from(self.source.1) / f64::from(self.scaled.1);
        Area {
            left: f64::from(self.at.0) * across,
            top: f64::from(self.at.1) * down,
            width: f64::from(self.kept.0) * across,
            height: f64::from(self.kept.1) * down,
        }
    }

    /// By how much the side that is shrunk less is divided, in whole pixels.
    pub(crate) fn shrink(&self) -> f64 {
        let across = f64::from(self.source.0) / f64::from(self.scaled.0);
        let down = f64::from(self.source.1) / f64::from(self.scaled.1);
        across.min(down)
    }

    /// Whether anything is cut off.
    pub(crate) fn cuts(&self) -> bool {
        self.kept != self.scaled
    }

    /// The same without the cut.
    pub(crate) fn uncut(&self) -> Self {
        Self { kept: self.scaled, at: (0, 0), ..*self }
    }
}

/// A side divided by its shrink, at least one pixel.
fn shrunk(side: u32, shrink: f64) -> u32 {
    ((f64::from(side) / shrink).round() as u32).clamp(1, side.max(1))
}

/// By how much width and height are divided.
fn shrinks(source: (u32, u32), frame: (Option<u32>, Option<u32>), resize: Resize) -> (f64, f64) {
    let shrink = |source: u32, frame: Option<u32>| {
        frame.map_or(1.0, |frame| f64::from(source) / f64::from(frame))
    };
    let (mut across, mut down) = (shrink(source.0, frame.0), shrink(source.1, frame.1));
    match (resize, frame) {
        (Resize::Fill, _) | (_, (None, None)) => {}
        (_, (None, _)) => across = down,
        (_, (_, None)) => down = across,
        (Resize::Contain, _) => (across, down) = (across.max(down), across.max(down)),
        (Resize::Cover, _) => (across, down) = (across.min(down), across.min(down)),
    }
    // What would be enlarged one way is shrunk the other way instead, so that the frame's proportions stay.
    let least = across.min(down);
    if least < 1.0 { (across / least, down / least) } else { (across, down) }
}

/// Where the part that is kept begins.
fn position(whole: (u32, u32), kept: (u32, u32), options: &Options) -> (u32, u32) {
    use Gravity::{East, NorthEast, NorthWest, South, SouthEast, SouthWest, West};
    let (near_x, near_y) = match options.gravity {
        Gravity::FocusPoint { x, y } => {
            let around = |whole: u32, kept: u32, at: f32| {
                // Not a number would be anywhere, so it is the middle.
                let at = if at.is_finite() { f64::from(at) } else { 0.5 };
                (f64::from(whole) * at).round_ties_even() as i64 - i64::from(kept / 2)
            };
            return (
                within(around(whole.0, kept.0, x), whole.0, kept.0),
                within(around(whole.1, kept.1, y), whole.1, kept.1),
            );
        }
        West | NorthWest | SouthWest => (Edge::Near, vertical(options.gravity)),
        East | NorthEast | SouthEast => (Edge::Far, vertical(options.gravity)),
        Gravity::North | South | Gravity::Centre | Gravity::Smart => {
            (Edge::Middle, vertical(options.gravity))
        }
    };
    (
        near_x.begin(whole.0, kept.0, options.offset_x),
        near_y.begin(whole.1, kept.1, options.offset_y),
    )
}

/// Which edge gravity draws to, up and down.
fn vertical(gravity: Gravity) -> Edge {
    match gravity {
        Gravity::North | Gravity::NorthEast | Gravity::NorthWest => Edge::Near,
        Gravity::South | Gravity::SouthEast | Gravity::SouthWest => Edge::Far,
        _ => Edge::Middle,
    }
}

#[derive(Clone, Copy)]
enum Edge {
    Near,
    Middle,
    Far,
}

impl Edge {
    fn begin(self, whole: u32, kept: u32, offset: f32) -> u32 {
        let offset = if offset.is_finite() { f64::from(offset) } else { 0.0 };
        let offset = if offset.abs() < 1.0 { offset * f64::from(whole) } else { offset };
        let offset = offset.round_ties_even() as i64;
        let room = i64::from(whole) - i64::from(kept);
        let begin = match self {
            Self::Near => offset,
            Self::Middle => ((room + 1) as f64 / 2.0).round_ties_even() as i64 + offset,
            Self::Far => room.saturating_sub(offset),
        };
        within(begin, whole, kept)
    }
}

fn within(begin: i64, whole: u32, kept: u32) -> u32 {
    begin.clamp(0, i64::from(whole.saturating_sub(kept))) as u32
}
