//! S3 checksums of objects: what a writer claims, what the row keeps
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>).

use crate::{Error, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rowlock_digest::{Algorithm, Checksum, composite, full_object};
use rowlock_types::{ChecksumType, StoredChecksum, StoredParts};
use std::collections::HashMap;

/// Which checksum an object that is uploaded in parts will have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedChecksum {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Of the bytes (CRCs only), or of the parts' checksums.
    pub kind: ChecksumType,
}

/// What S3 computes where nobody asks for another checksum: of the bytes, also of the joined ones.
pub const DEFAULT_CHECKSUM: WantedChecksum =
    WantedChecksum { algorithm: Algorithm::Crc64Nvme, kind: ChecksumType::FullObject };

/// What a Complete says about checksums.
#[derive(Debug, Clone, Default)]
pub struct ClaimedChecksums {
    /// Of the parts that it names one for, by number.
    pub parts: Vec<(u32, Checksum)>,
    /// Of the object: the algorithm, and the value as text (a composite one may end in the number
    /// of its parts).
    pub object: Option<(Algorithm, String)>,
    /// Over what the object's was computed (`x-amz-checksum-type`).
    pub kind: Option<ChecksumType>,
    /// The object's length in bytes (`x-amz-mp-object-size`).
    pub size: Option<u64>,
}

/// What is wrong with a request's words about checksums or sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumFault {
    /// The upload was begun for another type.
    #[error(
        "The upload was created using the {} checksum mode. The complete request must use the \
         same checksum mode.",
        .0.as_str()
    )]
    Type(ChecksumType),
    /// A part's checksum has another algorithm than the upload was begun for.
    #[error(
        "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum \
         Type: {actual}"
    )]
    Algorithm {
        /// The upload's.
        expected: Algorithm,
        /// The part's.
        actual: Algorithm,
    },
    /// A Complete leaves out a part's checksum, which an upload with a composite one demands.
    #[error(
        "The upload was created using a {} checksum. The complete request must include the \
         checksum for each part. It was missing for part {number} in the request.",
        .algorithm.name().to_ascii_lowercase()
    )]
    PartWithout {
        /// The upload's.
        algorithm: Algorithm,
        /// The part's number.
        number: u32,
    },
    /// A checksum is claimed that cannot be told: parts were stored without, or with another.
    #[error("The {0} checksum of the object cannot be computed: not every part has one")]
    Unknown(Algorithm),
    /// The parts have another length together than the client says.
    #[error("The provided 'x-amz-mp-object-size' header value does not match what was computed.")]
    Size,
}

/// A row's checksum of bytes that were received or copied whole.
pub(crate) fn of_bytes(checksum: &Checksum) -> StoredChecksum {
    StoredChecksum {
        algorithm: checksum.algorithm().name().to_owned(),
        value: checksum.base64(),
        kind: ChecksumType::FullObject,
    }
}

/// What is known of all of an object's bytes: its checksum, or else its tag where that can be their
/// MD5 (it is none where an object was joined, and a row that was made by hand may have any).
pub(crate) fn of_object(object: &Object) -> Option<Checksum> {
    let stored = object.metadata.rowlock.as_ref().and_then(|extra| extra.checksum.as_ref());
    let stored = stored.filter(|sum| sum.kind == ChecksumType::FullObject).and_then(|sum| {
        let algorithm = sum.algorithm.parse::<Algorithm>().ok()?;
        Checksum::parse(algorithm, &sum.value).ok()
    });
    let tag = || Checksum::new(Algorithm::Md5, hex::decode(object.etag.bare()).ok()?).ok();
    stored.or_else(tag)
}

/// A part's checksums as our table keeps them; `None` where there is none.
pub(crate) fn to_column(checksums: &[Checksum]) -> Option<String> {
    let words = checksums.iter().map(|sum| format!("{}:{}", sum.algorithm(), sum.base64()));
    words.reduce(|all, word| all + " " + &word)
}

/// Reads a column back; what is no checksum counts as absent.
pub(crate) fn from_column(text: &str) -> Vec<Checksum> {
    let read = |word: &str| {
        let (algorithm, value) = word.split_once(':')?;
        Checksum::parse(algorithm.parse().ok()?, value).ok()
    };
    text.split(' ').filter_map(read).collect()
}

