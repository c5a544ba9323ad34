//! Bodies in chunks: every mode, every way to cut them, and what real clients send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;
use rowlock_sigv4::{
    ChunkDecoder, ChunkEncoder, ChunkError, ChunkSettings, Finished, PayloadMode, Request, Signer,
    SigningContext,
};
use time::macros::datetime;

const CRC: (&str, &str) = ("x-amz-checksum-crc32", "y/Q5Jg==");
const MODES: [PayloadMode; 3] = [
    PayloadMode::StreamingSigned,
    PayloadMode::StreamingSignedTrailer,
    PayloadMode::StreamingUnsignedTrailer,
];

fn context(mode: PayloadMode) -> SigningContext {
    let signer =
        Signer { access_key: "key", secret: "secret", session_token: None, region: "stub" };
    let request = Request {
        method: "PUT",
        paths: &["/bucket/key"],
        hosts: &["localhost"],
        query: "",
        headers: &[],
    };
    signer.sign(&request, mode, datetime!(2026-08-30 12:00:00 UTC)).context
}

fn encode(mode: PayloadMode, chunks: &[&[u8]]) -> Vec<u8> {
    let mut encoder = ChunkEncoder::new(mode, &context(mode)).unwrap();
    let mut body: Vec<u8> = chunks.iter().flat_map(|chunk| encoder.chunk(chunk)).collect();
    body.extend(encoder.end(if mode.has_trailers() { &[CRC] } else { &[] }));
    body
}

fn decoder(mode: PayloadMode, decoded_length: Option<u64>) -> ChunkDecoder {
    let settings = ChunkSettings { decoded_length, trailers: " X-Amz-Checksum-CRC32 ," };
    ChunkDecoder::new(mode, &context(mode), &settings).unwrap()
}

/// Feeds the pieces one after the other.
fn decode(mut decoder: ChunkDecoder, pieces: &[&[u8]]) -> Result<(Vec<u8>, Finished), ChunkError> {
    let mut payload = Vec::new();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(part) = decoder.next(&mut input)? {
            assert!(!part.is_empty());
            payload.extend_from_slice(&part);
        }
        assert!(input.is_empty());
    }
    decoder.finish().map(|finished| (payload, finished))
}

fn decode_whole(mode: PayloadMode, length: u64, body: &[u8]) -> Result<Finished, ChunkError> {
    decode(decoder(mode, Some(length)), &[body]).map(|(_, finished)| finished)
}

fn unsigned(length: u64, body: &str) -> Result<Finished, ChunkError> {
    decode_whole(PayloadMode::StreamingUnsignedTrailer, length, body.as_bytes())
}

#[test]
fn only_streaming_modes_have_chunks() {
    for mode in [PayloadMode::Unsigned, PayloadMode::Hashed([0; 32])] {
        let context = context(mode);
        assert!(ChunkDecoder::new(mode, &context, &ChunkSettings::default()).is_none());
        assert!(ChunkEncoder::new(mode, &context).is_none());
    }
}

#[test]
fn an_empty_body_is_one_chunk() {
    for mode in MODES {
        let (payload, finished) = decode(decoder(mode, Some(0)), &[&encode(mode, &[])]).unwrap();
        assert!(payload.is_empty());
        assert_eq!(finished.length, 0);
        assert_eq!(finished.trailers.checksums().count(), usize::from(mode.has_trailers()));
        assert_eq!(decode(decoder(mode, Some(0)), &[]), Err(ChunkError::Truncated));
    }
}

#[test]
fn payload_is_handed_out_without_copies() {
    let body = Bytes::from(encode(PayloadMode::StreamingUnsignedTrailer, &[b"123456789"]));
    let mut input = body.clone();
    let part = decoder(PayloadMode::StreamingUnsignedTrailer, None).next(&mut input);
    let part = part.unwrap().unwrap();
    assert_eq!(part, "123456789");
    assert!(body.as_ptr_range().contains(&part.as_ptr()));
}

