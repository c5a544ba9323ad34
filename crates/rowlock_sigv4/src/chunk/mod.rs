//! Bodies in `aws-chunked` form
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html> and
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>).

mod decoder;
mod encoder;
mod error;
mod signer;
mod trailers;

pub use decoder::{ChunkDecoder, ChunkSettings, Finished};
pub use encoder::ChunkEncoder;
pub use error::ChunkError;
pub use trailers::Trailers;

const CHUNK_SIGNATURE: &str = "chunk-signature=";
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";
