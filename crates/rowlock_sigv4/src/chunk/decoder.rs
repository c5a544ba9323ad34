use std::fmt;

use bytes::{Buf, Bytes};
use subtle::ConstantTimeEq;

use super::signer::ChainSigner;
use super::trailers::TrailerReader;
use super::{CHUNK_SIGNATURE, ChunkError, Trailers};
use crate::{PayloadMode, SigningContext};

/// A chunk's header: at most 16 digits, a signature, and room for extensions to come.
const MAX_HEADER: usize = 1024;

/// All trailers together.
const MAX_TRAILERS: usize = 8 * 1024;

/// Empty lines after the last chunk: one ends the chunk, one the trailers, and minio's clients
/// send one more between the trailers and their signature.
const MAX_EMPTY_LINES: usize = 4;

/// What a request says about its aws-chunked body.
#[derive(Debug, Clone, Default)]
pub struct ChunkSettings<'a> {
    /// `x-amz-decoded-content-length`: the bytes that the chunks hold together.
    pub decoded_length: Option<u64>,
    /// `x-amz-trailer`: the names of the trailers, separated by commas; empty for none.
    pub trailers: &'a str,
}

/// What a whole body ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How many bytes the chunks held.
    pub length: u64,
    /// The trailers.
    pub trailers: Trailers,
}

/// Takes an aws-chunked body apart as it arrives, and checks its signatures.
///
/// A signed chunk's last bytes are handed out only when its signature fits, but earlier bytes of
/// it before: keep nothing of a body that ends in an error.
pub struct ChunkDecoder {
    state: State,
    line: Vec<u8>,
    signer: Option<ChainSigner>,
    /// The signature that the current chunk's header gave.
    claimed: String,
    may_have_trailers: bool,
    signs_trailers: bool,
    trailers: TrailerReader,
    trailer_bytes: usize,
    empty_lines: usize,
    decoded_length: Option<u64>,
    received: u64,
}

#[derive(Debug, Clone)]
enum State {
    Header,
    Data { left: u64 },
    DataEnd { after_cr: bool },
    Trailers,
    Failed(ChunkError),
}

impl ChunkDecoder {
    /// Begins a body of this mode; `None` when the mode is not a streaming one. `context` comes
    /// from [`crate::Verified`].
    pub fn new(
        mode: PayloadMode,
        context: &SigningContext,
        settings: &ChunkSettings<'_>,
    ) -> Option<Self> {
        let signs_trailers = mode == PayloadMode::StreamingSignedTrailer;
        let announced = if mode.has_trailers() { settings.trailers } else { "" };
        mode.is_streaming().then(|| Self {
            state: State::Header,
            line: Vec::new(),
            signer: mode.signs_chunks().then(|| ChainSigner::new(context.clone())),
            claimed: String::new(),
            may_have_trailers: mode.has_trailers(),
            signs_trailers,
            trailers: TrailerReader::new(announced, signs_trailers),
            trailer_bytes: 0,
            empty_lines: 0,
            decoded_length: settings.decoded_length,
            received: 0,
        })
    }