#[test]
fn the_line_ends_that_clients_send() {
    let crc = "x-amz-checksum-crc32:y/Q5Jg==";
    for end in [
        // The SDKs of AWS.
        format!("0\r\n{crc}\r\n\r\n"),
        // Without the last line end, and without any.
        format!("0\r\n{crc}\r\n"),
        format!("0\r\n{crc}"),
        format!("0\r\n{crc}\r"),
        // minio's clients end a trailer with LF, and then add empty lines.
        format!("0\r\n{crc}\n\r\n\r\n"),
        // The empty chunk ended like any other.
        format!("0\r\n\r\n{crc}\r\n\r\n"),
        // White space around the value; an extension on the chunk.
        "0;ext=1\r\nX-Amz-Checksum-Crc32 : y/Q5Jg== \r\n\r\n".to_owned(),
    ] {
        let finished = unsigned(9, &format!("9\r\n123456789\r\n{end}")).unwrap();
        assert_eq!(finished.trailers.iter().collect::<Vec<_>>(), [CRC], "{end:?}");
    }
    // Signed, minio's clients put the signature after an empty line.
    let mode = PayloadMode::StreamingSignedTrailer;
    let body = String::from_utf8(encode(mode, &[b"123456789"])).unwrap();
    for bent in [
        body.replace("==\r\n", "==\n\r\n"),
        body.trim_end().to_owned(),
        body.replace("x-amz-checksum", "X-Amz-Checksum"),
    ] {
        decode_whole(mode, 9, bent.as_bytes()).unwrap();
    }
    let mode = PayloadMode::StreamingSigned;
    let body = String::from_utf8(encode(mode, &[b"123456789"])).unwrap();
    decode_whole(mode, 9, body.trim_end_matches("\r\n\r\n").as_bytes()).unwrap_err();
    decode_whole(mode, 9, body.strip_suffix("\r\n").unwrap().as_bytes()).unwrap();
}

#[test]
fn malformed_bodies_are_refused() {
    let malformed = |body: &str| match unsigned(9, body) {
        Err(error @ ChunkError::Malformed(_)) => error.code() == "InvalidRequest",
        other => panic!("{body:?}: {other:?}"),
    };
    for body in [
        "\r\n",
        "x\r\n",
        "+9\r\n123456789\r\n",
        "-1\r\n",
        "0x9\r\n123456789\r\n",
        "9 9\r\n",
        "9\n123456789\r\n",
        "00000000000000009\r\n",
        "9\r\n123456789123\r\n",
        "9\r\n1234567890\r\n\r\n",
        "9\r\n123456789\n0\r\n",
        &"9".repeat(2000),
        &format!("9;{}\r\n", "x".repeat(2000)),
    ] {
        assert!(malformed(body), "{body:?}");
    }
    let no_length = || decoder(PayloadMode::StreamingUnsignedTrailer, None);
    let huge = b"1\r\n1\r\nffffffffffffffff\r\n".as_slice();
    assert!(matches!(decode(no_length(), &[huge]), Err(ChunkError::Malformed(_))));
    let unsigned_chunk = decode_whole(PayloadMode::StreamingSigned, 9, b"9\r\n123456789\r\n");
    assert!(matches!(unsigned_chunk, Err(ChunkError::Malformed(_))));
}

#[test]
fn the_decoded_length_is_exact() {
    for mode in MODES {
        let body = encode(mode, &[b"12345", b"6789"]);
        assert_eq!(decode_whole(mode, 9, &body).unwrap().length, 9);
        assert_eq!(decode(decoder(mode, None), &[&body]).unwrap().1.length, 9);
        let long = decode_whole(mode, 8, &body).unwrap_err();
        assert_eq!(long, ChunkError::TooLong { expected: 8 });
        let short = decode_whole(mode, 10, &body).unwrap_err();
        assert_eq!(short, ChunkError::TooShort { expected: 10, received: 9 });
        assert_eq!((long.code(), short.code()), ("IncompleteBody", "IncompleteBody"));
    }
    // Refused by its header, before the data.
    let early = decode_whole(PayloadMode::StreamingUnsignedTrailer, 8, b"ffff\r\n");
    assert_eq!(early, Err(ChunkError::TooLong { expected: 8 }));
}

