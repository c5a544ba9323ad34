//! S3 checksums of objects: what a writer claims, what the row keeps
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>).

use crate::Error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rowlock_digest::{Algorithm, Checksum, composite, full_object};
use rowlock_types::{ChecksumType, StoredChecksum, StoredParts};

/// Which checksum an object that is uploaded in parts will have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedChecksum {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Of the bytes (CRCs only), or of the parts' checksums.
    pub kind: ChecksumType,
}

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

/// A part's checksum as our table keeps it.
pub(crate) fn to_column(checksum: &Checksum) -> String {
    format!("{}:{}", checksum.algorithm(), checksum.base64())
}

/// Reads a column back.
pub(crate) fn from_column(text: &str) -> Option<Checksum> {
    let (algorithm, value) = text.split_once(':')?;
    Checksum::parse(algorithm.parse().ok()?, value).ok()
}

/// More bytes of part checksums than this are not kept: rows are read with every list. All CRCs
/// of 10,000 parts fit.
const MAX_KEPT: usize = 80_000;

/// A part that is joined: its length in bytes and its checksum, where one is known.
pub(crate) type JoinedPart = (u64, Option<Checksum>);

/// The parts of a joined object as its row keeps them.
pub(crate) fn stored_parts(parts: &[JoinedPart], checksum: Option<&StoredChecksum>) -> StoredParts {
    let algorithm = checksum.and_then(|sum| sum.algorithm.parse::<Algorithm>().ok());
    let values: Option<Vec<&[u8]>> = parts
        .iter()
        .map(|(_, sum)| {
            let sum = sum.as_ref()?;
            (Some(sum.algorithm()) == algorithm).then(|| sum.value())
        })
        .collect();
    let kept = values.map(|values| values.concat()).filter(|bytes| bytes.len() <= MAX_KEPT);
    StoredParts::new(parts.iter().map(|part| part.0), kept.map(|bytes| STANDARD.encode(bytes)))
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

/// Makes the checksum of a joined object, and compares what the client claims of it.
///
/// # Errors
/// [`Error::BadDigest`] where a claimed value is another, or a [`ChecksumFault`].
pub(crate) fn join(
    wanted: Option<WantedChecksum>,
    claims: &ClaimedChecksums,
    parts: &[JoinedPart],
) -> Result<Option<StoredChecksum>, Error> {
    // Without a word at the beginning, a claim of the whole is one about its bytes.
    let wanted = wanted.or_else(|| {
        let (algorithm, _) = claims.object.as_ref()?;
        Some(WantedChecksum { algorithm: *algorithm, kind: ChecksumType::FullObject })
    });
    if claims.size.is_some_and(|size| size != parts.iter().map(|part| part.0).sum::<u64>()) {
        return Err(ChecksumFault::Size.into());
    }
    let Some(WantedChecksum { algorithm, kind }) = wanted else { return Ok(None) };
    if claims.kind.is_some_and(|claimed| claimed != kind) {
        return Err(ChecksumFault::Type(kind).into());
    }
    let known: Option<Vec<(Checksum, u64)>> =
        parts.iter().map(|(size, sum)| Some((sum.clone()?, *size))).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_digest::Digests;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut digests = Digests::new([algorithm]);
        digests.update(bytes);
        digests.finish().checksum(algorithm).unwrap()
    }

    fn parts(algorithm: Algorithm) -> Vec<JoinedPart> {
        [&b"1234"[..], b"56789"].map(|b| (b.len() as u64, Some(of(algorithm, b)))).to_vec()
    }

    fn wanted(algorithm: Algorithm, kind: ChecksumType) -> Option<WantedChecksum> {
        Some(WantedChecksum { algorithm, kind })
    }

    fn claim(algorithm: Algorithm, text: &str) -> ClaimedChecksums {
        ClaimedChecksums { object: Some((algorithm, text.to_owned())), ..Default::default() }
    }

    const CRC: Algorithm = Algorithm::Crc32;

    #[test]
    fn of_bytes_and_of_parts() {
        let none = ClaimedChecksums::default();
        let whole = join(wanted(CRC, ChecksumType::FullObject), &none, &parts(CRC)).unwrap();
        assert_eq!(whole.unwrap().value, "y/Q5Jg==");
        let of_parts = join(wanted(CRC, ChecksumType::Composite), &none, &parts(CRC)).unwrap();
        let of_parts = of_parts.unwrap();
        assert!(of_parts.value.ends_with("-2"), "{of_parts:?}");
        // A claim is compared, with the number of parts or without.
        for text in [of_parts.value.as_str(), &of_parts.value[..8]] {
            let wanted = wanted(CRC, ChecksumType::Composite);
            assert!(join(wanted, &claim(CRC, text), &parts(CRC)).is_ok(), "{text}");
        }
        for text in ["AAAAAA==", "AAAAAA==-2", &format!("{}-3", &of_parts.value[..8])] {
            let wanted = wanted(CRC, ChecksumType::Composite);
            let refused = join(wanted, &claim(CRC, text), &parts(CRC));
            assert!(matches!(refused, Err(Error::BadDigest("CRC32"))), "{text}");
        }
    }

    #[test]
    fn claims_without_a_word_at_the_beginning() {
        assert!(join(None, &claim(CRC, "y/Q5Jg=="), &parts(CRC)).unwrap().is_some());
        let refused = join(None, &claim(CRC, "AAAAAA=="), &parts(CRC));
        assert!(matches!(refused, Err(Error::BadDigest(_))));
        let unknown = join(None, &claim(CRC, "y/Q5Jg=="), &[(9, None)]);
        assert!(matches!(unknown, Err(Error::Checksum(ChecksumFault::Unknown(CRC)))));
        assert_eq!(join(None, &ClaimedChecksums::default(), &parts(CRC)).unwrap(), None);
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
        let claims =
            ClaimedChecksums { kind: Some(ChecksumType::FullObject), ..Default::default() };
        let refused = join(wanted(CRC, ChecksumType::Composite), &claims, &parts(CRC));
        assert!(matches!(
            refused,
            Err(Error::Checksum(ChecksumFault::Type(ChecksumType::Composite)))
        ));
    }

    #[test]
    fn parts_keep_their_checksums() {
        let parts = parts(CRC);
        let wanted = wanted(CRC, ChecksumType::Composite);
        let sum = join(wanted, &ClaimedChecksums::default(), &parts).unwrap().unwrap();
        let stored = stored_parts(&parts, Some(&sum));
        assert_eq!((stored.count(), stored.range(2)), (2, Some(4..9)));
        assert_eq!(part_checksum(&sum, &stored, 2), parts[1].1);
        assert_eq!(part_checksum(&sum, &stored, 3), None);
        assert_eq!(part_checksum(&sum, &stored, 0), None);
        assert_eq!(stored_parts(&[(1, None)], Some(&sum)).checksums(), None);
        let many = vec![(1, Some(of(Algorithm::Sha256, b"x"))); 3000];
        let sha = of_bytes(&of(Algorithm::Sha256, b"x"));
        assert_eq!(stored_parts(&many, Some(&sha)).checksums(), None);
    }

    #[test]
    fn columns_read_back() {
        let sum = of(CRC, b"x");
        assert_eq!(from_column(&to_column(&sum)), Some(sum));
        assert_eq!(from_column("CRC32:zzz"), None);
        assert_eq!(from_column("garbage"), None);
    }
}
