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
