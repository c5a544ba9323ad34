//! aws-chunked bodies. An input's first byte is the mode, the second the size of the pieces in
//! which the body arrives. In mode `3` the rest is the body, read in every mode; in the others it
//! is a payload that is framed first: behind the size of its chunks, and where and how a byte of
//! the framed body is changed.

use std::sync::LazyLock;

use bytes::Bytes;
use rowlock_sigv4::{
    ChunkDecoder, ChunkEncoder, ChunkError, ChunkSettings, Finished, PayloadMode, Request, Signer,
    SigningContext,
};
use time::OffsetDateTime;

const MODES: [PayloadMode; 3] = [
    PayloadMode::StreamingSigned,
    PayloadMode::StreamingSignedTrailer,
    PayloadMode::StreamingUnsignedTrailer,
];
const TRAILER: &str = "x-amz-checksum-crc32";

static CONTEXT: LazyLock<SigningContext> = LazyLock::new(|| {
    let request = Request { method: "PUT", paths: &["/"], hosts: &["h"], query: "", headers: &[] };
    let signer = Signer { access_key: "id", secret: "s", session_token: None, region: "r" };
    signer.sign(&request, PayloadMode::StreamingSignedTrailer, OffsetDateTime::UNIX_EPOCH).context
});

type Decoded = (Vec<u8>, Result<Finished, ChunkError>);

/// The payload as far as it was handed out, and how the body ended.
fn decode(mode: PayloadMode, trailers: &str, body: &[u8], step: usize) -> Decoded {
    let settings = ChunkSettings { decoded_length: None, trailers };
    let Some(mut decoder) = ChunkDecoder::new(mode, &CONTEXT, &settings) else {
        unreachable!("all of these modes are streaming ones");
    };
    let mut out = Vec::new();
    for piece in body.chunks(step.max(1)) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(decoded)) => out.extend_from_slice(&decoded),
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
    }
    (out, decoder.finish())
}

/// How a body is cut changes nothing about what it holds or why it is refused; what is framed is
/// read as it was; and a signed body that was changed on the way is refused or says the same.
pub fn check(data: &[u8]) {
    let [mode, step, rest @ ..] = data else { return };
    let step = usize::from(*step);
    let Some(mode) = MODES.get(usize::from(*mode % 4)) else {
        for mode in MODES {
            for trailers in ["", TRAILER] {
                let cut = decode(mode, trailers, rest, step);
                let whole = decode(mode, trailers, rest, rest.len());
                assert_eq!(cut.1, whole.1, "the verdict depends on how the body is cut");
                // A signed chunk is handed out as far as it came before it was known to be wrong.
                if whole.1.is_ok() || !mode.signs_chunks() {
                    assert_eq!(cut.0, whole.0, "the payload depends on how the body is cut");
                }
                assert!(cut.0.len() <= rest.len());
            }
        }
        return;
    };
    let [size, place, change, payload @ ..] = rest else { return };
    let Some(mut encoder) = ChunkEncoder::new(*mode, &CONTEXT) else { return };
    let mut body: Vec<u8> =
        payload.chunks(usize::from(*size).max(1)).flat_map(|piece| encoder.chunk(piece)).collect();
    let trailers = if mode.has_trailers() { TRAILER } else { "" };
    let end = [(TRAILER, "y/Q5Jg==")];
    body.extend(encoder.end(if mode.has_trailers() { &end } else { &[] }));
    let (decoded, finished) = decode(*mode, trailers, &body, step);
    assert_eq!(decoded, payload);
    let finished = finished.map(|f| f.trailers.get(TRAILER).map(str::to_owned));
    let sent = mode.has_trailers().then(|| end[0].1.to_owned());
    assert_eq!(finished, Ok(sent.clone()));

    let place = usize::from(*place) * body.len() / 256;
    body[place] ^= *change;
    let (decoded, finished) = decode(*mode, trailers, &body, step);
    if let (Ok(finished), true) = (finished, mode.signs_chunks()) {
        assert_eq!(decoded, payload, "a changed payload is accepted");
        assert_eq!(finished.trailers.get(TRAILER).map(str::to_owned), sent);
    }
}
