//! What can be wrong with a source, or with a wish.

use crate::Format;

/// Why an image was not rendered. The texts may be shown to clients.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are of no kind of image that is known here.
    #[error("the file is not an image of a known format")]
    NotAnImage,
    /// The source is an image, but none that can be decoded here, such as AVIF or a JPEG of 12 bits.
    #[error("images of this kind cannot be rendered: {0}")]
    Unsupported(&'static str),
    /// There is no encoder for the format that was asked for, or none that takes this source.
    #[error("the image cannot be rendered as {0}")]
    NoEncoder(Format),
    /// The header promises more pixels than the limits allow.
    #[error("the source image has {pixels} pixels, more than the {limit} that are allowed")]
    TooManyPixels {
        /// Width times height.
        pixels: u64,
        /// [`Limits::max_pixels`](crate::Limits::max_pixels).
        limit: u64,
    },
    /// The file is larger than the limits allow.
    #[error("the source image has {bytes} bytes, more than the {limit} that are allowed")]
    TooLarge {
        /// The file's size.
        bytes: u64,
        /// [`Limits::max_bytes`](crate::Limits::max_bytes).
        limit: u64,
    },
    /// The file begins like an image, and cannot be decoded.
    #[error("the source image is broken: {0}")]
    Broken(String),
    /// The encoder failed, which no source should bring about.
    #[error("the result could not be encoded: {0}")]
    Encode(String),
}
