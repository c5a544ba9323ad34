//! GetObject (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>).

use std::ops::Range;

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode};
use rowlock_storage::{BlobBody, Object};
use rowlock_types::StoredParts;

use super::S3Service;
use super::checksum;
use super::conditions::{Conditions, Verdict};
use super::encode::parse_http_date;
use super::error::{S3Error, code, precondition_failed};
use super::object_headers::{Facts, put, put_checksum, put_length, put_overrides, put_validators};
use super::range::{Wanted, resolve};
use super::request::S3Request;
use super::response::{empty, set};

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let object = find(s3, request).await?;
    let (mut response, range) = decide(request, Facts::from(&object))?;
    let Some(range) = range else { return Ok(response) };
    // An error in the middle of the stream breaks the connection off, so that a cut body never
    // looks like a whole one.
    *response.body_mut() = match s3.storage().read_blob(&object, range).await? {
        BlobBody::Bytes(bytes) => Body::from(bytes),
        BlobBody::Stream(stream) => Body::from_stream(stream),
    };
    Ok(response)
}

/// Finds the object that a read names.
pub(crate) async fn find(s3: &S3Service, request: &S3Request) -> Result<Object, S3Error> {
    request.check_version()?;
    let (bucket, key) = (request.bucket()?, request.key()?);
    Ok(s3.storage().find_object(&request.context(), &bucket, &key).await?)
}

/// Judges the conditions and resolves range or part, from the object's row alone: the answer
/// without its bytes, and which bytes it lacks (none for a 304).
pub(crate) fn decide(
    request: &S3Request,
    object: Facts<'_>,
) -> Result<(Response<Body>, Option<Range<u64>>), S3Error> {
    let conditions = Conditions::of_read(&request.headers);
    match conditions.judge_by(object.etag, object.last_modified) {
        (Verdict::Proceed, _) => {}
        (Verdict::Failed, by) => return Err(precondition_failed().detail("Condition", by)),
        (Verdict::NotModified, _) => {
            let mut response = empty(StatusCode::NOT_MODIFIED);
            put_validators(object, response.headers_mut());
            return Ok((response, None));
        }
    }
    let Read { range, partial, part } = wanted(request, object)?;
    let mut response = empty(if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK });
    let headers = response.headers_mut();
    put(object, headers);
    if checksum::is_asked_for(&request.headers) && (part.is_some() || !partial) {
        put_checksum(object, part, headers);
    }
    if let Some(parts) = parts(object).filter(|_| part.is_some()) {
        set(headers, "x-amz-mp-parts-count", &parts.count().to_string());
    }
    put_overrides(&request.query, headers)?;
    put_length(headers, range.end - range.start);
    if partial {
        put_content_range(headers, &range, object.size);
    }
    Ok((response, Some(range)))
}

/// An empty object, asked for as a whole part, has no first byte to name.
fn put_content_range(headers: &mut HeaderMap, range: &Range<u64>, size: u64) {
    if range.end > range.start {
        let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        set(headers, "content-range", &value);
    }
}

/// What is to be read.
struct Read {
    range: Range<u64>,
    /// Whether the answer is a 206.
    partial: bool,
    /// The part that was asked for by its number.
    part: Option<u32>,
}

/// The parts that an object was joined from, where its row tells them; one that was changed by
/// hand may tell of other bytes than there are.
fn parts(object: Facts<'_>) -> Option<&StoredParts> {
    let parts = object.metadata.rowlock.as_ref()?.parts.as_ref()?;
    let end = parts.range(parts.count())?.end;
    (end == object.size).then_some(parts)
}

