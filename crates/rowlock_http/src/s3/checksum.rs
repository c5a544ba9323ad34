//! S3 checksums in headers and documents
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>).

use http::{HeaderMap, HeaderName, HeaderValue};
use rowlock_digest::{Algorithm, Checksum};
use rowlock_storage::{ClaimedChecksums, WantedChecksum};
use rowlock_types::{ChecksumType, StoredChecksum};

use super::error::S3Error;
use super::response::set;
use super::xml::{Element, Xml};

const ALGORITHM: &str = "x-amz-checksum-algorithm";
const TYPE: &str = "x-amz-checksum-type";

/// The algorithm that `x-amz-checksum-algorithm` names, if it is there.
///
/// # Errors
/// InvalidRequest for one that S3 does not know.
pub(crate) fn algorithm(headers: &HeaderMap) -> Result<Option<Algorithm>, S3Error> {
    let Some(text) = text(headers, ALGORITHM) else { return Ok(None) };
    let known = text.parse::<Algorithm>().ok().filter(|known| known.header().is_some());
    known.map(Some).ok_or_else(|| {
        S3Error::invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        )
    })
}

/// What CreateMultipartUpload asks for.
///
/// # Errors
/// InvalidRequest for a type that the algorithm cannot have.
pub(crate) fn wanted(headers: &HeaderMap) -> Result<Option<WantedChecksum>, S3Error> {
    let kind = kind(headers)?;
    let Some(algorithm) = algorithm(headers)? else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(S3Error::invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )),
        };
    };
    let default = match algorithm {
        Algorithm::Crc64Nvme => ChecksumType::FullObject,
        _ => ChecksumType::Composite,
    };
    let kind = kind.unwrap_or(default);
    let impossible = match kind {
        ChecksumType::FullObject => matches!(algorithm, Algorithm::Sha1 | Algorithm::Sha256),
        ChecksumType::Composite => algorithm == Algorithm::Crc64Nvme,
    };
    if impossible {
        return Err(S3Error::invalid_request(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.as_str(),
            algorithm.name().to_ascii_lowercase()
        )));
    }
    Ok(Some(WantedChecksum { algorithm, kind }))
}

fn kind(headers: &HeaderMap) -> Result<Option<ChecksumType>, S3Error> {
    let Some(text) = text(headers, TYPE) else { return Ok(None) };
    ChecksumType::parse(text)
        .map(Some)
        .ok_or_else(|| S3Error::invalid_request("Value for x-amz-checksum-type header is invalid."))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().unwrap_or("?").trim();
    (!text.is_empty()).then_some(text)
}

/// The headers without those that name a checksum: on CompleteMultipartUpload they speak of the
/// object, not of the request's body.
pub(crate) fn without_values(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in Algorithm::ALL.into_iter().filter_map(Algorithm::header) {
        headers.remove(name);
    }
    headers.remove("x-amz-sdk-checksum-algorithm");
    headers
}

