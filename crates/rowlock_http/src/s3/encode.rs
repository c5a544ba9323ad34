//! Texts as S3 writes them: dates, `encoding-type=url`, metadata values.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::{datetime, format_description};

/// What `encoding-type=url` leaves as it is: the unreserved characters of RFC 3986, `*`, and, as
/// AWS has it, the slash.
const URL: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*').remove(b'/');

const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A key or prefix in a list: as it is, or percent-encoded where the client asked for it.
pub(crate) fn listed(text: &str, url: bool) -> Cow<'_, str> {
    if url { utf8_percent_encode(text, URL).into() } else { Cow::Borrowed(text) }
}

/// A time in XML: `2026-11-24T02:04:02.635Z`.
pub(crate) fn iso(time: OffsetDateTime) -> String {
    writable(time).to_offset(time::UtcOffset::UTC).format(&ISO).unwrap_or_default()
}

/// A time as `x-amz-date` has it: `20261124T020402Z`.
pub(crate) fn basic(time: OffsetDateTime) -> String {
    const BASIC: &[BorrowedFormatItem<'_>] =
        format_description!("[year][month][day]T[hour][minute][second]Z");
    writable(time).to_offset(time::UtcOffset::UTC).format(&BASIC).unwrap_or_default()
}

/// A time in a header (RFC 9110, section 5.6.7), whole seconds.
pub(crate) fn http_date(time: OffsetDateTime) -> String {
    httpdate::fmt_http_date(writable(time).into())
}

/// The nearest time that both forms can write: rows made by hand hold any, and both formatters
/// panic over some.
fn writable(time: OffsetDateTime) -> OffsetDateTime {
    time.clamp(OffsetDateTime::UNIX_EPOCH, datetime!(9999-12-31 23:59:59 UTC))
}

/// Reads a time from a header; nothing when it is none.
pub(crate) fn parse_http_date(text: &str) -> Option<OffsetDateTime> {
    httpdate::parse_http_date(text.trim()).ok().map(OffsetDateTime::from)
}

/// Percent-decodes once; `None` when the result is no UTF-8 or an escape is broken.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    for (i, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'%') {
        let digits = bytes.get(i + 1..i + 3)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
    }
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// The value of a metadata header as it was sent: UTF-8, else each byte as the character of its
/// number (what HTTP/1 meant before UTF-8).
pub(crate) fn header_in(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| latin1(bytes), str::to_owned)
}

/// The same of user metadata, encoded words decoded.
pub(crate) fn metadata_in(bytes: &[u8]) -> String {
    let text = header_in(bytes);
    decoded_words(&text).unwrap_or(text)
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// A value that is nothing but encoded words (RFC 2047) as the text that they stand for; S3 keeps
/// it so. `None` for any other value.
fn decoded_words(value: &str) -> Option<String> {
    let mut text = String::new();
    let mut words = value.split_ascii_whitespace().peekable();
    words.peek()?;
    for word in words {
        let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
        let mut parts = inner.splitn(3, '?');
        let (charset, kind, coded) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = match kind {
            "B" | "b" => STANDARD.decode(coded).ok()?,
            "Q" | "q" => quoted(coded)?,
            _ => return None,
        };
        // A language may follow the character set (RFC 2231).
        match charset.split('*').next()?.to_ascii_lowercase().as_str() {
            "utf-8" | "us-ascii" => text.push_str(std::str::from_utf8(&bytes).ok()?),
            "iso-8859-1" => text.push_str(&latin1(&bytes)),
            _ => return None,
        }
    }
    // What the database cannot keep stays encoded.
    (!text.contains('\0')).then_some(text)
}

/// The "Q" encoding of RFC 2047, section 4.2.
fn quoted(coded: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(coded.len());
    let mut rest = coded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => b' ',
            b'=' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            byte => byte,
        });
    }
    Some(bytes)
}

/// A metadata value as a header can carry it: printable ASCII as it is, everything else as an
/// encoded word (RFC 2047), as
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html> has it.
pub(crate) fn metadata_out(value: &str) -> Cow<'_, str> {
    if value.bytes().all(|b| (0x20..0x7f).contains(&b) || b == b'\t') {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("=?UTF-8?B?{}?=", STANDARD.encode(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let time = datetime!(2026-11-24 02:04:02.6357 UTC);
        assert_eq!(iso(time), "2026-11-24T02:04:02.635Z");
        assert_eq!(basic(time), "20261124T020402Z");
        assert_eq!(http_date(time), "Tue, 24 Nov 2026 02:04:02 GMT");
        assert_eq!(
            parse_http_date("Tue, 24 Nov 2026 02:04:02 GMT"),
            Some(datetime!(2026-11-24 02:04:02 UTC))
        );
        assert_eq!(parse_http_date("yesterday"), None);
    }

    #[test]
    fn dates_out_of_reach_become_the_nearest() {
        for early in [datetime!(1960-01-01 0:00 UTC), datetime!(-9999-01-01 0:00 +14)] {
            assert_eq!(iso(early), "1970-01-01T00:00:00.000Z");
            assert_eq!(http_date(early), "Thu, 01 Jan 1970 00:00:00 GMT");
        }
        let late = datetime!(9999-12-31 23:59:59 -14);
        assert_eq!(iso(late), "9999-12-31T23:59:59.000Z");
        assert_eq!(http_date(late), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn url_encoding_of_lists() {
        assert_eq!(listed("k/a b+ü~*.txt", true), "k/a%20b%2B%C3%BC~*.txt");
        assert_eq!(listed("k/a b", false), "k/a b");
    }

    #[test]
    fn percent_decoding_is_strict_and_done_once() {
        assert_eq!(percent_decode("a%2Fb+%2525").as_deref(), Some("a/b+%25"));
        for bad in ["%", "%4", "%zz", "a%f", "%ff"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn metadata_values() {
        assert_eq!(metadata_in("ü".as_bytes()), "ü");
        assert_eq!(metadata_in(b"\xfc"), "ü");
        for (coded, text) in [
            ("=?UTF-8?B?w4TDlg==?=", "ÄÖ"),
            ("=?utf-8?Q?r=C3=B6t_und?=", "röt und"),
            ("=?ISO-8859-1?Q?a=FC?=", "aü"),
            ("=?UTF-8?B?w4TD?= x", "=?UTF-8?B?w4TD?= x"),
            ("=?UTF-8?B?w4Q=?= =?UTF-8?B?w5Y=?=", "ÄÖ"),
            ("=?UTF-8?Q?=F?=", "=?UTF-8?Q?=F?="),
            ("=?KOI8-R?B?w4Q=?=", "=?KOI8-R?B?w4Q=?="),
            ("a =?UTF-8?B?w4Q=?=", "a =?UTF-8?B?w4Q=?="),
            ("=?UTF-8?B?AA==?=", "=?UTF-8?B?AA==?="),
            ("", ""),
        ] {
            assert_eq!(metadata_in(coded.as_bytes()), text);
        }
        assert_eq!(metadata_out("plain text"), "plain text");
        assert_eq!(metadata_out("ÄÖ"), "=?UTF-8?B?w4TDlg==?=");
        assert_eq!(metadata_out("a\nb"), "=?UTF-8?B?YQpi?=");
    }
}
