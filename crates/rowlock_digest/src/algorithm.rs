use std::fmt;
use std::str::FromStr;

/// A digest that S3 knows
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// MD5 (RFC 1321): entity tags and `Content-MD5`.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// CRC-32 as in ISO-HDLC (zip, Ethernet).
    Crc32,
    /// CRC-32C (Castagnoli), as in iSCSI.
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
}

/// An algorithm name that S3 does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown checksum algorithm")]
pub struct UnknownAlgorithm;

impl Algorithm {
    /// Every algorithm, in the order of the enum.
    pub const ALL: [Self; 6] =
        [Self::Md5, Self::Sha1, Self::Sha256, Self::Crc32, Self::Crc32c, Self::Crc64Nvme];

    /// The name in `x-amz-checksum-algorithm` and `x-amz-sdk-checksum-algorithm`: `CRC32`,
    /// `SHA256` and so on (`MD5` for completeness; S3 has no such checksum header).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
        }
    }

    /// The header or trailer that carries the value, in lower case; `None` for MD5, which has
    /// `Content-MD5`.
    pub const fn header(self) -> Option<&'static str> {
        match self {
            Self::Md5 => None,
            Self::Sha1 => Some("x-amz-checksum-sha1"),
            Self::Sha256 => Some("x-amz-checksum-sha256"),
            Self::Crc32 => Some("x-amz-checksum-crc32"),
            Self::Crc32c => Some("x-amz-checksum-crc32c"),
            Self::Crc64Nvme => Some("x-amz-checksum-crc64nvme"),
        }
    }

    /// The algorithm whose value the header or trailer `name` (any case) carries.
    pub fn from_header(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.header().is_some_and(|h| h.eq_ignore_ascii_case(name)))
    }

    /// The length of a value in bytes.
    pub const fn len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
        }
    }

    /// Never: every algorithm has a value of at least four bytes.
    pub const fn is_empty(self) -> bool {
        false
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Reads [`Algorithm::name`] in any case, since SDKs differ in it.
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name)).ok_or(UnknownAlgorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_headers_read_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
            assert_eq!(algorithm.name().to_lowercase().parse(), Ok(algorithm));
            match algorithm.header() {
                Some(header) => assert_eq!(Algorithm::from_header(header), Some(algorithm)),
                None => assert_eq!(algorithm, Algorithm::Md5),
            }
        }
        assert_eq!(Algorithm::from_header("X-Amz-Checksum-CRC64NVME"), Some(Algorithm::Crc64Nvme));
        assert_eq!(Algorithm::from_header("x-amz-checksum-algorithm"), None);
        assert_eq!("CRC64".parse::<Algorithm>(), Err(UnknownAlgorithm));
    }
}