    /// The next piece of the payload in `input`, which is advanced past it, without a copy.
    /// `None` when `input` is used up: then more of the body is needed, or [`Self::finish`].
    ///
    /// # Errors
    /// The [`ChunkError`] of a body that breaks a rule; every later call gives the same.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        let result = self.step(input);
        if let Err(error) = &result {
            self.state = State::Failed(error.clone());
        }
        result
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        while !input.is_empty() {
            match &mut self.state {
                State::Failed(error) => return Err(error.clone()),
                State::Header => {
                    if self.take_line(input, MAX_HEADER) {
                        let line = std::mem::take(&mut self.line);
                        self.begin_chunk(&line)?;
                    } else if self.line.len() >= MAX_HEADER {
                        return Err(ChunkError::Malformed("a chunk header is too long"));
                    }
                }
                State::Data { left } => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let data = input.split_to(take);
                    *left -= take as u64;
                    let ended = *left == 0;
                    self.received += take as u64;
                    if let Some(signer) = &mut self.signer {
                        signer.update(&data);
                    }
                    if ended {
                        self.check_chunk()?;
                        self.state = State::DataEnd { after_cr: false };
                    }
                    return Ok(Some(data));
                }
                State::DataEnd { after_cr } => {
                    self.state = match (input.get_u8(), *after_cr) {
                        (b'\r', false) => State::DataEnd { after_cr: true },
                        (b'\n', true) => State::Header,
                        _ => {
                            let why = "a chunk is longer than its header says";
                            return Err(ChunkError::Malformed(why));
                        }
                    };
                }
                State::Trailers => {
                    let before = input.len();
                    let whole = self.take_line(input, MAX_TRAILERS);
                    self.trailer_bytes += before - input.len();
                    if self.trailer_bytes > MAX_TRAILERS || self.line.len() >= MAX_TRAILERS {
                        return Err(self.after_end("the trailers are too long"));
                    }
                    if whole {
                        let line = std::mem::take(&mut self.line);
                        self.trailer_line(line.strip_suffix(b"\r").unwrap_or(&line))?;
                    }
                }
            }
        }
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            _ => Ok(None),
        }
    }

    /// Moves bytes from `input` to the line until its LF (which is dropped) or `max` bytes are
    /// there; `true` at the LF.
    fn take_line(&mut self, input: &mut Bytes, max: usize) -> bool {
        let room = (max - self.line.len().min(max)).min(input.len());
        let end = input[..room].iter().position(|&byte| byte == b'\n');
        let part = input.split_to(end.unwrap_or(room));
        self.line.extend_from_slice(&part);
        if end.is_some() {
            input.advance(1);
        }
        end.is_some()
    }

    /// Reads `<size in hex>[;chunk-signature=<hex>]\r`.
    fn begin_chunk(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        let line = line
            .strip_suffix(b"\r")
            .and_then(|line| std::str::from_utf8(line).ok())
            .ok_or(ChunkError::Malformed("a chunk header does not end in CRLF"))?;
        let mut parts = line.split(';').map(str::trim);
        let size = parts.next().unwrap_or_default();
        // Digits only: `from_str_radix` would take a sign.
        let well_formed =
            (1..=16).contains(&size.len()) && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16)
            .ok()
            .filter(|_| well_formed)
            .ok_or(ChunkError::Malformed("a chunk size is not a hexadecimal number"))?;
        if self.signer.is_some() {
            let signature = parts
                .find_map(|part| part.strip_prefix(CHUNK_SIGNATURE))
                .ok_or(ChunkError::Malformed("a chunk has no signature"))?;
            signature.clone_into(&mut self.claimed);
        }
        let total = self.received.checked_add(size);
        match (self.decoded_length, total) {
            (Some(expected), Some(total)) if total > expected => {
                return Err(ChunkError::TooLong { expected });
            }
            (_, None) => return Err(ChunkError::Malformed("the chunk sizes overflow")),
            _ => {}
        }
        if size > 0 {
            self.state = State::Data { left: size };
            return Ok(());
        }
        self.check_chunk()?;
        match self.decoded_length {
            Some(expected) if self.received < expected => {
                Err(ChunkError::TooShort { expected, received: self.received })
            }
            _ => {
                self.state = State::Trailers;
                Ok(())
            }
        }
    }

    fn check_chunk(&mut self) -> Result<(), ChunkError> {
        let Some(signer) = &mut self.signer else { return Ok(()) };
        if bool::from(signer.end_chunk().as_bytes().ct_eq(self.claimed.as_bytes())) {
            Ok(())
        } else {
            Err(ChunkError::SignatureMismatch("a chunk"))
        }
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        if line.is_empty() {
            self.empty_lines += 1;
            return if self.empty_lines > MAX_EMPTY_LINES {
                Err(ChunkError::DataAfterEnd)
            } else {
                Ok(())
            };
        }
        if !self.may_have_trailers {
            return Err(ChunkError::DataAfterEnd);
        }
        self.trailers.line(line)
    }

    fn after_end(&self, why: &'static str) -> ChunkError {
        if self.may_have_trailers {
            ChunkError::MalformedTrailer(why)
        } else {
            ChunkError::DataAfterEnd
        }
    }

    /// Ends the body. The line ends after the last chunk and the trailers may be missing, since
    /// some clients leave them out, but nothing else may.
    ///
    /// # Errors
    /// The [`ChunkError`] of a body that is cut, or whose trailers or their signature are wrong.
    pub fn finish(mut self) -> Result<Finished, ChunkError> {
        match &self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Trailers => {}
            _ => return Err(ChunkError::Truncated),
        }
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if !line.is_empty() {
            if self.may_have_trailers && !TrailerReader::is_whole(line) {
                return Err(ChunkError::Truncated);
            }
            self.trailer_line(line)?;
        }
        if let (true, Some(signer)) = (self.signs_trailers, &mut self.signer) {
            let missing = ChunkError::MalformedTrailer("the trailer signature is missing");
            let claimed = self.trailers.signature.as_deref().ok_or(missing)?;
            let expected = signer.trailers(&self.trailers.canonical());
            if !bool::from(expected.as_bytes().ct_eq(claimed.as_bytes())) {
                return Err(ChunkError::SignatureMismatch("the trailers"));
            }
        }
        Ok(Finished { length: self.received, trailers: self.trailers.finish()? })
    }
}

impl fmt::Debug for ChunkDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkDecoder")
            .field("state", &self.state)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