/// The one of these checksums that has the algorithm.
pub(crate) fn of_algorithm(checksums: &[Checksum], algorithm: Algorithm) -> Option<&Checksum> {
    checksums.iter().find(|sum| sum.algorithm() == algorithm)
}

/// More bytes of part checksums than this are not kept: rows are read with every list. All CRCs
/// of 10,000 parts fit.
const MAX_KEPT: usize = 80_000;

/// A part that is joined.
#[derive(Debug, Clone)]
pub(crate) struct JoinedPart {
    pub(crate) number: u32,
    /// In bytes.
    pub(crate) size: u64,
    /// Those that are known.
    pub(crate) checksums: Vec<Checksum>,
}

/// The parts of a joined object as its row keeps them, with their checksums where the upload was
/// begun for some, as AWS has it.
pub(crate) fn stored_parts(parts: &[JoinedPart], wanted: Option<WantedChecksum>) -> StoredParts {
    let values: Option<Vec<&[u8]>> = parts
        .iter()
        .map(|part| Some(of_algorithm(&part.checksums, wanted?.algorithm)?.value()))
        .collect();
    let kept = values.map(|values| values.concat()).filter(|bytes| bytes.len() <= MAX_KEPT);
    StoredParts::new(parts.iter().map(|part| part.size), kept.map(|bytes| STANDARD.encode(bytes)))
}

/// The checksum of one part of a stored object, counted from 1.
pub fn part_checksum(
    checksum: &StoredChecksum,
    parts: &StoredParts,
    number: u32,
) -> Option<Checksum> {
    let algorithm: Algorithm = checksum.algorithm.parse().ok()?;
    let all = STANDARD.decode(parts.checksums()?).ok()?;
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    let from = index.checked_mul(algorithm.len())?;
    let value = all.get(from..from.checked_add(algorithm.len())?)?;
    Checksum::new(algorithm, value.to_vec()).ok()
}

/// Compares what the client claims of parts and object, and makes the checksum of the object.
/// `wanted`: what the upload was begun for.
///
/// # Errors
/// [`Error::InvalidPart`] where a part has another checksum, [`Error::BadDigest`] where the object
/// has, or a [`ChecksumFault`].
pub(crate) fn join(
    wanted: Option<WantedChecksum>,
    claims: &ClaimedChecksums,
    parts: &[JoinedPart],
) -> Result<Option<StoredChecksum>, Error> {
    if claims.size.is_some_and(|size| size != parts.iter().map(|part| part.size).sum::<u64>()) {
        return Err(ChecksumFault::Size.into());
    }
    let WantedChecksum { algorithm, kind } = wanted.unwrap_or_else(|| {
        // Without a word at the beginning, a claim of the whole is one about its bytes.
        let claimed = claims.object.as_ref().map(|(algorithm, _)| *algorithm);
        WantedChecksum {
            algorithm: claimed.unwrap_or(DEFAULT_CHECKSUM.algorithm),
            ..DEFAULT_CHECKSUM
        }
    });
    if claims.kind.is_some_and(|claimed| claimed != kind) {
        return Err(ChecksumFault::Type(kind).into());
    }
    check_parts(kind, algorithm, claims, parts)?;
    let known =
        |part: &JoinedPart| Some((of_algorithm(&part.checksums, algorithm)?.clone(), part.size));
    let known: Option<Vec<(Checksum, u64)>> = parts.iter().map(known).collect();
    let made = known.as_deref().and_then(|parts| match kind {
        ChecksumType::FullObject => full_object(algorithm, parts),
        ChecksumType::Composite => composite(algorithm, parts),
    });
    let Some(made) = made else {
        return match &claims.object {
            Some((algorithm, _)) => Err(ChecksumFault::Unknown(*algorithm).into()),
            None => Ok(None),
        };
    };
    if let Some((claimed, text)) = &claims.object {
        let bare = match text.rsplit_once('-') {
            Some((value, count)) if kind == ChecksumType::Composite => {
                if count != parts.len().to_string() {
                    return Err(Error::BadDigest(claimed.name()));
                }
                value
            }
            _ => text.as_str(),
        };
        if *claimed != algorithm || bare != made.base64() {
            return Err(Error::BadDigest(claimed.name()));
        }
    }
    let mut stored = of_bytes(&made);
    if kind == ChecksumType::Composite {
        stored.value = format!("{}-{}", stored.value, parts.len());
        stored.kind = kind;
    }
    Ok(Some(stored))
}

