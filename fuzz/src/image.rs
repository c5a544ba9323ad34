//! Images that anybody may have uploaded, rendered as anybody may ask for.

use rowlock_images::{Error, Format, Gravity, Limits, Options, Resize, Wanted, inspect, render};

/// Small enough that a single image takes no time, whatever its header claims.
const LIMITS: Limits = Limits { max_pixels: 40_000, max_bytes: 65_536 };

/// A result has the format that it says and is no larger than its source, a header that is refused stays refused, and no
/// source can be blamed for what an encoder does.
pub fn check(data: &[u8]) {
    let found = inspect(data, &LIMITS);
    let dice = data.iter().fold(data.len(), |sum, byte| (sum * 31 + usize::from(*byte)) % 0xffff);
    let options = Options {
        width: Some((dice % 37) as u32),
        height: Some((dice % 23) as u32),
        resize: [Resize::Cover, Resize::Contain, Resize::Fill][dice % 3],
        gravity: [Gravity::Smart, Gravity::SouthEast, Gravity::FocusPoint { x: 0.1, y: 0.9 }]
            [dice / 3 % 3],
        format: [Wanted::Origin, Wanted::Auto { webp: true }, Wanted::As(Format::Jpeg)]
            [dice / 9 % 3],
        ..Options::default()
    };
    match render(data, &options, &LIMITS) {
        Ok(result) => {
            let Ok(found) = found else { panic!("rendered, though its header is refused") };
            assert!(result.width <= found.width && result.height <= found.height);
            assert_eq!(Format::of(&result.bytes), Some(result.format));
            assert!(found.cost(&options) <= found.cost_bytes);
        }
        Err(Error::Encode(error)) => panic!("an encoder failed: {error}"),
        Err(_) => {}
    }
}