fn wanted(request: &S3Request, object: Facts<'_>) -> Result<Read, S3Error> {
    let range = request.header("range");
    if let Some(part) = request.query.filled("partNumber") {
        if range.is_some() {
            return Err(S3Error::invalid_request(
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        // An object that was stored in one piece is its own only part.
        let parts = parts(object);
        let count = parts.map_or(1, StoredParts::count);
        return match part.parse::<u32>() {
            Ok(number @ 1..=10_000) => {
                let whole = (number == 1).then_some(0..object.size);
                let range = parts.map_or(whole, |parts| parts.range(number)).ok_or_else(|| {
                    S3Error::new(
                        code::INVALID_PART_NUMBER,
                        "The requested partnumber is not satisfiable",
                    )
                    .detail("PartNumberRequested", part)
                    .detail("ActualPartCount", count.to_string())
                })?;
                Ok(Read { range, partial: true, part: Some(number) })
            }
            _ => Err(S3Error::invalid_argument(
                "partNumber",
                part,
                "Part number must be an integer between 1 and 10000, inclusive",
            )),
        };
    }
    let range = range.filter(|_| if_range_holds(request, object));
    match resolve(range, object.size) {
        Wanted::Whole => Ok(Read { range: 0..object.size, partial: false, part: None }),
        Wanted::Part(range) => Ok(Read { range, partial: true, part: None }),
        Wanted::Unsatisfiable => {
            Err(S3Error::invalid_range(object.size, range.unwrap_or_default()))
        }
    }
}

/// `If-Range` (RFC 9110, section 13.1.5): a range of another version would not fit what the
/// client has already, so it gets the whole.
fn if_range_holds(request: &S3Request, object: Facts<'_>) -> bool {
    let Some(condition) = request.header("if-range").map(str::trim) else { return true };
    match parse_http_date(condition) {
        Some(date) => date.unix_timestamp() == object.last_modified.unix_timestamp(),
        None => condition == object.etag.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::object_headers::tests::Row;
    use super::super::query::Query;
    use super::super::request::tests::request;
    use super::*;
    use http::{HeaderName, HeaderValue};
    use rowlock_types::{ChecksumType, RowlockMetadata, StoredChecksum};

    /// A row of ten bytes in three parts, with a composite checksum.
    fn joined() -> Row {
        let mut row = Row::new();
        row.metadata.rowlock = Some(RowlockMetadata {
            checksum: Some(StoredChecksum {
                algorithm: "CRC32".to_owned(),
                value: "y/Q5Jg==-3".to_owned(),
                kind: ChecksumType::Composite,
            }),
            parts: Some(StoredParts::new([4, 4, 2], Some("A".repeat(16)))),
            tags: [("a".to_owned(), "b".to_owned())].into(),
            ..RowlockMetadata::default()
        });
        row
    }

    fn read_joined(query: &str, headers: &[(&str, &str)]) -> Decided {
        read_row(&joined(), query, headers)
    }

    type Decided = Result<(Response<Body>, Option<Range<u64>>), &'static str>;

    fn read(query: &str, headers: &[(&str, &str)]) -> Decided {
        read_row(&Row::new(), query, headers)
    }

    fn read_row(row: &Row, query: &str, headers: &[(&str, &str)]) -> Decided {
        let mut request = request();
        request.query = Query::parse(query).unwrap();
        for (name, value) in headers {
            let name = name.parse::<HeaderName>().unwrap();
            request.headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        decide(&request, row.facts()).map_err(|error| error.code())
    }

    fn bytes(query: &str, headers: &[(&str, &str)]) -> (u16, Range<u64>, Response<Body>) {
        let (response, range) = read(query, headers).unwrap();
        (response.status().as_u16(), range.unwrap(), response)
    }

    #[test]
    fn whole_and_part() {
        let (status, range, response) = bytes("", &[]);
        assert_eq!((status, range), (200, 0..10));
        assert_eq!(response.headers()["content-length"], "10");
        assert!(!response.headers().contains_key("content-range"));
        let (status, range, response) = bytes("", &[("range", "bytes=2-4")]);
        assert_eq!((status, range), (206, 2..5));
        assert_eq!(response.headers()["content-length"], "3");
        assert_eq!(response.headers()["content-range"], "bytes 2-4/10");
        assert_eq!(read("", &[("range", "bytes=10-")]).err(), Some("InvalidRange"));
    }

    #[test]
    fn part_numbers() {
        let (status, range, response) = bytes("partNumber=1", &[]);
        assert_eq!((status, range), (206, 0..10));
        assert_eq!(response.headers()["content-range"], "bytes 0-9/10");
        assert_eq!(read("partNumber=2", &[]).err(), Some("InvalidPartNumber"));
        assert_eq!(read("partNumber=0", &[]).err(), Some("InvalidArgument"));
        let both = read("partNumber=1", &[("range", "bytes=0-1")]);
        assert_eq!(both.err(), Some("InvalidRequest"));
    }

    #[test]
    fn parts_of_a_joined_object() {
        let part = |number: u32| read_joined(&format!("partNumber={number}"), &[]).unwrap();
        let (response, range) = part(2);
        assert_eq!((response.status().as_u16(), range), (206, Some(4..8)));
        assert_eq!(response.headers()["content-range"], "bytes 4-7/10");
        assert_eq!(response.headers()["x-amz-mp-parts-count"], "3");
        assert_eq!(part(3).1, Some(8..10));
        assert_eq!(read_joined("partNumber=4", &[]).err(), Some("InvalidPartNumber"));
        let (whole, _) = read_joined("", &[]).unwrap();
        assert!(!whole.headers().contains_key("x-amz-mp-parts-count"));
        assert_eq!(whole.headers()["x-amz-tagging-count"], "1");
        // A row that tells of other bytes than there are.
        let mut odd = joined();
        odd.metadata.rowlock.as_mut().unwrap().parts = Some(StoredParts::new([4, 4], None));
        assert_eq!(read_row(&odd, "partNumber=1", &[]).unwrap().1, Some(0..10));
    }

    #[test]
    fn checksums_on_request() {
        let name = "x-amz-checksum-crc32";
        let mode = ("x-amz-checksum-mode", "ENABLED");
        let value = |query: &str, headers: &[(&str, &str)]| {
            let (response, _) = read_joined(query, headers).unwrap();
            let value = response.headers().get(name).cloned();
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(value("", &[]), None);
        assert_eq!(value("", &[mode]).as_deref(), Some("y/Q5Jg==-3"));
        assert_eq!(value("", &[mode, ("range", "bytes=0-3")]), None);
        assert_eq!(value("partNumber=1", &[mode]).as_deref(), Some("AAAAAA=="));
        let (response, _) = read_joined("", &[mode]).unwrap();
        assert_eq!(response.headers()["x-amz-checksum-type"], "COMPOSITE");
    }

    #[test]
    fn if_range() {
        let status = |value| bytes("", &[("range", "bytes=0-1"), ("if-range", value)]).0;
        assert_eq!(status("\"abc\""), 206);
        assert_eq!(status("\"old\""), 200);
        assert_eq!(status("Tue, 24 Nov 2026 02:04:02 GMT"), 206);
        assert_eq!(status("Tue, 24 Nov 2026 02:04:01 GMT"), 200);
    }

    #[test]
    fn conditions_come_first() {
        let headers = [("if-none-match", "\"abc\""), ("range", "bytes=99-")];
        let (response, range) = read("", &headers).unwrap();
        assert_eq!(range, None);
        assert_eq!(response.status(), 304);
        assert_eq!(response.headers()["etag"], "\"abc\"");
        assert!(!response.headers().contains_key("content-type"));
        let headers = [("if-match", "\"zzz\""), ("range", "bytes=99-")];
        assert_eq!(read("", &headers).err(), Some("PreconditionFailed"));
    }

    #[test]
    fn overrides() {
        let (_, _, response) = bytes("response-content-type=a%2Fb", &[]);
        assert_eq!(response.headers()["content-type"], "a/b");
    }
}
