//! Spans of time as people write them.

use std::time::Duration;

/// What [`parse`] takes, for messages.
pub(crate) const GRAMMAR: &str = "a number of seconds, or one with a unit: 30s, 15m, 1h, 7d";

/// Reads `90`, `30s`, `15m`, `1h` or `7d`; nothing for every other text.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, seconds) in
            [("0", 0), ("90", 90), ("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604_800)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "1 h", "1w", "-1s", "1.5h", "1hh", "99999999999999999999", "ü"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("18446744073709551615d"), None);
    }
}
