//! aws-chunked bodies in each mode, cut into pieces of any size: no piece is longer than what came
//! in, and unsigned chunks decode the same however they are cut.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rowlock_sigv4::{ChunkDecoder, ChunkSettings, PayloadMode, Request, Signer, SigningContext};
use time::OffsetDateTime;

fn context() -> SigningContext {
    let request = Request { method: "PUT", paths: &["/"], hosts: &["h"], query: "", headers: &[] };
    let signer = Signer { access_key: "id", secret: "s", session_token: None, region: "r" };
    signer.sign(&request, PayloadMode::StreamingSignedTrailer, OffsetDateTime::UNIX_EPOCH).context
}

fn decode(mode: PayloadMode, context: &SigningContext, data: &[u8], step: usize) -> Option<Vec<u8>> {
    let settings = ChunkSettings { decoded_length: None, trailers: "x-amz-checksum-crc32" };
    let mut decoder = ChunkDecoder::new(mode, context, &settings)?;
    let mut out = Vec::new();
    for piece in data.chunks(step.max(1)) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(decoded) = decoder.next(&mut input).ok()? {
            out.extend_from_slice(&decoded);
        }
    }
    decoder.finish().ok()?;
    assert!(out.len() <= data.len());
    Some(out)
}

fuzz_target!(|data: &[u8]| {
    let Some((step, body)) = data.split_first() else { return };
    let context = context();
    for mode in [PayloadMode::StreamingSigned, PayloadMode::StreamingSignedTrailer] {
        decode(mode, &context, body, usize::from(*step));
    }
    let mode = PayloadMode::StreamingUnsignedTrailer;
    let cut = decode(mode, &context, body, usize::from(*step));
    assert_eq!(cut, decode(mode, &context, body, body.len()));
});
