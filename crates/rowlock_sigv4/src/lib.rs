//! AWS Signature Version 4 as S3 uses it: reading, verifying, signing, and the chunked bodies
//! that go with it. Pure: no I/O, no clock, no HTTP types.
//!
//! A server builds a [`Request`], reads the [`Claim`] in it (who signs, with what), finds the
//! secret of the claimed access key, and calls [`Claim::verify`]. The [`Verified`] request says
//! how to treat the body; a streaming one goes through a [`ChunkDecoder`]. [`Signer`] and
//! [`ChunkEncoder`] are the client's side.
//!
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>.

mod authorization;
mod canonical;
mod chunk;
mod claim;
mod encode;
mod keys;
mod payload;
mod post;
mod refusal;
mod request;
mod sign;
mod timestamp;
mod verify;

pub use chunk::{ChunkDecoder, ChunkEncoder, ChunkError, ChunkSettings, Finished, Trailers};
pub use claim::{Claim, Placement};
pub use encode::{InvalidQuery, encode_path, encode_value, query_pairs};
pub use keys::{SigningContext, SigningKeys};
pub use payload::PayloadMode;
pub use post::{FormFields, PostClaim, PostPolicy, UploadedForm};
pub use refusal::{Mismatch, Refusal};
pub use request::Request;
pub use sign::{Signed, Signer};
pub use verify::{MAX_CANDIDATES, MAX_SKEW, Policy, Verified};

/// The longest life of a presigned URL in seconds: a week.
pub const MAX_EXPIRES: u32 = 604_800;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "s3";
const SCOPE_END: &str = "aws4_request";
