use std::fmt;

use super::signer::ChainSigner;
use super::{CHUNK_SIGNATURE, TRAILER_SIGNATURE};
use crate::{PayloadMode, SigningContext};

/// Makes an aws-chunked body, as a client does.
pub struct ChunkEncoder {
    signer: Option<ChainSigner>,
    signs_trailers: bool,
}

impl ChunkEncoder {
    /// Begins a body of this mode; `None` when the mode is not a streaming one. `context` comes
    /// from [`crate::Signed`].
    pub fn new(mode: PayloadMode, context: &SigningContext) -> Option<Self> {
        mode.is_streaming().then(|| Self {
            signer: mode.signs_chunks().then(|| ChainSigner::new(context.clone())),
            signs_trailers: mode == PayloadMode::StreamingSignedTrailer,
        })
    }

    /// One chunk with its header and line ends. No data makes no chunk: an empty one would end
    /// the body.
    pub fn chunk(&mut self, data: &[u8]) -> Vec<u8> {
        if data.is_empty() {
            return Vec::new();
        }
        let mut out = self.header(data);
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
        out
    }

    /// The last chunk, the trailers (lower-case names), and their signature in the mode that has
    /// one.
    pub fn end(mut self, trailers: &[(&str, &str)]) -> Vec<u8> {
        let mut out = self.header(b"");
        let mut canonical = String::new();
        for (name, value) in trailers {
            canonical.push_str(&format!("{name}:{value}\n"));
            out.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        }
        if let (true, Some(signer)) = (self.signs_trailers, &mut self.signer) {
            let signature = signer.trailers(&canonical);
            out.extend_from_slice(format!("{TRAILER_SIGNATURE}:{signature}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    fn header(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + 100);
        out.extend_from_slice(format!("{:x}", data.len()).as_bytes());
        if let Some(signer) = &mut self.signer {
            signer.update(data);
            out.extend_from_slice(format!(";{CHUNK_SIGNATURE}{}", signer.end_chunk()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

impl fmt::Debug for ChunkEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkEncoder").field("signed", &self.signer.is_some()).finish()
    }
}
