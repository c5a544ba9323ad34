use aws_lc_rs::digest::{Context, SHA256};

use crate::SigningContext;

/// The chain of signatures over chunks: each covers the one before it.
pub(super) struct ChainSigner {
    context: SigningContext,
    previous: String,
    data: Context,
}

/// The SHA-256 digest of nothing, which stands for the chunk's headers: they have none.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl ChainSigner {
    pub(super) fn new(context: SigningContext) -> Self {
        let previous = context.seed.clone();
        Self { context, previous, data: Context::new(&SHA256) }
    }

    /// Takes the next bytes of the current chunk.
    pub(super) fn update(&mut self, data: &[u8]) {
        self.data.update(data);
    }

    /// Ends the current chunk: its signature, to which the next one chains.
    pub(super) fn end_chunk(&mut self) -> &str {
        let data = std::mem::replace(&mut self.data, Context::new(&SHA256)).finish();
        self.link("PAYLOAD", &format!("{EMPTY}\n{}", hex::encode(data)))
    }

    /// The signature over trailers, given as `name:value\n` each.
    pub(super) fn trailers(&mut self, canonical: &str) -> &str {
        let digest = rowlock_digest::sha256(canonical.as_bytes());
        self.link("TRAILER", &hex::encode(digest))
    }

    fn link(&mut self, kind: &str, rest: &str) -> &str {
        let SigningContext { key, timestamp, scope, .. } = &self.context;
        let text =
            format!("AWS4-HMAC-SHA256-{kind}\n{timestamp}\n{scope}\n{}\n{rest}", self.previous);
        self.previous = key.sign(&text);
        &self.previous
    }
}
