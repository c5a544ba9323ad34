use super::field::{Field, HttpVersion, chunk_size, header_line, request_line};

/// The longest line of a head. The HTTP library below the guard refuses long heads with 431, at
/// a lower limit; this one only bounds the guard's own memory.
const MAX_LINE_BYTES: usize = 256 * 1024;
const MAX_CHUNK_LINE_BYTES: usize = 4 * 1024;
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// Why a byte stream is refused as HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireFault {
    /// A line that ends in LF without CR.
    #[error("a line ends in a bare line feed")]
    BareLineFeed,
    /// Not `METHOD SP target SP HTTP/1.x`.
    #[error("malformed request line")]
    RequestLine,
    /// A header name that is no token, white space before its colon, or no colon.
    #[error("malformed header name")]
    HeaderName,
    /// A NUL or another control byte.
    #[error("control byte in a header")]
    ControlByte,
    /// A header line that begins with white space.
    #[error("folded header line")]
    FoldedHeader,
    /// A Content-Length that is no plain number, or more than one.
    #[error("malformed or repeated Content-Length")]
    ContentLength,
    /// A Transfer-Encoding other than one `chunked`, or one on HTTP/1.0.
    #[error("Transfer-Encoding other than chunked")]
    TransferEncoding,
    /// Transfer-Encoding beside Content-Length.
    #[error("Transfer-Encoding beside Content-Length")]
    TwoLengths,
    /// No Host on HTTP/1.1, or more than one.
    #[error("missing or repeated Host")]
    Host,
    /// A line beyond every limit.
    #[error("a line is too long")]
    LineTooLong,
    /// A malformed chunk-size line.
    #[error("malformed chunk size")]
    ChunkSize,
    /// Chunk data that is not followed by CRLF.
    #[error("chunk data without its line end")]
    ChunkEnd,
    /// Trailers that are too long or name a framing header.
    #[error("refused trailer")]
    Trailer,
}

/// A breach of the framing rules, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// How many bytes of the inspected piece came before the breach.
    pub at: usize,
    /// Which rule was broken.
    pub fault: WireFault,
    /// True when the breach is in a body: its request was already passed on.
    pub in_body: bool,
}

/// Where in the stream of messages a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between two messages.
    Idle,
    /// Inside a request's head.
    Head,
    /// Inside a request's body.
    Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RequestLine,
    Headers,
    Sized(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd { carriage_return: bool },
    Trailers,
    Refused(WireFault, bool),
}

#[derive(Debug, Clone, Copy)]
struct Head {
    version: HttpVersion,
    content_length: Option<u64>,
    chunked: bool,
    host: bool,
}

/// Follows the bytes of a connection and says where they stop being HTTP/1.1 that every proxy
/// reads alike (RFC 9112, sections 6.1, 6.3 and 11.2).
///
/// Pure: it neither reads nor writes, and the verdict does not depend on how the bytes are cut
/// into pieces. Bodies are skipped by counting.
#[derive(Debug)]
pub struct WireGuard {
    state: State,
    head: Head,
    /// The begun line, when a piece ended inside one.
    line: Vec<u8>,
    trailer_bytes: usize,
}

impl Default for WireGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl WireGuard {
    /// A guard at the beginning of a connection.
    pub fn new() -> Self {
        Self {
            state: State::RequestLine,
            head: Head::new(HttpVersion::Http11),
            line: Vec::new(),
            trailer_bytes: 0,
        }
    }

