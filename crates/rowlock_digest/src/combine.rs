//! Checksums of an object made of its parts' checksums, as S3 makes them of multipart uploads
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>).

use crate::digests::crc_algorithm;
use crate::{Algorithm, Checksum, Digests};

/// The checksum of the joined bytes, from the checksums and lengths (in bytes) of the parts in
/// order. Only CRCs can be joined so; `None` for the others, for no parts at all, and where a
/// part has another algorithm.
pub fn full_object(algorithm: Algorithm, parts: &[(Checksum, u64)]) -> Option<Checksum> {
    let crc = crc_algorithm(algorithm)?;
    let mut whole: Option<u64> = None;
    for (part, length) in parts {
        if part.algorithm() != algorithm {
            return None;
        }
        let value = part.value().iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        whole = Some(match whole {
            None => value,
            Some(before) => crc_fast::checksum_combine(crc, before, value, *length),
        });
    }
    let bytes = whole?.to_be_bytes();
    Checksum::new(algorithm, bytes[bytes.len() - algorithm.len()..].to_vec()).ok()
}

/// The checksum of the parts' binary checksums in order; S3 writes it with `-<number of parts>`.
/// `None` where a part has another algorithm.
pub fn composite(algorithm: Algorithm, parts: &[(Checksum, u64)]) -> Option<Checksum> {
    let mut digests = Digests::new([algorithm]);
    for (part, _) in parts {
        if part.algorithm() != algorithm {
            return None;
        }
        digests.update(part.value());
    }
    digests.finish().checksum(algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut digests = Digests::new([algorithm]);
        digests.update(bytes);
        digests.finish().checksum(algorithm).unwrap()
    }

    const CRCS: [Algorithm; 3] = [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme];

    #[test]
    fn composite_is_the_checksum_of_checksums() {
        // sha256(sha256("a") + sha256("b")), by sha256sum.
        let parts = [b"a", b"b"].map(|part| (of(Algorithm::Sha256, part), 1));
        assert_eq!(
            composite(Algorithm::Sha256, &parts).unwrap().hex(),
            "e5a01fee14e0ed5c48714f22180f25ad8365b53f9779f79dc4a3d7e93963f94a"
        );
        assert_eq!(composite(Algorithm::Crc32, &parts), None);
    }

    #[test]
    fn only_crcs_join() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256] {
            assert_eq!(full_object(algorithm, &[(of(algorithm, b"a"), 1)]), None);
        }
        assert_eq!(full_object(Algorithm::Crc32, &[]), None);
        let mixed = [(of(Algorithm::Crc32, b"a"), 1), (of(Algorithm::Crc32c, b"b"), 1)];
        assert_eq!(full_object(Algorithm::Crc32, &mixed), None);
    }

    proptest! {
        #[test]
        fn joined_crcs_are_those_of_the_joined_bytes(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..6),
        ) {
            for algorithm in CRCS {
                let sums: Vec<_> =
                    parts.iter().map(|p| (of(algorithm, p), p.len() as u64)).collect();
                let whole = of(algorithm, &parts.concat());
                prop_assert_eq!(full_object(algorithm, &sums), Some(whole));
            }
        }
    }
}
