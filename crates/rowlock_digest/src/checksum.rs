use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Algorithm;

/// One checksum: an algorithm and a value of exactly its length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checksum {
    algorithm: Algorithm,
    value: Vec<u8>,
}

/// A value that cannot be a checksum of the algorithm: not base64, or of another length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a base64 {algorithm} value of {} bytes", .algorithm.len())]
pub struct InvalidChecksum {
    /// The algorithm the value was given for.
    pub algorithm: Algorithm,
}

impl Checksum {
    /// Reads the base64 text of a header or trailer (`Content-MD5`, `x-amz-checksum-…`).
    ///
    /// # Errors
    /// [`InvalidChecksum`] when it is no padded standard base64, or the length does not fit.
    pub fn parse(algorithm: Algorithm, base64: &str) -> Result<Self, InvalidChecksum> {
        let value = STANDARD.decode(base64).map_err(|_| InvalidChecksum { algorithm })?;
        Self::new(algorithm, value)
    }

    /// Takes the value's bytes (big-endian for the CRCs).
    ///
    /// # Errors
    /// [`InvalidChecksum`] when the length does not fit the algorithm.
    pub fn new(algorithm: Algorithm, value: Vec<u8>) -> Result<Self, InvalidChecksum> {
        if value.len() == algorithm.len() {
            Ok(Self { algorithm, value })
        } else {
            Err(InvalidChecksum { algorithm })
        }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The value's bytes.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The value as headers carry it.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.value)
    }

    /// The value in lower-case hex.
    pub fn hex(&self) -> String {
        hex::encode(&self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_length_in_base64_is_read() {
        let crc = Checksum::parse(Algorithm::Crc32, "y/Q5Jg==").unwrap();
        assert_eq!(
            (crc.hex().as_str(), crc.base64().as_str(), crc.algorithm()),
            ("cbf43926", "y/Q5Jg==", Algorithm::Crc32)
        );
        for (algorithm, text) in [
            (Algorithm::Crc32, ""),
            (Algorithm::Crc32, "y/Q5Jg"),
            (Algorithm::Crc32, "y/Q5JgA="),
            (Algorithm::Crc32, " y/Q5Jg=="),
            (Algorithm::Sha256, "y/Q5Jg=="),
            (Algorithm::Md5, "cbf43926cbf43926cbf43926cbf43926"),
        ] {
            assert_eq!(Checksum::parse(algorithm, text), Err(InvalidChecksum { algorithm }));
        }
    }
}
