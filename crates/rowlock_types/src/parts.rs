use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The parts of an object that was uploaded in parts, kept short: most uploads have parts of one
/// size and a shorter last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct StoredParts {
    /// Runs of parts of one size: how many, and the size in bytes.
    runs: Vec<(u32, u64)>,
    /// The parts' binary checksums, one after the other, in base64; of the object's algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksums: Option<String>,
}

impl StoredParts {
    /// Takes the sizes of parts in order, and their checksums (see [`StoredParts::checksums`]).
    pub fn new(sizes: impl IntoIterator<Item = u64>, checksums: Option<String>) -> Self {
        let mut runs: Vec<(u32, u64)> = Vec::new();
        for size in sizes {
            match runs.last_mut() {
                Some((count, known)) if *known == size => *count += 1,
                _ => runs.push((1, size)),
            }
        }
        Self { runs, checksums }
    }

    /// How many parts there are.
    pub fn count(&self) -> u32 {
        self.runs.iter().fold(0, |sum, (count, _)| sum.saturating_add(*count))
    }

    /// The bytes of a part, counted from 1; nothing for a part that does not exist.
    pub fn range(&self, number: u32) -> Option<Range<u64>> {
        let (mut before, mut start) = (0_u32, 0_u64);
        for (count, size) in &self.runs {
            let within = number.checked_sub(before)?.checked_sub(1)?;
            if within < *count {
                let start = start.checked_add(size.checked_mul(u64::from(within))?)?;
                return Some(start..start.checked_add(*size)?);
            }
            before = before.checked_add(*count)?;
            start = start.checked_add(size.checked_mul(u64::from(*count))?)?;
        }
        None
    }

    /// The parts' binary checksums, one after the other, in base64.
    pub fn checksums(&self) -> Option<&str> {
        self.checksums.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::StoredParts;

    #[test]
    fn equal_sizes_are_kept_once() {
        let parts = StoredParts::new([5, 5, 5, 7, 2], None);
        assert_eq!(serde_json::to_string(&parts).unwrap(), r#"{"runs":[[3,5],[1,7],[1,2]]}"#);
        assert_eq!(parts.count(), 5);
        let ranges: Vec<_> = (0..=6).map(|n| parts.range(n)).collect();
        let wanted =
            [None, Some(0..5), Some(5..10), Some(10..15), Some(15..22), Some(22..24), None];
        assert_eq!(ranges, wanted);
    }

    #[test]
    fn absurd_rows_do_no_harm() {
        let runs = format!("[[{0},{1}],[{0},{1}]]", u32::MAX, u64::MAX);
        let parts: StoredParts = serde_json::from_str(&format!("{{\"runs\":{runs}}}")).unwrap();
        assert_eq!(parts.count(), u32::MAX);
        assert_eq!(parts.range(1), Some(0..u64::MAX));
        assert_eq!(parts.range(2), None);
        assert_eq!(parts.range(u32::MAX), None);
    }
}
