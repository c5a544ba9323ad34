use time::format_description::well_known::Rfc2822;
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

/// Reads `20130524T000000Z`, the one form of `x-amz-date`.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0u16, |number, b| {
            b.is_ascii_digit().then(|| number * 10 + u16::from(b - b'0'))
        })
    };
    let byte = |from: usize| number(from, from + 2).and_then(|n| u8::try_from(n).ok());
    let month = Month::try_from(byte(4)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, byte(6)?).ok()?;
    let time = Time::from_hms(byte(9)?, byte(11)?, byte(13)?).ok()?;
    Some(OffsetDateTime::new_utc(date, time))
}

/// Reads a `Date` header, which may stand in for `x-amz-date`: the basic form, or the one of HTTP
/// (RFC 9110 section 5.6.7). In UTC, and nothing for a time that UTC has no year for: the rest of
/// the crate converts and would panic.
pub(crate) fn parse_date_header(text: &str) -> Option<OffsetDateTime> {
    parse(text).or_else(|| {
        let local = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        local.checked_to_offset(UtcOffset::UTC)
    })
}

/// Writes `20130524T000000Z`.
pub(crate) fn format(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let (hour, minute, second) = at.to_hms();
    format!(
        "{:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day()
    )
}

/// Writes `2013-05-24T00:00:00Z`, as S3's error documents show times.
pub(crate) fn readable(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let (hour, minute, second) = at.to_hms();
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day()
    )
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        let at = datetime!(2013-05-24 01:02:03 UTC);
        assert_eq!(parse("20130524T010203Z"), Some(at));
        assert_eq!(format(at), "20130524T010203Z");
        assert_eq!(readable(at), "2013-05-24T01:02:03Z");
        assert_eq!(parse_date_header("20130524T010203Z"), Some(at));
        assert_eq!(parse_date_header("Fri, 24 May 2013 01:02:03 GMT"), Some(at));
        for wrong in [
            "",
            "20130524T010203",
            "20130524t010203Z",
            "20131324T010203Z",
            "20130532T010203Z",
            "20130524T250203Z",
            "+0130524T010203Z",
            "2013052éT01020Z",
            "2013-05-24T01:02:03Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dates_beyond_the_calendar_are_none() {
        let last = "Fri, 31 Dec 9999 23:59:59 +0000";
        assert_eq!(parse_date_header(last).map(format).as_deref(), Some("99991231T235959Z"));
        assert_eq!(parse_date_header("Fri, 31 Dec 9999 23:59:59 -2359"), None);
    }
}
