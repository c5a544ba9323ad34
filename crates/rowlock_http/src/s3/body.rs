//! The request's body as the domain takes it: decoded from aws-chunked where it is that, with
//! everything that the client said about it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::{HeaderMap, header};
use http_body::Body as _;
use rowlock_digest::{Algorithm, Checksum, Digests};
use rowlock_sigv4::{ChunkDecoder, ChunkError, ChunkSettings, PayloadMode, SigningContext};
use rowlock_storage::{BodyError, Expected, TrailerChecks, UploadStream};

use super::body_fault::{BodyFault, fault_of};
use super::error::{S3Error, code};

/// A body that nobody has begun to read.
pub(crate) struct RequestBody {
    body: Option<Body>,
    payload: PayloadMode,
    context: SigningContext,
    length: Option<u64>,
    expected: Expected,
    trailer_names: String,
}

impl RequestBody {
    /// Reads what the headers say about the body.
    ///
    /// # Errors
    /// InvalidDigest, InvalidRequest or InvalidArgument for headers that cannot be true.
    pub(crate) fn new(
        body: Body,
        headers: &HeaderMap,
        payload: PayloadMode,
        context: SigningContext,
    ) -> Result<Self, (Body, S3Error)> {
        match Announced::read(headers, payload, &body) {
            Err(error) => Err((body, error)),
            Ok(Announced { length, expected, trailer_names }) => {
                Ok(Self { body: Some(body), payload, context, length, expected, trailer_names })
            }
        }
    }

    /// How many bytes the body has once it is decoded, where the request says it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The body, where nobody began to read it.
    pub(crate) fn unread(&mut self) -> Option<Body> {
        self.body.take()
    }

    /// The decoded body, and what must be true of it. Reading it answers `Expect: 100-continue`.
    pub(crate) fn open(&mut self) -> (UploadStream, Expected) {
        let expected = std::mem::take(&mut self.expected);
        let body = self.body.take().unwrap_or_else(Body::empty).into_data_stream();
        let settings = ChunkSettings { decoded_length: self.length, trailers: &self.trailer_names };
        let decoder = ChunkDecoder::new(self.payload, &self.context, &settings);
        let stream = match decoder {
            None => plain(body),
            Some(decoder) => {
                let values = expected.trailer.as_ref().map(|trailer| Arc::clone(&trailer.values));
                chunked(body, decoder, values)
            }
        };
        (stream, expected)
    }

    /// The whole of a small body, with everything verified that the client said about it.
    ///
    /// # Errors
    /// MalformedXML when it is longer than `limit` bytes (only XML bodies are read so).
    pub(crate) async fn collect(&mut self, limit: usize) -> Result<Bytes, S3Error> {
        if self.length.is_some_and(|length| length > limit as u64) {
            return Err(S3Error::malformed_xml());
        }
        let (mut stream, expected) = self.open();
        let mut whole = BytesMut::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(rowlock_storage::Error::Body)?;
            if whole.len() + piece.len() > limit {
                return Err(S3Error::malformed_xml());
            }
            whole.extend_from_slice(&piece);
        }
        verify(&whole, &expected)?;
        Ok(whole.freeze())
    }
}

/// What the headers say about a body.
struct Announced {
    length: Option<u64>,
    expected: Expected,
    trailer_names: String,
}

