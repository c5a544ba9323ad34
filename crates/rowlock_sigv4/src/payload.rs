use std::fmt;

use crate::Refusal;

/// What `x-amz-content-sha256` says about the body
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadMode {
    /// The body has this SHA-256 digest; the server must check it.
    Hashed([u8; 32]),
    /// The body is not covered by the signature.
    Unsigned,
    /// aws-chunked, every chunk signed.
    StreamingSigned,
    /// aws-chunked, every chunk and the trailers signed.
    StreamingSignedTrailer,
    /// aws-chunked with trailers, nothing signed.
    StreamingUnsignedTrailer,
}

impl PayloadMode {
    /// Reads the header's value.
    ///
    /// # Errors
    /// [`Refusal::PayloadModeNotImplemented`] for the modes signed with SigV4A,
    /// [`Refusal::InvalidContentSha256`] for anything else that is no mode and no digest in hex.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "UNSIGNED-PAYLOAD" => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::StreamingSigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Ok(Self::StreamingSignedTrailer),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::StreamingUnsignedTrailer),
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
            | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                Err(Refusal::PayloadModeNotImplemented)
            }
            hash => {
                let mut digest = [0; 32];
                hex::decode_to_slice(hash, &mut digest)
                    .map_err(|_| Refusal::InvalidContentSha256)?;
                Ok(Self::Hashed(digest))
            }
        }
    }

    /// Whether the body is aws-chunked and must go through a [`crate::ChunkDecoder`].
    pub const fn is_streaming(self) -> bool {
        !matches!(self, Self::Hashed(_) | Self::Unsigned)
    }

    /// Whether the chunks are signed.
    pub const fn signs_chunks(self) -> bool {
        matches!(self, Self::StreamingSigned | Self::StreamingSignedTrailer)
    }

    /// Whether trailers may follow the last chunk.
    pub const fn has_trailers(self) -> bool {
        matches!(self, Self::StreamingSignedTrailer | Self::StreamingUnsignedTrailer)
    }
}

impl fmt::Display for PayloadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashed(digest) => f.write_str(&hex::encode(digest)),
            Self::Unsigned => f.write_str("UNSIGNED-PAYLOAD"),
            Self::StreamingSigned => f.write_str("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            Self::StreamingSignedTrailer => {
                f.write_str("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
            }
            Self::StreamingUnsignedTrailer => f.write_str("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        }
    }
}