#[test]
fn nothing_may_follow_the_end() {
    for mode in MODES {
        let mut body = encode(mode, &[b"123456789"]);
        body.extend(b"1\r\nx\r\n");
        assert!(decode_whole(mode, 9, &body).is_err());
        let mut lines = encode(mode, &[b"123456789"]);
        lines.extend(b"\r\n".repeat(8));
        assert_eq!(decode_whole(mode, 9, &lines), Err(ChunkError::DataAfterEnd));
    }
    let mut trailers = encode(PayloadMode::StreamingSigned, &[b"123456789"]);
    trailers.truncate(trailers.len() - 2);
    trailers.extend(b"x-amz-checksum-crc32:y/Q5Jg==\r\n\r\n");
    let refused = decode_whole(PayloadMode::StreamingSigned, 9, &trailers);
    assert_eq!(refused, Err(ChunkError::DataAfterEnd));
}

#[test]
fn trailers_are_those_announced() {
    let crc = "x-amz-checksum-crc32:y/Q5Jg==\r\n";
    for trailers in [
        "",
        "\r\n",
        "nonsense\r\n\r\n",
        "x-amz-checksum-crc32:\r\n\r\n",
        "x-amz-checksum-crc32:y/Q5Jg\r\n\r\n",
        "x-amz-checksum-crc32c:y/Q5Jg==\r\n\r\n",
        &format!("{crc}{crc}\r\n"),
        &format!("{crc}x-amz-meta-a:1\r\n\r\n"),
        &format!("{crc}x-amz-trailer-signature:{}\r\n\r\n", "0".repeat(64)),
        &format!("{crc}x-amz-checksum-crc32:\u{7}\r\n\r\n"),
        &format!("x:{}", "y".repeat(9000)),
        &"x:\r\n".repeat(3000),
    ] {
        match unsigned(0, &format!("0\r\n{trailers}")) {
            Err(error @ ChunkError::MalformedTrailer(_)) => {
                assert_eq!(error.code(), "MalformedTrailerError");
            }
            other => panic!("{trailers:?}: {other:?}"),
        }
    }
    let cut = unsigned(0, "0\r\nx-amz-checksum-crc32:y/Q5J");
    assert_eq!(cut, Err(ChunkError::Truncated));
}

#[test]
fn a_trailer_signature_is_needed_and_checked() {
    let mode = PayloadMode::StreamingSignedTrailer;
    let body = String::from_utf8(encode(mode, &[b"123456789"])).unwrap();
    let (chunks, signature) = body.split_once("x-amz-trailer-signature").unwrap();
    let missing = decode_whole(mode, 9, format!("{chunks}\r\n").as_bytes());
    assert!(matches!(missing, Err(ChunkError::MalformedTrailer(_))));
    let changed = body.replace("y/Q5Jg==", "y/Q5Jw==");
    let changed = decode_whole(mode, 9, changed.as_bytes()).unwrap_err();
    assert_eq!(changed.code(), "SignatureDoesNotMatch");
    let late =
        format!("{chunks}x-amz-trailer-signature{signature}x-amz-checksum-crc32:AAAAAA==\r\n");
    assert!(decode_whole(mode, 9, late.as_bytes()).is_err());
}

#[test]
fn chunks_cannot_be_dropped_or_swapped() {
    let mode = PayloadMode::StreamingSigned;
    let context = context(mode);
    let mut encoder = ChunkEncoder::new(mode, &context).unwrap();
    let (first, second) = (encoder.chunk(b"12345"), encoder.chunk(b"6789x"));
    let end = encoder.end(&[]);
    let run = |parts: &[&[u8]]| decode(decoder(mode, None), parts).map(|(payload, _)| payload);
    assert_eq!(run(&[&first, &second, &end]).unwrap(), b"123456789x");
    for parts in [
        [second.as_slice(), &first, &end].as_slice(),
        &[&first, &end],
        &[&first, &first, &second, &end],
        &[&end],
    ] {
        assert_eq!(run(parts), Err(ChunkError::SignatureMismatch("a chunk")));
    }
}

