//! `Range` of a read, and the stricter `x-amz-copy-source-range`.

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// No header, or one that a server ignores: another unit, broken syntax, several ranges (S3
    /// serves one range at most, and the whole object otherwise).
    Whole,
    /// These bytes; the answer is 206.
    Part(Range<u64>),
    /// No byte of the object; the answer is 416.
    Unsatisfiable,
}

/// Resolves a `Range` header against an object of `size` bytes (RFC 9110, section 14.2).
pub(crate) fn resolve(header: Option<&str>, size: u64) -> Wanted {
    let Some(header) = header else { return Wanted::Whole };
    let Some((first, last)) = parse(header) else { return Wanted::Whole };
    match (first, last) {
        (Some(first), last) => {
            let last = last.unwrap_or(u64::MAX);
            if first > last {
                return Wanted::Whole;
            }
            if first >= size {
                return Wanted::Unsatisfiable;
            }
            Wanted::Part(first..last.saturating_add(1).min(size))
        }
        (None, Some(suffix)) => {
            if suffix == 0 || size == 0 {
                return Wanted::Unsatisfiable;
            }
            Wanted::Part(size.saturating_sub(suffix)..size)
        }
        (None, None) => Wanted::Whole,
    }
}

/// `bytes=a-b`, `bytes=a-`, `bytes=-n`. Numbers beyond 64 bits count as the largest.
fn parse(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let number = |text: &str| -> Option<Option<u64>> {
        if text.is_empty() {
            return Some(None);
        }
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Some(text.parse().unwrap_or(u64::MAX)))
    };
    Some((number(first.trim())?, number(last.trim())?))
}

/// `x-amz-copy-source-range`: exactly `bytes=first-last`, both inside the source
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyRangeError {
    /// Not of the form `bytes=first-last`.
    Syntax,
    /// Not inside the source.
    Outside,
}

/// Resolves `x-amz-copy-source-range` against a source of `size` bytes.
pub(crate) fn resolve_copy(header: &str, size: u64) -> Result<Range<u64>, CopyRangeError> {
    let numbers = header.strip_prefix("bytes=").and_then(|set| set.split_once('-'));
    let digits = |t: &&str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let Some((first, last)) = numbers.filter(|(a, b)| digits(a) && digits(b)) else {
        return Err(CopyRangeError::Syntax);
    };
    let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
        return Err(CopyRangeError::Outside);
    };
    if first > last {
        return Err(CopyRangeError::Syntax);
    }
    if last >= size {
        return Err(CopyRangeError::Outside);
    }
    Ok(first..last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        use Wanted::{Part, Unsatisfiable, Whole};
        for (header, size, wanted) in [
            ("bytes=0-0", 10, Part(0..1)),
            ("bytes=0-", 10, Part(0..10)),
            ("bytes=9-99", 10, Part(9..10)),
            ("bytes=-3", 10, Part(7..10)),
            ("bytes=-30", 10, Part(0..10)),
            ("BYTES = 2-4", 10, Part(2..5)),
            ("bytes=0-99999999999999999999999", 10, Part(0..10)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=0-0", 0, Unsatisfiable),
            ("bytes=-5", 0, Unsatisfiable),
            ("bytes=5-2", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("items=0-1", 10, Whole),
            ("bytes", 10, Whole),
            ("", 10, Whole),
        ] {
            assert_eq!(resolve(Some(header), size), wanted, "{header} of {size}");
        }
        assert_eq!(resolve(None, 10), Whole);
    }

    #[test]
    fn copy_ranges_are_exact() {
        assert_eq!(resolve_copy("bytes=0-9", 10), Ok(0..10));
        assert_eq!(resolve_copy("bytes=3-3", 10), Ok(3..4));
        for outside in ["bytes=0-10", "bytes=10-10", "bytes=0-99999999999999999999999"] {
            assert_eq!(resolve_copy(outside, 10), Err(CopyRangeError::Outside), "{outside}");
        }
        for bad in ["", "0-9", "bytes=0-", "bytes=-9", "bytes=9-0", "bytes=0-1,2-3", "bytes= 0-1"] {
            assert_eq!(resolve_copy(bad, 10), Err(CopyRangeError::Syntax), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_nor_outside(header in "bytes=[0-9]{0,3}-[0-9]{0,3}", size in 0u64..500) {
            if let Wanted::Part(range) = resolve(Some(&header), size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
