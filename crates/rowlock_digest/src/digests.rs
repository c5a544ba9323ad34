use std::fmt;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use crc_fast::CrcAlgorithm;

use crate::md5::Md5;
use crate::{Algorithm, Checksum};

/// A set of digests computed in one pass over a stream.
pub struct Digests(Vec<Running>);

struct Running {
    algorithm: Algorithm,
    state: State,
}

enum State {
    Md5(Md5),
    Sha(Context),
    // Boxed: its key tables make it many times the size of the others.
    Crc(Box<crc_fast::Digest>),
}

impl Digests {
    /// Begins the given digests; one named twice is computed once.
    pub fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut wanted: Vec<Algorithm> = algorithms.into_iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        Self(
            wanted
                .into_iter()
                .map(|algorithm| Running { algorithm, state: State::new(algorithm) })
                .collect(),
        )
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        for running in &mut self.0 {
            match &mut running.state {
                State::Md5(state) => state.update(bytes),
                State::Sha(state) => state.update(bytes),
                State::Crc(state) => state.update(bytes),
            }
        }
    }

    /// Ends the stream.
    pub fn finish(self) -> DigestValues {
        let mut values = DigestValues::default();
        for Running { algorithm, state } in self.0 {
            let mut bytes = [0; 32];
            let value = &mut bytes[..algorithm.len()];
            match state {
                State::Md5(state) => value.copy_from_slice(&state.finish()),
                State::Sha(state) => value.copy_from_slice(state.finish().as_ref()),
                // The CRC is in the low bits; S3 sends it big-endian.
                State::Crc(state) => {
                    let wide = state.finalize().to_be_bytes();
                    value.copy_from_slice(&wide[wide.len() - algorithm.len()..]);
                }
            }
            values.0[algorithm as usize] = Some(bytes);
        }
        values
    }
}

impl State {
    fn new(algorithm: Algorithm) -> Self {
        let crc = |algorithm| Self::Crc(Box::new(crc_fast::Digest::new(algorithm)));
        match (algorithm, crc_algorithm(algorithm)) {
            (_, Some(algorithm)) => crc(algorithm),
            (Algorithm::Sha1, None) => Self::Sha(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            (Algorithm::Sha256, None) => Self::Sha(Context::new(&SHA256)),
            (_, None) => Self::Md5(Md5::new()),
        }
    }
}

/// The CRC behind an algorithm that is one.
pub(crate) fn crc_algorithm(algorithm: Algorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        Algorithm::Md5 | Algorithm::Sha1 | Algorithm::Sha256 => None,
        Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|r| r.algorithm)).finish()
    }
}

/// The finished values of a [`Digests`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DigestValues([Option<[u8; 32]>; Algorithm::ALL.len()]);

impl DigestValues {
    /// The value of `algorithm` if it was in the set: [`Algorithm::len`] bytes, CRCs big-endian.
    pub fn get(&self, algorithm: Algorithm) -> Option<&[u8]> {
        self.0[algorithm as usize].as_ref().map(|bytes| &bytes[..algorithm.len()])
    }

    /// The MD5 digest if it was in the set.
    pub fn md5(&self) -> Option<[u8; 16]> {
        self.get(Algorithm::Md5).and_then(|bytes| bytes.try_into().ok())
    }

    /// The SHA-256 digest if it was in the set.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.0[Algorithm::Sha256 as usize]
    }

    /// The value of `algorithm` with its name, if it was in the set.
    pub fn checksum(&self, algorithm: Algorithm) -> Option<Checksum> {
        Checksum::new(algorithm, self.get(algorithm)?.to_vec()).ok()
    }

    /// All values, in the order of [`Algorithm::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Algorithm, &[u8])> {
        Algorithm::ALL.into_iter().filter_map(|a| Some((a, self.get(a)?)))
    }

    /// Whether the stream had this checksum; `None` if its algorithm was not in the set.
    pub fn fits(&self, claimed: &Checksum) -> Option<bool> {
        self.get(claimed.algorithm()).map(|value| value == claimed.value())
    }
}

impl fmt::Debug for DigestValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(a, bytes)| (a, hex::encode(bytes)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(parts: &[&[u8]]) -> DigestValues {
        let mut digests = Digests::new(Algorithm::ALL);
        for part in parts {
            digests.update(part);
        }
        digests.finish()
    }

    fn check(values: &DigestValues, expected: [(Algorithm, &str); 6]) {
        for (algorithm, value) in expected {
            assert_eq!(values.checksum(algorithm).unwrap().hex(), value, "{algorithm}");
        }
    }

    #[test]
    fn known_vectors() {
        // RFC 1321 A.5, FIPS 180-4 examples, and the check values of the CRC catalogue.
        check(
            &all(&[]),
            [
                (Algorithm::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
                (Algorithm::Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
                (
                    Algorithm::Sha256,
                    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                ),
                (Algorithm::Crc32, "00000000"),
                (Algorithm::Crc32c, "00000000"),
                (Algorithm::Crc64Nvme, "0000000000000000"),
            ],
        );
        check(
            &all(&[b"123456789"]),
            [
                (Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
                (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
                (
                    Algorithm::Sha256,
                    "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
                ),
                (Algorithm::Crc32, "cbf43926"),
                (Algorithm::Crc32c, "e3069283"),
                (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            ],
        );
        assert_eq!(hex::encode(crate::md5(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            hex::encode(crate::sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn only_what_was_asked_for_is_there() {
        let values = Digests::new([Algorithm::Crc32, Algorithm::Md5, Algorithm::Crc32]).finish();
        assert_eq!(
            values.iter().map(|(a, _)| a).collect::<Vec<_>>(),
            [Algorithm::Md5, Algorithm::Crc32]
        );
        assert!(values.sha256().is_none() && values.md5().is_some());
        let claimed = Checksum::new(Algorithm::Crc32, vec![0; 4]).unwrap();
        assert_eq!(values.fits(&claimed), Some(true));
        let other = Checksum::new(Algorithm::Crc32, vec![0, 0, 0, 1]).unwrap();
        assert_eq!(values.fits(&other), Some(false));
        let absent = Checksum::new(Algorithm::Crc32c, vec![0; 4]).unwrap();
        assert_eq!(values.fits(&absent), None);
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_has_the_same_digests(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            mut cuts in proptest::collection::vec(0usize..3000, 0..8),
        ) {
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts {
                let cut = cut.min(bytes.len());
                parts.push(&bytes[from..cut]);
                from = cut;
            }
            prop_assert_eq!(all(&parts), all(&[&bytes]));
            prop_assert_eq!(all(&parts).md5(), Some(crate::md5(&bytes)));
        }
    }
}
