//! Times, as answers write them.

use time::OffsetDateTime;

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn iso(at: OffsetDateTime) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

/// The date of a header (RFC 9110, section 5.6.7). Rows may have any date: one that no header can
/// carry becomes the nearest.
pub(crate) fn http_date(at: OffsetDateTime) -> String {
    let last = time::macros::datetime!(9999-12-31 23:59:59 UTC);
    httpdate::fmt_http_date(at.clamp(OffsetDateTime::UNIX_EPOCH, last).into())
}

/// Reads the date of a header.
pub(crate) fn parse_http_date(text: &str) -> Option<OffsetDateTime> {
    httpdate::parse_http_date(text.trim()).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn forms() {
        let at = datetime!(2026-11-24 02:04:02.635 UTC);
        assert_eq!(iso(at), "2026-11-24T02:04:02.635Z");
        assert_eq!(http_date(at), "Tue, 24 Nov 2026 02:04:02 GMT");
        assert_eq!(parse_http_date(&http_date(at)), Some(datetime!(2026-11-24 02:04:02 UTC)));
        assert_eq!(parse_http_date("never"), None);
        let early = datetime!(1960-01-01 00:00 UTC);
        assert_eq!(http_date(early), "Thu, 01 Jan 1970 00:00:00 GMT");
        let late = datetime!(9999-12-31 23:59:59.9 UTC);
        assert_eq!(http_date(late), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
