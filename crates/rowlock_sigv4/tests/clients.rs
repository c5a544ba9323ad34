//! Requests that real clients signed (key `key`, secret `secret`): botocore 1.44.5 and
//! `@aws-sdk/client-s3` 3.1172.0.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use rowlock_sigv4::{
    ChunkDecoder, ChunkSettings, Claim, PayloadMode, Policy, Refusal, Request, SigningKeys,
    Verified,
};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-24 08:20:00 UTC);
const KEY: &str = "/storage/v1/s3/b/a%20b%21%27%28%29%2A%2B~%C3%A4";

fn verify(
    method: &str,
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<Verified, Refusal> {
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    let request = Request {
        method,
        // As a gateway that cuts the prefix makes it arrive, and as it was signed.
        paths: &[path.strip_prefix("/storage/v1").unwrap(), path],
        hosts: &["gateway", "localhost:8000"],
        query,
        headers: &headers,
    };
    let claim = Claim::read(&request)?.unwrap();
    let verified = claim.verify("secret", NOW, &Policy::new("stub"), &SigningKeys::new())?;
    assert_eq!((verified.host, verified.path), (1, 1));
    Ok(verified)
}

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const DIGITS: &str = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";

#[test]
fn botocore_puts() {
    let verified = verify(
        "PUT",
        "/storage/v1/s3/b/a%20b%21%27%28%29%2A%2B~%C3%A4/%C3%A9//x",
        "",
        &[
            ("x-amz-meta-a", "x   y"),
            ("expect", "100-continue"),
            ("x-amz-checksum-crc32", "y/Q5Jg=="),
            ("x-amz-sdk-checksum-algorithm", "CRC32"),
            ("x-amz-date", "20261124T081947Z"),
            ("x-amz-content-sha256", DIGITS),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=key/20261124/us-east-1/s3/aws4_request, \
                 SignedHeaders=host;x-amz-checksum-crc32;x-amz-content-sha256;x-amz-date;\
                 x-amz-meta-a;x-amz-sdk-checksum-algorithm, \
                 Signature=71c0f1fbc3b94654f258c3007cd44dbd4f14375d3f346c17a954274926247123",
            ),
            ("amz-sdk-invocation-id", "7e61d948-f5dd-4ffe-a9e9-c0f82253caf8"),
            ("content-length", "9"),
        ],
    );
    assert_eq!(verified.unwrap().payload, PayloadMode::parse(DIGITS).unwrap());
}

#[test]
fn botocore_lists_and_reads_subresources() {
    for (query, date, signature) in [
        (
            "list-type=2&prefix=a%20b%2Bc%2F%C3%A4%2A~&delimiter=%2F&encoding-type=url",
            "20261124T081947Z",
            "3cd749f7edf555650cc872b83e2066ee1e36ea33af8183a93459c8d9635b4e76",
        ),
        (
            "acl",
            "20261124T081948Z",
            "83eb1de8cb0dad405ead6a70e848bd64193cb3fb6462e8ed84d1129ff7feb44f",
        ),
    ] {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=key/20261124/us-east-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
        );
        let headers = [
            ("x-amz-date", date),
            ("x-amz-content-sha256", EMPTY),
            ("authorization", authorization.as_str()),
        ];
        verify("GET", "/storage/v1/s3/b", query, &headers).unwrap();
        assert!(verify("GET", "/storage/v1/s3/b", "", &headers).is_err());
    }
}

#[test]
fn botocore_presigns_a_put_with_its_headers() {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=key%2F20261124%2Fus-east-1%2Fs3%2Faws4_request\
        &X-Amz-Date=20261124T081948Z&X-Amz-Expires=900\
        &X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-meta-a\
        &X-Amz-Signature=935d2790fe6bc780534df2fee03596744a9d63497c22445c6eb8f04076c677ec";
    let headers = [("content-type", "text/plain"), ("x-amz-meta-a", "x y")];
    let verified = verify("PUT", KEY, query, &headers).unwrap();
    assert_eq!(verified.expires, Some(datetime!(2026-11-24 08:34:48 UTC)));
    assert!(verify("PUT", KEY, query, &[("content-type", "text/html"), headers[1]]).is_err());
    assert!(verify("PUT", KEY, query, &headers[..1]).is_err());
}

#[test]
fn javascript_presigns_with_a_session_token() {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD\
        &X-Amz-Credential=key%2F20261124%2Fstub%2Fs3%2Faws4_request&X-Amz-Date=20261124T081955Z\
        &X-Amz-Expires=900&X-Amz-Security-Token=tok\
        &X-Amz-Signature=3c5c4a704d3734b3e2af17253be03760aa2e5898bd034a895db6dd4320eaa47d\
        &X-Amz-SignedHeaders=host&x-amz-checksum-mode=ENABLED&x-id=GetObject";
    assert_eq!(verify("GET", KEY, query, &[]).unwrap().payload, PayloadMode::Unsigned);
}

#[test]
fn javascript_streams_with_a_trailer() {
    let verified = verify(
        "PUT",
        "/storage/v1/s3/b/k",
        "x-id=PutObject",
        &[
            ("content-type", "application/octet-stream"),
            ("x-amz-sdk-checksum-algorithm", "CRC32"),
            ("content-encoding", "aws-chunked"),
            ("transfer-encoding", "chunked"),
            ("x-amz-decoded-content-length", "9"),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-user-agent", "aws-sdk-js/3.1172.0"),
            ("amz-sdk-invocation-id", "b8963312-e4da-4169-b04e-ed3bd02ee63d"),
            ("amz-sdk-request", "attempt=1; max=1"),
            ("x-amz-date", "20261124T081955Z"),
            ("x-amz-security-token", "tok"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=key/20261124/stub/s3/aws4_request, \
                 SignedHeaders=amz-sdk-invocation-id;amz-sdk-request;content-encoding;\
                 content-type;host;x-amz-content-sha256;x-amz-date;\
                 x-amz-decoded-content-length;x-amz-sdk-checksum-algorithm;\
                 x-amz-security-token;x-amz-trailer;x-amz-user-agent, \
                 Signature=4edba4332deda348dd8d3a48414ff1327ddaef3b19213bd3cae3356e5e935a5a",
            ),
        ],
    )
    .unwrap();
    let settings = ChunkSettings { decoded_length: Some(9), trailers: "x-amz-checksum-crc32" };
    let mut decoder = ChunkDecoder::new(verified.payload, &verified.context, &settings).unwrap();
    let mut body = Bytes::from_static(
        b"5\r\n12345\r\n4\r\n6789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n",
    );
    let mut payload = Vec::new();
    while let Some(part) = decoder.next(&mut body).unwrap() {
        payload.extend_from_slice(&part);
    }
    assert_eq!(payload, b"123456789");
    let checksums: Vec<String> =
        decoder.finish().unwrap().trailers.checksums().map(|c| c.hex()).collect();
    assert_eq!(checksums, ["cbf43926"]);
}
