//! AWS's published examples, with the keys of its documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use rowlock_sigv4::{
    ChunkDecoder, ChunkEncoder, ChunkSettings, Claim, PayloadMode, Placement, Policy, Request,
    Signer, SigningKeys, Verified,
};
use time::OffsetDateTime;
use time::macros::datetime;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: OffsetDateTime = datetime!(2013-05-24 00:00:00 UTC);
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const SIGNER: Signer<'_> = Signer {
    access_key: "AKIAIOSFODNN7EXAMPLE",
    secret: SECRET,
    session_token: None,
    region: "us-east-1",
};

fn verify(request: &Request<'_>) -> Verified {
    let claim = Claim::read(request).unwrap().unwrap();
    assert_eq!(claim.access_key(), "AKIAIOSFODNN7EXAMPLE");
    assert_eq!((claim.region(), claim.timestamp()), ("us-east-1", NOW));
    claim.verify(SECRET, NOW, &Policy::new("us-east-1"), &SigningKeys::new()).unwrap()
}

/// Verifies the documented signature, and makes it with our own signer.
fn example(
    method: &str,
    (host, path, query): (&str, &str, &str),
    headers: &[(&str, &str)],
    payload: &str,
    signature: &str,
) -> Verified {
    let mut signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    signed.extend(["host", "x-amz-content-sha256", "x-amz-date"]);
    signed.sort_unstable();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={},Signature={signature}",
        signed.join(";")
    );
    let own: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    let mut sent = own.clone();
    sent.extend([
        ("authorization", authorization.as_bytes()),
        ("x-amz-content-sha256", payload.as_bytes()),
        ("x-amz-date", b"20130524T000000Z"),
        ("user-agent", b"not signed"),
    ]);
    let (paths, hosts) = ([path], [host]);
    let request = Request { method, paths: &paths, hosts: &hosts, query, headers: &sent };
    let verified = verify(&request);
    assert_eq!((verified.host, verified.path, verified.expires), (0, 0, None));
    assert_eq!(verified.context.signature(), signature);
    assert_eq!(verified.payload, PayloadMode::parse(payload).unwrap());
    assert_eq!(verified.payload.to_string(), payload);

    let request = Request { headers: &own, ..request };
    let made = SIGNER.sign(&request, verified.payload, NOW);
    assert_eq!(made.context.signature(), signature);
    assert_eq!(made.context.scope(), "20130524/us-east-1/s3/aws4_request");
    verified
}

const BUCKET: &str = "examplebucket.s3.amazonaws.com";

#[test]
fn get_object_with_range() {
    example(
        "GET",
        (BUCKET, "/test.txt", ""),
        &[("range", "bytes=0-9")],
        EMPTY,
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
}

#[test]
fn put_object() {
    example(
        "PUT",
        (BUCKET, "/test%24file.text", ""),
        &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
}

#[test]
fn get_bucket_lifecycle() {
    example(
        "GET",
        (BUCKET, "/", "lifecycle"),
        &[],
        EMPTY,
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    );
}

#[test]
fn list_objects() {
    example(
        "GET",
        (BUCKET, "/", "prefix=J&max-keys=2"),
        &[],
        EMPTY,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    );
}

#[test]
fn presigned_url() {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
        &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let request = Request {
        method: "GET",
        paths: &["/test.txt"],
        hosts: &[BUCKET],
        query,
        headers: &[("authorization", b"")],
    };
    let verified = verify(&request);
    assert_eq!(verified.payload, PayloadMode::Unsigned);
    assert_eq!(verified.expires, Some(datetime!(2013-05-25 00:00:00 UTC)));
    assert_eq!(Claim::read(&request).unwrap().unwrap().placement(), Placement::Query);

    let request = Request { query: "", headers: &[], ..request };
    assert_eq!(SIGNER.presign(&request, 86_400, NOW), query);
}

/// The documented upload of 65 KiB of `a` in chunks of 64 KiB: its seed, the signatures of its
/// three chunks, and that of its trailers if it has any.
fn chunked(
    mode: PayloadMode,
    seed: &str,
    chunks: [&str; 3],
    trailer: Option<(&str, &str, &str)>,
) -> Vec<u8> {
    let mut headers = vec![
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    // The second example signs its trailer's name instead of the length.
    headers.push(match trailer {
        Some((name, _, _)) => ("x-amz-trailer", name),
        None => ("content-length", "66824"),
    });
    let resource = ("s3.amazonaws.com", "/examplebucket/chunkObject.txt", "");
    let verified = example("PUT", resource, &headers, &mode.to_string(), seed);

    let mut body = format!("10000;chunk-signature={}\r\n", chunks[0]).into_bytes();
    body.extend([b'a'; 65_536]);
    body.extend(format!("\r\n400;chunk-signature={}\r\n", chunks[1]).bytes());
    body.extend([b'a'; 1024]);
    body.extend(format!("\r\n0;chunk-signature={}\r\n", chunks[2]).bytes());
    let mut trailers = Vec::new();
    if let Some((name, value, signature)) = trailer {
        body.extend(format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n").bytes());
        trailers.push((name, value));
    }
    body.extend(b"\r\n");

    let mut encoder = ChunkEncoder::new(mode, &verified.context).unwrap();
    let mut made = encoder.chunk(&[b'a'; 65_536]);
    made.extend(encoder.chunk(&[b'a'; 1024]));
    made.extend(encoder.end(&trailers));
    assert!(made == body, "the encoder makes the documented body");

    let settings = ChunkSettings {
        decoded_length: Some(66_560),
        trailers: trailer.map_or("", |(name, _, _)| name),
    };
    let mut decoder = ChunkDecoder::new(mode, &verified.context, &settings).unwrap();
    let mut input = Bytes::from(body.clone());
    let mut decoded = Vec::new();
    while let Some(piece) = decoder.next(&mut input).unwrap() {
        decoded.extend_from_slice(&piece);
    }
    assert!(decoded == [b'a'; 66_560]);
    let finished = decoder.finish().unwrap();
    assert_eq!(finished.trailers.iter().collect::<Vec<_>>(), trailers);
    assert_eq!(finished.length, 66_560);
    body
}

#[test]
fn chunked_upload() {
    let body = chunked(
        PayloadMode::StreamingSigned,
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ],
        None,
    );
    assert_eq!(body.len(), 66_824);
}

#[test]
fn chunked_upload_with_a_trailer() {
    chunked(
        PayloadMode::StreamingSignedTrailer,
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ],
        Some((
            "x-amz-checksum-crc32c",
            "sOO8/Q==",
            "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
        )),
    );
}
