//! The grammar of one line of a request's head (RFC 9112, sections 3 and 5; RFC 9110, 5.6.2),
//! without any of the leniencies that the RFCs permit.

use super::wire_guard::WireFault;

/// What a header line says, as far as framing needs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Field {
    ContentLength(u64),
    Chunked,
    Host,
    Other,
}

/// The protocol versions that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpVersion {
    Http10,
    Http11,
}

/// Reads a request line without its CRLF.
pub(super) fn request_line(line: &[u8]) -> Result<HttpVersion, WireFault> {
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(WireFault::RequestLine);
    };
    let printable = |&b: &u8| b > b' ' && b != 0x7f;
    if method.is_empty()
        || !method.iter().copied().all(is_token_byte)
        || target.is_empty()
        || !target.iter().all(printable)
    {
        return Err(WireFault::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(HttpVersion::Http11),
        b"HTTP/1.0" => Ok(HttpVersion::Http10),
        _ => Err(WireFault::RequestLine),
    }
}

/// Reads a header line without its CRLF; it is not empty.
pub(super) fn header_line(line: &[u8]) -> Result<Field, WireFault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(WireFault::FoldedHeader);
    }
    let colon = memchr::memchr(b':', line).ok_or(WireFault::HeaderName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().copied().all(is_token_byte) {
        return Err(WireFault::HeaderName);
    }
    if value.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Err(WireFault::ControlByte);
    }
    let value = trim(value);
    if name.eq_ignore_ascii_case(b"content-length") {
        content_length(value).map(Field::ContentLength)
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        if value.eq_ignore_ascii_case(b"chunked") {
            Ok(Field::Chunked)
        } else {
            Err(WireFault::TransferEncoding)
        }
    } else if name.eq_ignore_ascii_case(b"host") {
        Ok(Field::Host)
    } else {
        Ok(Field::Other)
    }
}

/// Reads a chunk-size line without its CRLF; extensions are skipped.
pub(super) fn chunk_size(line: &[u8]) -> Result<u64, WireFault> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    // 15 digits are 2^60 bytes: more than any object, and far from overflow.
    if digits == 0 || digits > 15 {
        return Err(WireFault::ChunkSize);
    }
    let (size, extension) = line.split_at(digits);
    let extension = trim(extension);
    if !extension.is_empty() && !extension.starts_with(b";") {
        return Err(WireFault::ChunkSize);
    }
    if extension.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Err(WireFault::ControlByte);
    }
    Ok(size.iter().fold(0, |sum, &b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            _ => (b | 0x20) - b'a' + 10,
        };
        sum * 16 + u64::from(digit)
    }))
}

fn content_length(value: &[u8]) -> Result<u64, WireFault> {
    // 18 digits cannot overflow; longer values are no honest length.
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(WireFault::ContentLength);
    }
    Ok(value.iter().fold(0, |sum, &b| sum * 10 + u64::from(b - b'0')))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        assert_eq!(request_line(b"GET /a?b HTTP/1.1"), Ok(HttpVersion::Http11));
        assert_eq!(request_line(b"PUT /\xc3\xa9 HTTP/1.0"), Ok(HttpVersion::Http10));
        for bad in [
            &b"GET  / HTTP/1.1"[..],
            b"GET / HTTP/1.1 ",
            b" GET / HTTP/1.1",
            b"GET /a b HTTP/1.1",
            b"GET\t/ HTTP/1.1",
            b"GET /\t HTTP/1.1",
            b"GET /\0 HTTP/1.1",
            b"GE\0T / HTTP/1.1",
            b"GET / HTTP/1.2",
            b"GET / http/1.1",
            b"PRI * HTTP/2.0",
            b"GET /",
            b"GET",
        ] {
            assert_eq!(request_line(bad), Err(WireFault::RequestLine), "{bad:?}");
        }
    }

    #[test]
    fn header_lines() {
        assert_eq!(header_line(b"x-a: b"), Ok(Field::Other));
        assert_eq!(header_line(b"x-a:"), Ok(Field::Other));
        assert_eq!(header_line(b"x-a: caf\xc3\xa9\t:"), Ok(Field::Other));
        assert_eq!(header_line(b"HOST:h"), Ok(Field::Host));
        assert_eq!(header_line(b"Content-Length:\t 007 "), Ok(Field::ContentLength(7)));
        assert_eq!(header_line(b"Transfer-Encoding: ChunKed"), Ok(Field::Chunked));
        for (bad, fault) in [
            (&b" x: y"[..], WireFault::FoldedHeader),
            (b"\tx: y", WireFault::FoldedHeader),
            (b"x : y", WireFault::HeaderName),
            (b"x\t: y", WireFault::HeaderName),
            (b": y", WireFault::HeaderName),
            (b"no colon", WireFault::HeaderName),
            (b"x\0: y", WireFault::HeaderName),
            (b"\xc3\xa9: y", WireFault::HeaderName),
            (b"x: a\0b", WireFault::ControlByte),
            (b"x: a\rb", WireFault::ControlByte),
            (b"x: \x7f", WireFault::ControlByte),
            (b"Content-Length: ", WireFault::ContentLength),
            (b"Content-Length: +1", WireFault::ContentLength),
            (b"Content-Length: -1", WireFault::ContentLength),
            (b"Content-Length: 1, 1", WireFault::ContentLength),
            (b"Content-Length: 0x10", WireFault::ContentLength),
            (b"Content-Length: 1 0", WireFault::ContentLength),
            (b"Content-Length: 99999999999999999999", WireFault::ContentLength),
            (b"Transfer-Encoding: gzip", WireFault::TransferEncoding),
            (b"Transfer-Encoding: gzip, chunked", WireFault::TransferEncoding),
            (b"Transfer-Encoding: chunked, chunked", WireFault::TransferEncoding),
            (b"Transfer-Encoding: \"chunked\"", WireFault::TransferEncoding),
            (b"Transfer-Encoding:", WireFault::TransferEncoding),
            (b"Transfer-Encoding: \x0bchunked", WireFault::ControlByte),
        ] {
            assert_eq!(header_line(bad), Err(fault), "{bad:?}");
        }
    }

    #[test]
    fn chunk_sizes() {
        assert_eq!(chunk_size(b"0"), Ok(0));
        assert_eq!(chunk_size(b"fF"), Ok(255));
        assert_eq!(chunk_size(b"10;chunk-signature=abc"), Ok(16));
        assert_eq!(chunk_size(b"10 \t;a"), Ok(16));
        for bad in [&b""[..], b" 1", b"g", b"1g", b"0x1", b"-1", b"1 2", b"1000000000000000"] {
            assert_eq!(chunk_size(bad), Err(WireFault::ChunkSize), "{bad:?}");
        }
        assert_eq!(chunk_size(b"1;a\0"), Err(WireFault::ControlByte));
        assert_eq!(chunk_size(b"1;a\rb"), Err(WireFault::ControlByte));
    }
}