impl Announced {
    fn read(headers: &HeaderMap, payload: PayloadMode, body: &Body) -> Result<Self, S3Error> {
        let text = |name: &str| -> Option<&str> {
            headers.get(name).map(|value| value.to_str().unwrap_or("?").trim())
        };
        let number = |name: &'static str| match text(name) {
            None => Ok(None),
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map(Some).map_err(|_| invalid_length(name, digits))
            }
            Some(other) => Err(invalid_length(name, other)),
        };
        let chunked_transfer = headers.contains_key(header::TRANSFER_ENCODING);
        let sent = number("content-length")?;
        let length = if payload.is_streaming() {
            // Without it the size is known only at the end, as with a chunked transfer.
            number("x-amz-decoded-content-length")?
        } else {
            sent.or_else(|| body.size_hint().exact().filter(|_| !chunked_transfer))
        };
        let md5 = match text("content-md5") {
            None => None,
            Some(value) => Some(
                Checksum::parse(Algorithm::Md5, value)
                    .ok()
                    .and_then(|sum| sum.value().try_into().ok())
                    .ok_or_else(|| {
                        S3Error::new(
                            code::INVALID_DIGEST,
                            "The Content-MD5 you specified was invalid.",
                        )
                        .detail("Content-MD5", value)
                    })?,
            ),
        };
        refuse_unknown_checksums(headers)?;
        let mut checksums = Vec::new();
        for algorithm in Algorithm::ALL {
            let Some(name) = algorithm.header() else { continue };
            let Some(value) = text(name) else { continue };
            let sum = Checksum::parse(algorithm, value).map_err(|_| {
                S3Error::invalid_request(format!("Value for {name} header is invalid."))
            })?;
            checksums.push(sum);
        }
        let trailer_names = text("x-amz-trailer").unwrap_or_default().to_owned();
        let announced = text("x-amz-sdk-checksum-algorithm").filter(|name| !name.is_empty());
        if announced.is_some() && checksums.is_empty() && trailer_names.is_empty() {
            return Err(S3Error::invalid_request(
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
            ));
        }
        let trailer = trailer_checks(&trailer_names, payload)?;
        if checksums.len() + trailer.as_ref().map_or(0, |t| t.algorithms.len()) > 1 {
            return Err(S3Error::invalid_request(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
        let sha256 = match payload {
            PayloadMode::Hashed(digest) => Some(digest),
            _ => None,
        };
        let expected = Expected { length, md5, sha256, checksums, trailer, ..Expected::default() };
        Ok(Self { length, expected, trailer_names })
    }
}

/// A checksum of an algorithm that is unknown here would go unverified.
fn refuse_unknown_checksums(headers: &HeaderMap) -> Result<(), S3Error> {
    let about = ["x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"];
    let unknown = headers.keys().map(http::HeaderName::as_str).find(|name| {
        name.starts_with("x-amz-checksum-")
            && !about.contains(name)
            && Algorithm::from_header(name).is_none()
    });
    match unknown {
        None => Ok(()),
        Some(name) => Err(S3Error::new(
            code::NOT_IMPLEMENTED,
            format!("{name}: checksums of this algorithm are not implemented"),
        )),
    }
}

fn invalid_length(name: &'static str, value: &str) -> S3Error {
    S3Error::invalid_argument(name, value, "the length is not a number of bytes")
}

/// The checksums that the trailer will bring. An announced checksum of an algorithm that is
/// unknown here cannot be verified, so it is refused.
fn trailer_checks(names: &str, payload: PayloadMode) -> Result<Option<TrailerChecks>, S3Error> {
    let mut algorithms = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match Algorithm::from_header(name) {
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                return Err(S3Error::invalid_request(
                    "The value specified in the x-amz-trailer header is not supported",
                ));
            }
        }
    }
    if algorithms.is_empty() {
        return Ok(None);
    }
    if !payload.has_trailers() {
        return Err(S3Error::invalid_request(
            "x-amz-trailer needs a payload mode with trailers in x-amz-content-sha256",
        ));
    }
    Ok(Some(TrailerChecks { algorithms, values: Arc::default() }))
}

/// What Content-Length must say of a body that is stored. A chunked transfer may leave it out.
///
/// # Errors
/// MissingContentLength for a request that says nothing at all about its body.
pub(crate) fn require_length(headers: &HeaderMap) -> Result<(), S3Error> {
    let says = |name: header::HeaderName| headers.contains_key(name);
    if says(header::CONTENT_LENGTH) || says(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    Err(S3Error::new(
        code::MISSING_CONTENT_LENGTH,
        "You must provide the Content-Length HTTP header.",
    ))
}

fn fault(error: &axum::Error) -> BodyError {
    BodyError(Box::new(fault_of(error)))
}

/// What headers (of a form: its fields) say about the bytes of an object.
pub(crate) fn said(headers: &HeaderMap) -> Result<Expected, S3Error> {
    Ok(Announced::read(headers, PayloadMode::Unsigned, &Body::empty())?.expected)
}

fn plain(body: BodyDataStream) -> UploadStream {
    body.map(|piece| piece.map_err(|error| fault(&error))).boxed()
}

type Values = Option<Arc<Mutex<Vec<Checksum>>>>;

/// Takes the chunk framing off; the trailer's checksums are there before the stream ends.
fn chunked(body: BodyDataStream, decoder: ChunkDecoder, values: Values) -> UploadStream {
    struct Reading {
        body: BodyDataStream,
        decoder: Option<ChunkDecoder>,
        input: Bytes,
        values: Values,
    }
    let start = Reading { body, decoder: Some(decoder), input: Bytes::new(), values };
    let chunk_fault = |error: ChunkError| BodyError(Box::new(BodyFault::Chunk(error)));
    let stream: BoxStream<'static, _> = stream::try_unfold(start, move |mut reading| async move {
        loop {
            let Some(decoder) = &mut reading.decoder else { return Ok(None) };
            match decoder.next(&mut reading.input).map_err(chunk_fault)? {
                Some(piece) => return Ok(Some((piece, reading))),
                None => match reading.body.next().await {
                    Some(Ok(more)) => reading.input = more,
                    Some(Err(error)) => return Err(fault(&error)),
                    None => {
                        let Some(decoder) = reading.decoder.take() else { return Ok(None) };
                        let finished = decoder.finish().map_err(chunk_fault)?;
                        if let Some(values) = &reading.values {
                            let mut values = values.lock().unwrap_or_else(PoisonError::into_inner);
                            values.extend(finished.trailers.checksums());
                        }
                        return Ok(None);
                    }
                },
            }
        }
    })
    .boxed();
    stream
}

