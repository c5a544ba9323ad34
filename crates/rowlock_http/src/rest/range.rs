//! `Range` of a read.

use std::ops::Range;

use super::error::RestError;

/// Resolves a `Range` header against an object of `size` bytes: one range of bytes, or none
/// without a header. Everything else is refused, as the reference has it.
///
/// # Errors
/// InvalidRange for other units, several ranges, broken ones, and those outside the object.
pub(crate) fn resolve(header: Option<&str>, size: u64) -> Result<Option<Range<u64>>, RestError> {
    let Some(header) = header else { return Ok(None) };
    parse(header, size).map(Some).ok_or_else(RestError::invalid_range)
}

fn parse(header: &str, size: u64) -> Option<Range<u64>> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    // Numbers beyond 64 bits count as the largest.
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        text if text.bytes().all(|b| b.is_ascii_digit()) => {
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    let range = match (number(first)?, number(last)?) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) => first..size,
        (None, Some(suffix)) => size.saturating_sub(suffix)..size,
        _ => return None,
    };
    (range.start < range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn table() {
        for (header, size, wanted) in [
            ("bytes=0-3", 7, Some(0..4)),
            ("bytes=2-", 7, Some(2..7)),
            ("bytes=-3", 7, Some(4..7)),
            ("bytes=-30", 7, Some(0..7)),
            ("bytes=6-99999999999999999999999", 7, Some(6..7)),
            ("bytes=100-200", 7, None),
            ("bytes=7-", 7, None),
            ("bytes=-0", 7, None),
            ("bytes=0-1,3-4", 7, None),
            ("lines=1-2", 7, None),
            ("bytes=5-2", 7, None),
            ("bytes=-", 7, None),
            ("bytes=a-b", 7, None),
            ("bytes", 7, None),
            ("bytes=0-", 0, None),
        ] {
            assert_eq!(resolve(Some(header), size).ok().flatten(), wanted, "{header}");
        }
        assert_eq!(resolve(None, 7).ok(), Some(None));
    }
}
