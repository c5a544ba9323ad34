//! MD5 by AWS-LC's assembly, which outruns the portable implementations: every upload is hashed
//! with MD5 for its entity tag, so this is the hottest loop of a large upload.
#![allow(unsafe_code)]

use std::fmt;

use aws_lc_sys::{MD5_CTX, MD5_Final, MD5_Init, MD5_Update};

/// A running MD5 digest. The state is a plain value: nothing to free, and it may move.
#[derive(Clone)]
pub(crate) struct Md5(MD5_CTX);

impl Md5 {
    pub(crate) fn new() -> Self {
        let mut state = MD5_CTX { h: [0; 4], Nl: 0, Nh: 0, data: [0; 64], num: 0 };
        // SAFETY: `state` is a valid, exclusively borrowed MD5_CTX; MD5_Init writes nothing else
        // and cannot fail.
        unsafe { MD5_Init(&raw mut state) };
        Self(state)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        // SAFETY: the state was set up by MD5_Init and is exclusively borrowed; the pointer and
        // the length describe one live slice, which MD5_Update only reads. It cannot fail.
        unsafe { MD5_Update(&raw mut self.0, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// The chaining words, the length so far in bytes, and the bytes of the unfinished block
    /// (RFC 1321, 3.3 and 3.4).
    pub(crate) fn parts(&self) -> ([u32; 4], u64, &[u8]) {
        let bits = u64::from(self.0.Nh) << 32 | u64::from(self.0.Nl);
        let length = bits / 8;
        (self.0.h, length, &self.0.data[..usize::from(length.to_le_bytes()[0] % 64)])
    }

    /// The state with these parts; `None` where the unfinished block is not as long as the length
    /// demands, or the length is beyond what MD5 counts.
    pub(crate) fn from_parts(words: [u32; 4], length: u64, block: &[u8]) -> Option<Self> {
        let bits = length.checked_mul(8)?;
        if block.len() as u64 != length % 64 {
            return None;
        }
        let mut state = Self::new();
        state.0.h = words;
        // The lower and the upper half.
        state.0.Nl = (bits & u64::from(u32::MAX)) as u32;
        state.0.Nh = (bits >> 32) as u32;
        state.0.data[..block.len()].copy_from_slice(block);
        state.0.num = (length % 64) as u32;
        Some(state)
    }

    pub(crate) fn finish(mut self) -> [u8; 16] {
        let mut out = [0; 16];
        // SAFETY: the state was set up by MD5_Init; `out` has the 16 bytes that MD5_Final writes.
        // It cannot fail, and `self` is consumed, so the spent state is never used again.
        unsafe { MD5_Final(out.as_mut_ptr(), &raw mut self.0) };
        out
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5")
    }
}