/// Compares the parts' checksums with those claimed. An upload with a composite checksum demands
/// one for each part.
fn check_parts(
    kind: ChecksumType,
    algorithm: Algorithm,
    claims: &ClaimedChecksums,
    parts: &[JoinedPart],
) -> Result<(), Error> {
    let claimed: HashMap<u32, &Checksum> = claims.parts.iter().map(|(n, sum)| (*n, sum)).collect();
    for part in parts {
        match claimed.get(&part.number) {
            Some(claim) if !part.checksums.contains(claim) => {
                return Err(Error::InvalidPart(part.number));
            }
            None if kind == ChecksumType::Composite => {
                let number = part.number;
                return Err(ChecksumFault::PartWithout { algorithm, number }.into());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_digest::Digests;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut digests = Digests::new([algorithm]);
        digests.update(bytes);
        digests.finish().checksum(algorithm).unwrap()
    }

    fn joined(number: u32, bytes: &[u8], algorithms: &[Algorithm]) -> JoinedPart {
        let checksums = algorithms.iter().map(|a| of(*a, bytes)).collect();
        JoinedPart { number, size: bytes.len() as u64, checksums }
    }

    fn parts(algorithm: Algorithm) -> Vec<JoinedPart> {
        vec![joined(1, b"1234", &[algorithm]), joined(7, b"56789", &[algorithm])]
    }

    fn wanted(algorithm: Algorithm, kind: ChecksumType) -> Option<WantedChecksum> {
        Some(WantedChecksum { algorithm, kind })
    }

    fn claim(algorithm: Algorithm, text: &str) -> ClaimedChecksums {
        ClaimedChecksums { object: Some((algorithm, text.to_owned())), ..Default::default() }
    }

    /// With the right checksum of each part.
    fn of_each(parts: &[JoinedPart]) -> ClaimedChecksums {
        let parts = parts.iter().map(|part| (part.number, part.checksums[0].clone())).collect();
        ClaimedChecksums { parts, ..Default::default() }
    }

    const CRC: Algorithm = Algorithm::Crc32;
    const COMPOSITE: Option<WantedChecksum> =
        Some(WantedChecksum { algorithm: CRC, kind: ChecksumType::Composite });

    #[test]
    fn of_bytes_and_of_parts() {
        let none = ClaimedChecksums::default();
        let whole = join(wanted(CRC, ChecksumType::FullObject), &none, &parts(CRC)).unwrap();
        assert_eq!(whole.unwrap().value, "y/Q5Jg==");
        let each = of_each(&parts(CRC));
        let of_parts = join(COMPOSITE, &each, &parts(CRC)).unwrap().unwrap();
        assert!(of_parts.value.ends_with("-2"), "{of_parts:?}");
        let claim =
            |text: &str| ClaimedChecksums { object: Some((CRC, text.to_owned())), ..each.clone() };
        // A claim is compared, with the number of parts or without.
        for text in [of_parts.value.as_str(), &of_parts.value[..8]] {
            assert!(join(COMPOSITE, &claim(text), &parts(CRC)).is_ok(), "{text}");
        }
        for text in ["AAAAAA==", "AAAAAA==-2", &format!("{}-3", &of_parts.value[..8])] {
            let refused = join(COMPOSITE, &claim(text), &parts(CRC));
            assert!(matches!(refused, Err(Error::BadDigest("CRC32"))), "{text}");
        }
    }

    #[test]
    fn without_a_word_it_is_the_default_one() {
        let none = ClaimedChecksums::default();
        let both = [CRC, Algorithm::Crc64Nvme];
        let parts = [joined(1, b"1234", &both), joined(2, b"56789", &both)];
        let made = join(None, &none, &parts).unwrap().unwrap();
        assert_eq!((made.algorithm.as_str(), made.value.as_str()), ("CRC64NVME", "rosUhgp5mIg="));
        assert_eq!(made.kind, ChecksumType::FullObject);
        // What parts of the default have in common is not kept with the object.
        assert_eq!(stored_parts(&parts, None).checksums(), None);
        let without = [parts[0].clone(), joined(2, b"56789", &[CRC])];
        assert_eq!(join(None, &none, &without).unwrap(), None);
    }

    #[test]
    fn claims_without_a_word_at_the_beginning() {
        let made = join(None, &claim(CRC, "y/Q5Jg=="), &parts(CRC)).unwrap().unwrap();
        assert_eq!(made.algorithm, "CRC32");
        let refused = join(None, &claim(CRC, "AAAAAA=="), &parts(CRC));
        assert!(matches!(refused, Err(Error::BadDigest(_))));
        let unknown = join(None, &claim(CRC, "y/Q5Jg=="), &[joined(1, b"123456789", &[])]);
        assert!(matches!(unknown, Err(Error::Checksum(ChecksumFault::Unknown(CRC)))));
    }

    #[test]
    fn every_part_of_a_composite_is_claimed() {
        let parts = parts(CRC);
        let mut claims = of_each(&parts);
        claims.parts.pop();
        let missing = join(COMPOSITE, &claims, &parts);
        assert!(matches!(
            missing,
            Err(Error::Checksum(ChecksumFault::PartWithout { algorithm: CRC, number: 7 }))
        ));
        // A wrong one is wrong whatever the upload was begun for.
        let wrong = ClaimedChecksums {
            parts: vec![(1, of(CRC, b"x")), (7, parts[1].checksums[0].clone())],
            ..Default::default()
        };
        for wanted in [COMPOSITE, None] {
            assert!(matches!(join(wanted, &wrong, &parts), Err(Error::InvalidPart(1))));
        }
    }

    #[test]
    fn another_size_than_there_is_is_refused() {
        let claims = |size| ClaimedChecksums { size: Some(size), ..Default::default() };
        assert!(join(None, &claims(9), &parts(CRC)).is_ok());
        let refused = join(None, &claims(8), &parts(CRC));
        assert!(matches!(refused, Err(Error::Checksum(ChecksumFault::Size))));
    }

    #[test]
    fn another_type_than_agreed_is_refused() {
        let claims = |kind| ClaimedChecksums { kind: Some(kind), ..Default::default() };
        for (wanted, kind, other) in [
            (COMPOSITE, ChecksumType::Composite, ChecksumType::FullObject),
            (None, ChecksumType::FullObject, ChecksumType::Composite),
        ] {
            let refused = join(wanted, &claims(other), &parts(CRC));
            assert!(
                matches!(&refused, Err(Error::Checksum(ChecksumFault::Type(t))) if *t == kind),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn parts_keep_their_checksums() {
        let parts = parts(CRC);
        let sum = join(COMPOSITE, &of_each(&parts), &parts).unwrap().unwrap();
        let stored = stored_parts(&parts, COMPOSITE);
        assert_eq!((stored.count(), stored.range(2)), (2, Some(4..9)));
        assert_eq!(part_checksum(&sum, &stored, 2).as_ref(), parts[1].checksums.first());
        assert_eq!(part_checksum(&sum, &stored, 3), None);
        assert_eq!(part_checksum(&sum, &stored, 0), None);
        assert_eq!(stored_parts(&[joined(1, b"x", &[])], COMPOSITE).checksums(), None);
        let many = vec![joined(1, b"x", &[Algorithm::Sha256]); 3000];
        let of_sha = wanted(Algorithm::Sha256, ChecksumType::Composite);
        assert_eq!(stored_parts(&many, of_sha).checksums(), None);
    }

    #[test]
    fn columns_read_back() {
        let sums = vec![of(CRC, b"x"), of(Algorithm::Crc64Nvme, b"x")];
        assert_eq!(from_column(&to_column(&sums).unwrap()), sums);
        assert_eq!(to_column(&[]), None);
        for none in ["", "CRC32:zzz", "garbage", "CRC32:zzz x:y"] {
            assert_eq!(from_column(none), [], "{none}");
        }
    }
}
