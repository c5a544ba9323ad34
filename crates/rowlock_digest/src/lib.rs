//! Digests of object bytes: MD5 for entity tags, and the checksums S3 clients send.
//!
//! [`Digests`] computes any set of them in one pass over a stream; [`Checksum`] is one claimed or
//! computed value with its algorithm. No I/O.

mod algorithm;
mod checksum;
mod combine;
mod digests;
mod md5;
mod running;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use checksum::{Checksum, InvalidChecksum};
pub use combine::{composite, full_object};
pub use digests::{DigestValues, Digests};
pub use running::{InvalidState, RunningMd5};

/// The MD5 digest of `bytes` (RFC 1321). For entity tags and `Content-MD5`, never for security.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    let mut state = md5::Md5::new();
    state.update(bytes);
    state.finish()
}

/// The SHA-256 digest of `bytes` (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}