    /// Where the connection stands after the bytes seen so far.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::RequestLine if self.line.is_empty() => Phase::Idle,
            State::RequestLine | State::Headers | State::Refused(_, false) => Phase::Head,
            _ => Phase::Body,
        }
    }

    /// Judges the next piece of the stream.
    ///
    /// # Errors
    /// At the first byte that breaks a rule; from then on every call fails.
    pub fn inspect(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let mut at = 0;
        while at < piece.len() {
            let rest = &piece[at..];
            let step = match self.state {
                State::Sized(left) => {
                    let (taken, left) = skip(rest, left);
                    self.state = if left == 0 { State::RequestLine } else { State::Sized(left) };
                    Ok(taken)
                }
                State::ChunkData(left) => {
                    let (taken, left) = skip(rest, left);
                    self.state = if left == 0 {
                        State::ChunkEnd { carriage_return: false }
                    } else {
                        State::ChunkData(left)
                    };
                    Ok(taken)
                }
                State::ChunkEnd { carriage_return } => self.chunk_end(rest[0], carriage_return),
                State::Refused(fault, _) => Err((0, fault)),
                _ => self.line_piece(rest),
            };
            match step {
                Ok(taken) => at += taken,
                Err((offset, fault)) => return Err(self.refuse(at + offset, fault)),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, at: usize, fault: WireFault) -> Violation {
        let in_body = self.phase() == Phase::Body;
        self.state = State::Refused(fault, in_body);
        self.line = Vec::new();
        Violation { at, fault, in_body }
    }

    fn chunk_end(&mut self, byte: u8, carriage_return: bool) -> Result<usize, (usize, WireFault)> {
        self.state = match (carriage_return, byte) {
            (false, b'\r') => State::ChunkEnd { carriage_return: true },
            (true, b'\n') => State::ChunkSize,
            _ => return Err((0, WireFault::ChunkEnd)),
        };
        Ok(1)
    }

    /// Takes bytes up to and with the next LF, and judges the line when it is whole. A breach is
    /// placed at the LF, so that what lies below never sees a completed bad line.
    fn line_piece(&mut self, rest: &[u8]) -> Result<usize, (usize, WireFault)> {
        let limit = match self.state {
            State::ChunkSize => MAX_CHUNK_LINE_BYTES,
            State::Trailers => MAX_TRAILER_BYTES,
            _ => MAX_LINE_BYTES,
        };
        let end = memchr::memchr(b'\n', rest);
        let length = end.unwrap_or(rest.len());
        let room = limit.saturating_sub(self.line.len());
        if length > room {
            return Err((room, WireFault::LineTooLong));
        }
        let Some(end) = end else {
            self.line.extend_from_slice(rest);
            return Ok(rest.len());
        };
        let verdict = if self.line.is_empty() {
            self.line_end(&rest[..end])
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&rest[..end]);
            self.line_end(&line)
        };
        verdict.map(|()| end + 1).map_err(|fault| (end, fault))
    }

    fn line_end(&mut self, line: &[u8]) -> Result<(), WireFault> {
        let line = line.strip_suffix(b"\r").ok_or(WireFault::BareLineFeed)?;
        match self.state {
            // Empty lines before a request line are skipped (RFC 9112, section 2.2).
            State::RequestLine if line.is_empty() => Ok(()),
            State::RequestLine => {
                self.head = Head::new(request_line(line)?);
                self.state = State::Headers;
                Ok(())
            }
            State::Headers if line.is_empty() => {
                self.state = self.head.finish()?;
                Ok(())
            }
            State::Headers => self.head.add(header_line(line)?),
            State::ChunkSize => {
                self.trailer_bytes = 0;
                self.state = match chunk_size(line)? {
                    0 => State::Trailers,
                    size => State::ChunkData(size),
                };
                Ok(())
            }
            _ if line.is_empty() => {
                self.state = State::RequestLine;
                Ok(())
            }
            _ => {
                self.trailer_bytes += line.len() + 2;
                if self.trailer_bytes > MAX_TRAILER_BYTES || header_line(line)? != Field::Other {
                    return Err(WireFault::Trailer);
                }
                Ok(())
            }
        }
    }
}

impl Head {
    fn new(version: HttpVersion) -> Self {
        Self { version, content_length: None, chunked: false, host: false }
    }

    fn add(&mut self, field: Field) -> Result<(), WireFault> {
        match field {
            Field::ContentLength(_) if self.content_length.is_some() => {
                return Err(WireFault::ContentLength);
            }
            Field::ContentLength(_) if self.chunked => return Err(WireFault::TwoLengths),
            Field::ContentLength(length) => self.content_length = Some(length),
            Field::Chunked if self.chunked || self.version == HttpVersion::Http10 => {
                return Err(WireFault::TransferEncoding);
            }
            Field::Chunked if self.content_length.is_some() => return Err(WireFault::TwoLengths),
            Field::Chunked => self.chunked = true,
            Field::Host if self.host => return Err(WireFault::Host),
            Field::Host => self.host = true,
            Field::Other => {}
        }
        Ok(())
    }

    fn finish(&self) -> Result<State, WireFault> {
        if !self.host && self.version == HttpVersion::Http11 {
            return Err(WireFault::Host);
        }
        Ok(match (self.chunked, self.content_length) {
            (true, _) => State::ChunkSize,
            (false, Some(length)) if length > 0 => State::Sized(length),
            _ => State::RequestLine,
        })
    }
}