/// What CompleteMultipartUpload claims in its headers and in the elements of its parts (with
/// their numbers).
///
/// # Errors
/// InvalidRequest for values that cannot be true.
pub(crate) fn claims(
    headers: &HeaderMap,
    parts: &[(u32, &Element)],
) -> Result<ClaimedChecksums, S3Error> {
    let mut claims = ClaimedChecksums { kind: kind(headers)?, ..ClaimedChecksums::default() };
    for algorithm in Algorithm::ALL {
        let Some(name) = algorithm.header() else { continue };
        let Some(value) = text(headers, name) else { continue };
        let bare = value.split_once('-').map_or(value, |(bare, _)| bare);
        if Checksum::parse(algorithm, bare).is_err() {
            return Err(S3Error::invalid_request(format!("Value for {name} header is invalid.")));
        }
        if claims.object.replace((algorithm, value.to_owned())).is_some() {
            return Err(S3Error::invalid_request(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
    }
    for (number, element) in parts {
        for algorithm in Algorithm::ALL.into_iter().filter(|a| a.header().is_some()) {
            let Some(value) = element.child(&element_name(algorithm)) else { continue };
            let sum = Checksum::parse(algorithm, value).map_err(|_| S3Error::malformed_xml())?;
            claims.parts.push((*number, sum));
        }
    }
    Ok(claims)
}

/// Puts an object's checksum into an answer's headers.
pub(crate) fn put(headers: &mut HeaderMap, sum: &StoredChecksum) {
    let algorithm = sum.algorithm.parse::<Algorithm>().ok();
    if let Some(name) = algorithm.and_then(Algorithm::header) {
        set(headers, name, &sum.value);
        set(headers, TYPE, sum.kind.as_str());
    }
}

/// Puts a part's checksum into an answer's headers.
pub(crate) fn put_part(headers: &mut HeaderMap, sum: &Checksum) {
    if let (Some(name), Ok(value)) =
        (sum.algorithm().header(), HeaderValue::from_str(&sum.base64()))
    {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Puts what an upload was begun for into an answer's headers.
pub(crate) fn put_wanted(headers: &mut HeaderMap, wanted: WantedChecksum) {
    set(headers, ALGORITHM, wanted.algorithm.name());
    set(headers, TYPE, wanted.kind.as_str());
}

/// Writes an object's checksum as elements.
pub(crate) fn write(out: &mut Xml, sum: Option<&StoredChecksum>) {
    let Some(sum) = sum else { return };
    if let Ok(algorithm) = sum.algorithm.parse::<Algorithm>() {
        out.text(&element_name(algorithm), &sum.value).text("ChecksumType", sum.kind.as_str());
    }
}

/// Writes what kind of checksum an object has, without its value, as lists do.
pub(crate) fn write_kind(out: &mut Xml, sum: Option<&StoredChecksum>) {
    if let Some(sum) = sum {
        out.text("ChecksumAlgorithm", &sum.algorithm).text("ChecksumType", sum.kind.as_str());
    }
}

/// Writes what an upload's object will have.
pub(crate) fn write_wanted(out: &mut Xml, wanted: WantedChecksum) {
    out.text("ChecksumAlgorithm", wanted.algorithm.name())
        .text("ChecksumType", wanted.kind.as_str());
}

/// Writes a part's checksum as an element.
pub(crate) fn write_part(out: &mut Xml, sum: Option<&Checksum>) {
    if let Some(sum) = sum {
        out.text(&element_name(sum.algorithm()), &sum.base64());
    }
}

fn element_name(algorithm: Algorithm) -> String {
    format!("Checksum{}", algorithm.name())
}

/// Whether a read asks for checksums (`x-amz-checksum-mode: ENABLED`).
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    text(headers, "x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED"))
}

#[cfg(test)]
mod tests {
    use super::super::xml::parse;
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn what_an_upload_is_begun_for() {
        let of = |pairs: &[(&str, &str)]| match wanted(&headers(pairs)) {
            Ok(wanted) => Ok(wanted.map(|w| (w.algorithm, w.kind))),
            Err(error) => Err(error.code()),
        };
        assert_eq!(of(&[]), Ok(None));
        let composite = |algorithm| Ok(Some((algorithm, ChecksumType::Composite)));
        let whole = |algorithm| Ok(Some((algorithm, ChecksumType::FullObject)));
        assert_eq!(of(&[(ALGORITHM, "SHA256")]), composite(Algorithm::Sha256));
        assert_eq!(of(&[(ALGORITHM, "crc32")]), composite(Algorithm::Crc32));
        assert_eq!(of(&[(ALGORITHM, "CRC64NVME")]), whole(Algorithm::Crc64Nvme));
        let both = |algorithm, kind| of(&[(ALGORITHM, algorithm), (TYPE, kind)]);
        assert_eq!(both("CRC32C", "FULL_OBJECT"), whole(Algorithm::Crc32c));
        assert_eq!(both("SHA1", "FULL_OBJECT"), Err("InvalidRequest"));
        assert_eq!(both("CRC64NVME", "COMPOSITE"), Err("InvalidRequest"));
        assert_eq!(both("CRC32", "OTHER"), Err("InvalidRequest"));
        assert_eq!(of(&[(TYPE, "COMPOSITE")]), Err("InvalidRequest"));
        for unknown in ["MD5", "XXHASH64", "?"] {
            assert_eq!(of(&[(ALGORITHM, unknown)]), Err("InvalidRequest"), "{unknown}");
        }
    }

    #[test]
    fn what_a_complete_claims() {
        let body = b"<P><Part><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part></P>";
        let root = parse(body, "P").unwrap();
        let parts: Vec<_> = root.all("Part").map(|part| (7, part)).collect();
        let pairs = [("x-amz-checksum-crc32", "y/Q5Jg==-1"), (TYPE, "COMPOSITE")];
        let said = claims(&headers(&pairs), &parts).unwrap();
        assert_eq!(said.object, Some((Algorithm::Crc32, "y/Q5Jg==-1".to_owned())));
        assert_eq!(said.kind, Some(ChecksumType::Composite));
        assert_eq!(said.parts[0].0, 7);
        assert_eq!(said.parts[0].1.hex(), "cbf43926");
        let two = [("x-amz-checksum-crc32", "y/Q5Jg=="), ("x-amz-checksum-crc32c", "y/Q5Jg==")];
        for bad in [&two[..], &[("x-amz-checksum-sha1", "y/Q5Jg==")]] {
            assert_eq!(claims(&headers(bad), &[]).unwrap_err().code(), "InvalidRequest");
        }
        assert!(without_values(&headers(&two)).is_empty());
    }

    #[test]
    fn answers() {
        let sum = StoredChecksum {
            algorithm: "CRC64NVME".to_owned(),
            value: "AAAAAAAAAAA=".to_owned(),
            kind: ChecksumType::FullObject,
        };
        let mut out = HeaderMap::new();
        put(&mut out, &sum);
        assert_eq!(out["x-amz-checksum-crc64nvme"], "AAAAAAAAAAA=");
        assert_eq!(out["x-amz-checksum-type"], "FULL_OBJECT");
        let mut out = Xml::bare();
        write(&mut out, Some(&sum));
        assert!(out.finish().ends_with("<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>"));
        let unknown = StoredChecksum { algorithm: "NEW".to_owned(), ..sum };
        let mut out = HeaderMap::new();
        put(&mut out, &unknown);
        assert!(out.is_empty());
    }
}