#[test]
fn an_error_stays() {
    let mut decoder = decoder(PayloadMode::StreamingUnsignedTrailer, None);
    let error = decoder.next(&mut Bytes::from_static(b"x\r\n")).unwrap_err();
    assert_eq!(decoder.next(&mut Bytes::from_static(b"0\r\n")), Err(error.clone()));
    assert_eq!(decoder.next(&mut Bytes::new()), Err(error.clone()));
    assert_eq!(decoder.finish(), Err(error));
}

/// A payload cut in chunks, and the points where the network cuts the body.
fn cuts() -> impl Strategy<Value = (Vec<u8>, Vec<usize>, Vec<prop::sample::Index>)> {
    (
        proptest::collection::vec(any::<u8>(), 0..600),
        proptest::collection::vec(1usize..200, 1..6),
        proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    )
}

fn in_chunks<'a>(payload: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut chunks) = (payload, Vec::new());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, tail) = rest.split_at((*size).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
    }
    chunks
}

proptest! {
    #[test]
    fn any_split_decodes_to_the_payload((payload, sizes, cuts) in cuts()) {
        for mode in MODES {
            let body = encode(mode, &in_chunks(&payload, &sizes));
            let mut points: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).collect();
            points.extend([0, body.len()]);
            points.sort_unstable();
            let pieces: Vec<&[u8]> = points.windows(2).map(|p| &body[p[0]..p[1]]).collect();
            let length = Some(payload.len() as u64);
            let (decoded, finished) = decode(decoder(mode, length), &pieces).unwrap();
            prop_assert_eq!(&decoded, &payload);
            prop_assert_eq!(finished.length, payload.len() as u64);
            let bytes: Vec<&[u8]> = body.chunks(1).collect();
            prop_assert_eq!(&decode(decoder(mode, None), &bytes).unwrap().0, &payload);
        }
    }

    #[test]
    fn a_cut_body_is_refused((payload, sizes, _) in cuts(), cut: prop::sample::Index) {
        for mode in MODES {
            let body = encode(mode, &in_chunks(&payload, &sizes));
            // What may be missing: the end of the last line, and the empty line after it.
            let needed = body.trim_ascii_end().len();
            let needed = if mode.has_trailers() { needed } else { needed + 2 };
            let cut = &body[..cut.index(needed)];
            prop_assert!(decode(decoder(mode, Some(payload.len() as u64)), &[cut]).is_err());
            prop_assert!(decode(decoder(mode, None), &[cut]).is_err());
        }
    }

    #[test]
    fn a_flipped_bit_of_a_signed_body_is_refused_or_harmless(
        (payload, sizes, _) in cuts(),
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        for mode in [PayloadMode::StreamingSigned, PayloadMode::StreamingSignedTrailer] {
            let mut body = encode(mode, &in_chunks(&payload, &sizes));
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
            // The case of a size's digits and of names carries no meaning, nor does white space.
            if let Ok((decoded, finished)) = decode(decoder(mode, None), &[&body]) {
                prop_assert_eq!(&decoded, &payload);
                let trailers: Vec<_> = finished.trailers.iter().collect();
                prop_assert_eq!(trailers, if mode.has_trailers() { vec![CRC] } else { vec![] });
            }
        }
    }

    #[test]
    fn noise_never_panics(noise in "([0-9a-f]{0,3}(;chunk-signature=)?(\r\n)?[a-z:=]{0,9}\r?\n?){0,9}") {
        for mode in MODES {
            let _ = decode(decoder(mode, None), &[noise.as_bytes()]);
        }
    }
}