/// How many of the bytes belong to a run of `left` bytes, and what is left of it then.
fn skip(rest: &[u8], left: u64) -> (usize, u64) {
    match usize::try_from(left) {
        Ok(left) if left <= rest.len() => (left, 0),
        _ => (rest.len(), left - rest.len() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> (Result<(), Violation>, Phase) {
        let mut guard = WireGuard::new();
        (guard.inspect(bytes), guard.phase())
    }

    #[track_caller]
    fn refused(bytes: &[u8], fault: WireFault) {
        let (verdict, _) = whole(bytes);
        assert_eq!(verdict.map_err(|v| v.fault), Err(fault), "{:?}", bytes.escape_ascii());
    }

    #[test]
    fn follows_messages_of_every_framing() {
        for (bytes, phase) in [
            (&b""[..], Phase::Idle),
            (b"\r\n", Phase::Idle),
            (b"G", Phase::Head),
            (b"GET / HTTP/1.1\r\nHost: h\r\n", Phase::Head),
            (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", Phase::Idle),
            (b"GET / HTTP/1.0\r\n\r\n", Phase::Idle),
            (b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab", Phase::Body),
            (b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab\n", Phase::Idle),
            (b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", Phase::Idle),
            (b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", Phase::Body),
            (
                b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n\
                  3;x=y\r\n\n\r\n\r\n0\r\nx-sum: 1\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
                Phase::Idle,
            ),
            (b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n0\r\n", Phase::Body),
        ] {
            assert_eq!(whole(bytes), (Ok(()), phase), "{:?}", bytes.escape_ascii());
        }
    }

    #[test]
    fn refuses_what_proxies_read_differently() {
        let head = |lines: &str| format!("PUT / HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes();
        let chunked = |body: &str| {
            head("Transfer-Encoding: chunked\r\n\r\n")
                .into_iter()
                .take("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".len())
                .chain(body.bytes())
                .collect::<Vec<u8>>()
        };
        use WireFault::*;
        refused(&head("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"), TwoLengths);
        refused(&head("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), TwoLengths);
        refused(&head("Content-Length: 1\r\nContent-Length: 2\r\n"), ContentLength);
        refused(&head("Content-Length: 1\r\nContent-Length: 1\r\n"), ContentLength);
        refused(
            &head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            TransferEncoding,
        );
        refused(&head("Transfer-Encoding: identity\r\n"), TransferEncoding);
        refused(b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncoding);
        refused(&head("x: a\r\n b\r\n"), FoldedHeader);
        refused(&head("x : a\r\n"), HeaderName);
        refused(&head("x: a\0\r\n"), ControlByte);
        refused(&head("x: a\rb\r\n"), ControlByte);
        refused(&head("Host: i\r\n"), Host);
        refused(b"GET / HTTP/1.1\r\n\r\n", Host);
        refused(b"GET / HTTP/1.1\nHost: h\r\n\r\n", BareLineFeed);
        refused(b"GET / HTTP/1.1\r\nHost: h\n\r\n", BareLineFeed);
        refused(b"GET / HTTP/1.1\r\nHost: h\r\n\n", BareLineFeed);
        refused(b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", BareLineFeed);
        refused(&chunked("3\nabc\r\n"), BareLineFeed);
        refused(&chunked("3\r\nabc\n"), ChunkEnd);
        refused(&chunked("3\r\nabcd\r\n"), ChunkEnd);
        refused(&chunked("3\r\nabc\r3\r\n"), ChunkEnd);
        refused(&chunked("\r\n"), ChunkSize);
        refused(&chunked("0\r\nContent-Length: 3\r\n"), Trailer);
        refused(&chunked("0\r\nx: y\n"), BareLineFeed);
        refused(&chunked(&format!("0;{}", "x".repeat(5000))), LineTooLong);
        refused(&chunked(&format!("0\r\n{}", "x: yyyyyyyyyyyy\r\n".repeat(1000))), Trailer);
        refused(&vec![b'a'; MAX_LINE_BYTES + 1], LineTooLong);
    }

    #[test]
    fn a_breach_is_placed_before_the_line_is_whole() {
        let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nx : y\r\n\r\n";
        let mut guard = WireGuard::new();
        let violation = guard.inspect(bytes).unwrap_err();
        assert_eq!(violation.at, bytes.len() - 3);
        assert!(!violation.in_body);
        assert_eq!(guard.inspect(b"more").unwrap_err().at, 0);
    }

    /// A stream of messages, mostly good, sometimes with a byte changed.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let message = prop_oneof![
            Just(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()),
            Just(b"GET /a HTTP/1.0\r\n\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| {
                let head =
                    format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
                [head.into_bytes(), body].concat()
            }),
            prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..4).prop_map(
                |chunks| {
                    let mut out =
                        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                    for chunk in chunks {
                        out.extend(format!("{:x};a=b\r\n", chunk.len()).bytes());
                        out.extend(&chunk);
                        out.extend(b"\r\n");
                    }
                    out.extend(b"0\r\nx-t: v\r\n\r\n");
                    out
                }
            ),
        ];
        prop::collection::vec(message, 1..5).prop_map(|messages| messages.concat())
    }

    fn pieces(bytes: &[u8], cuts: &[usize]) -> (Option<(usize, WireFault, bool)>, Phase) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let mut guard = WireGuard::new();
        let mut start = 0;
        for end in ends {
            if let Err(v) = guard.inspect(&bytes[start..end]) {
                return (Some((start + v.at, v.fault, v.in_body)), guard.phase());
            }
            start = end;
        }
        (None, guard.phase())
    }

    proptest! {
        #[test]
        fn good_streams_pass_however_they_are_cut(
            bytes in stream(),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            prop_assert_eq!(pieces(&bytes, &cuts), (None, Phase::Idle));
        }

        #[test]
        fn the_verdict_does_not_depend_on_the_cuts(
            mut bytes in stream(),
            place in any::<usize>(),
            byte in any::<u8>(),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let place = place % bytes.len();
            bytes[place] = byte;
            prop_assert_eq!(pieces(&bytes, &cuts), pieces(&bytes, &[]));
        }
    }
}
