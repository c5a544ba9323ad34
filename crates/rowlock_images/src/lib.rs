//! Images for the web: bytes in, bytes out. Knows nothing of HTTP, of objects or of environment variables.
//!
//! [`inspect`] reads a header and says what rendering would cost; [`render`] decodes, turns, resizes, crops and encodes. What
//! comes out of which options follows imgproxy 3 (<https://docs.imgproxy.net/usage/processing>), to which Supabase's storage
//! server delegates: nothing is ever enlarged, orientation is applied, metadata is left out, colours become sRGB, and of an
//! animation the first frame is taken.
//!
//! Sources are hostile. Sizes are read from the header and checked before anything is decoded, decoders get the size that
//! was found as their limit, and a decoder that panics has met a broken image.

mod colour;
mod decode;
mod encode;
mod error;
mod exif;
mod format;
mod geometry;
mod guard;
mod inspect;
mod options;
mod orient;
mod pixels;
mod render;
mod resize;
mod smart;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use format::Format;
pub use inspect::{Source, inspect};
pub use options::{Gravity, Limits, Options, Resize, Wanted};
pub use render::{Rendered, render};