/// Verifies a whole body against what was said about it.
fn verify(body: &[u8], expected: &Expected) -> Result<(), S3Error> {
    use rowlock_storage::Error;
    if expected.length.is_some_and(|length| length != body.len() as u64) {
        return Err(Error::IncompleteBody.into());
    }
    if expected.md5.is_some_and(|md5| md5 != rowlock_digest::md5(body)) {
        return Err(Error::BadDigest("Content-MD5").into());
    }
    if expected.sha256.is_some_and(|sha256| sha256 != rowlock_digest::sha256(body)) {
        return Err(Error::ContentSha256Mismatch.into());
    }
    let mut claimed = expected.checksums.clone();
    if let Some(trailer) = &expected.trailer {
        let values = trailer.values.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.extend(values.iter().cloned());
    }
    let mut digests = Digests::new(claimed.iter().map(Checksum::algorithm));
    digests.update(body);
    let found = digests.finish();
    match claimed.iter().find(|claim| found.fits(claim) != Some(true)) {
        Some(wrong) => Err(Error::BadDigest(wrong.algorithm().name()).into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use rowlock_sigv4::{ChunkEncoder, Request, Signer};
    use time::OffsetDateTime;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    /// What the chunks of some signed request are signed with.
    fn context() -> SigningContext {
        let request =
            Request { method: "PUT", paths: &["/s3/b/k"], hosts: &["h"], query: "", headers: &[] };
        let signer = Signer { access_key: "id", secret: "s", session_token: None, region: "r" };
        let now = OffsetDateTime::now_utc();
        signer.sign(&request, PayloadMode::StreamingSignedTrailer, now).context
    }

    fn open(
        pairs: &[(&str, &str)],
        payload: PayloadMode,
        context: SigningContext,
        body: Vec<u8>,
    ) -> Result<RequestBody, &'static str> {
        RequestBody::new(Body::from(body), &headers(pairs), payload, context)
            .map_err(|(_, error)| error.code())
    }

    async fn collect(body: &mut RequestBody) -> Result<Vec<u8>, &'static str> {
        body.collect(1000).await.map(|b| b.to_vec()).map_err(|error| error.code())
    }

    #[tokio::test]
    async fn plain_bodies_are_verified() {
        let md5_of_one = "+XxdKZQb+xsv2rCHSQargg==";
        let one = || b"one".to_vec();
        let unsigned = PayloadMode::Unsigned;
        for (pairs, payload, wanted) in [
            (&[][..], unsigned, Ok(one())),
            (&[("content-length", "3"), ("content-md5", md5_of_one)], unsigned, Ok(one())),
            (&[("content-length", "4")], unsigned, Err("IncompleteBody")),
            (&[("content-md5", "uKn3Fdu2T9XFbneDxoIKYQ==")], unsigned, Err("BadDigest")),
            (&[("x-amz-checksum-crc32", "AAAAAA==")], unsigned, Err("BadDigest")),
            (&[("x-amz-checksum-crc32", "etd8mQ==")], unsigned, Err("BadDigest")),
            (&[], PayloadMode::Hashed([0; 32]), Err("XAmzContentSHA256Mismatch")),
            (&[], PayloadMode::Hashed(rowlock_digest::sha256(b"one")), Ok(one())),
        ] {
            let mut body = open(pairs, payload, context(), one()).unwrap();
            assert_eq!(collect(&mut body).await, wanted, "{pairs:?}");
        }
    }

    #[test]
    fn headers_that_cannot_be_true() {
        let unsigned = PayloadMode::Unsigned;
        let trailers = PayloadMode::StreamingUnsignedTrailer;
        for (pairs, payload, code) in [
            (&[("content-md5", "zzz")][..], unsigned, "InvalidDigest"),
            (&[("content-md5", "")], unsigned, "InvalidDigest"),
            (&[("x-amz-checksum-crc32", "zzz")], unsigned, "InvalidRequest"),
            (&[("x-amz-checksum-crc32", "")], unsigned, "InvalidRequest"),
            (&[("x-amz-sdk-checksum-algorithm", "CRC32")], unsigned, "InvalidRequest"),
            (&[("x-amz-checksum-xxhash64", "AAAAAA==")], unsigned, "NotImplemented"),
            (&[("x-amz-trailer", "x-amz-checksum-crc32")], unsigned, "InvalidRequest"),
            (&[("x-amz-trailer", "x-amz-checksum-new")], trailers, "InvalidRequest"),
            (&[("x-amz-decoded-content-length", "-1")], trailers, "InvalidArgument"),
            (
                &[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-trailer", "x-amz-checksum-sha1")],
                trailers,
                "InvalidRequest",
            ),
        ] {
            let refused = open(pairs, payload, context(), Vec::new()).err();
            assert_eq!(refused, Some(code), "{pairs:?}");
        }
        let about = [("x-amz-checksum-algorithm", "CRC32"), ("x-amz-checksum-mode", "ENABLED")];
        assert!(open(&about, unsigned, context(), Vec::new()).is_ok());
    }

    #[tokio::test]
    async fn chunked_bodies_are_decoded_and_their_trailers_verified() {
        let good = {
            let mut crc = Digests::new([Algorithm::Crc32]);
            crc.update(b"hello world");
            crc.finish().checksum(Algorithm::Crc32).unwrap().base64()
        };
        let pairs = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "11"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        for mode in [PayloadMode::StreamingUnsignedTrailer, PayloadMode::StreamingSignedTrailer] {
            for (sum, wanted) in
                [(good.as_str(), Ok(b"hello world".to_vec())), ("AAAAAA==", Err("BadDigest"))]
            {
                let context = context();
                let mut encoder = ChunkEncoder::new(mode, &context).unwrap();
                let mut wire = encoder.chunk(b"hello ");
                wire.extend(encoder.chunk(b"world"));
                wire.extend(encoder.end(&[("x-amz-checksum-crc32", sum)]));
                let mut body = open(&pairs, mode, context, wire).unwrap();
                assert_eq!(body.length(), Some(11));
                assert_eq!(collect(&mut body).await, wanted, "{mode} {sum}");
            }
        }
    }

    #[tokio::test]
    async fn broken_chunks() {
        let mode = PayloadMode::StreamingSigned;
        let context = context();
        let mut encoder = ChunkEncoder::new(mode, &context).unwrap();
        let mut wire = encoder.chunk(b"hello");
        wire.extend(encoder.end(&[]));
        let length = [("x-amz-decoded-content-length", "5")];
        let mut whole = open(&length, mode, context.clone(), wire.clone()).unwrap();
        assert_eq!(collect(&mut whole).await, Ok(b"hello".to_vec()));
        let cut = wire[..wire.len() - 30].to_vec();
        let mut cut = open(&length, mode, context.clone(), cut).unwrap();
        assert_eq!(collect(&mut cut).await, Err("IncompleteBody"));
        let at = wire.windows(5).position(|w| w == b"hello").unwrap();
        wire[at] = b'j';
        let mut forged = open(&length, mode, context, wire).unwrap();
        assert_eq!(collect(&mut forged).await, Err("SignatureDoesNotMatch"));
    }

    #[tokio::test]
    async fn small_bodies_only() {
        let mut body = open(&[], PayloadMode::Unsigned, context(), vec![b' '; 1001]).unwrap();
        assert_eq!(collect(&mut body).await, Err("MalformedXML"));
    }

    #[test]
    fn a_stored_body_needs_a_length() {
        assert!(require_length(&headers(&[("content-length", "0")])).is_ok());
        assert!(require_length(&headers(&[("transfer-encoding", "chunked")])).is_ok());
        let error = require_length(&headers(&[])).unwrap_err();
        assert_eq!(error.code(), "MissingContentLength");
    }
}
