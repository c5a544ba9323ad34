//! CompleteMultipartUpload
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>).

use std::collections::HashSet;

use axum::body::Body;
use http::Response;
use rowlock_storage::{CompletePart, Error as StorageError};

use crate::s3::S3Service;
use crate::s3::body::RequestBody;
use crate::s3::conditions;
use crate::s3::error::{S3Error, code};
use crate::s3::keep_alive;
use crate::s3::request::S3Request;
use crate::s3::xml::{Element, Xml, parse};

/// Room for 10,000 parts with a checksum each.
const MAX_BODY: usize = 4 * 1024 * 1024;
const MAX_PARTS: usize = 10_000;
const LIST_PAGE: usize = 1000;

pub(crate) async fn handle(
    s3: &S3Service,
    request: &S3Request,
    body: &mut RequestBody,
) -> Result<Response<Body>, S3Error> {
    refuse_object_checksum(request)?;
    let (bucket, key, upload) = (request.bucket()?, request.key()?, request.upload_id()?);
    let condition = conditions::of_write(&request.headers)?;
    let parts = parse_parts(&body.collect(MAX_BODY).await?)?;
    check_size(s3, request, &parts).await?;
    let (storage, context, url) = (s3.storage().clone(), request.context(), request.url.clone());
    keep_alive::answer(request, async move {
        let done =
            storage.complete_multipart(&context, &bucket, &key, &upload, parts, condition).await?;
        let mut out = Xml::new("CompleteMultipartUploadResult");
        out.text("Location", &url)
            .text("Bucket", bucket.as_str())
            .text("Key", key.as_str())
            .text("ETag", done.etag.as_str());
        Ok(out)
    })
    .await
}

/// Here these headers mean the whole object, whose checksum nobody has computed.
fn refuse_object_checksum(request: &S3Request) -> Result<(), S3Error> {
    let sums = rowlock_digest::Algorithm::ALL.into_iter().filter_map(|a| a.header());
    match sums.into_iter().find(|name| request.headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(S3Error::header_not_implemented(name)),
    }
}

fn parse_parts(body: &[u8]) -> Result<Vec<CompletePart>, S3Error> {
    let root = parse(body, "CompleteMultipartUpload")?;
    let parts: Vec<CompletePart> = root.all("Part").map(read_part).collect::<Result<_, _>>()?;
    if parts.is_empty() || parts.len() > MAX_PARTS {
        return Err(S3Error::malformed_xml());
    }
    Ok(parts)
}

fn read_part(element: &Element) -> Result<CompletePart, S3Error> {
    let number = element.child("PartNumber").ok_or_else(S3Error::malformed_xml)?;
    let etag = element.child("ETag").ok_or_else(S3Error::malformed_xml)?;
    match number.parse::<u32>() {
        Ok(number @ 1..=10_000) => Ok(CompletePart { number, etag: etag.to_owned() }),
        Ok(_) => Err(S3Error::invalid_argument(
            "PartNumber",
            number,
            "Part number must be an integer between 1 and 10000, inclusive",
        )),
        Err(_) => Err(S3Error::malformed_xml()),
    }
}

/// `x-amz-mp-object-size`: how long the client believes the object will be. An upload that is
/// complete already has no parts to add up, and its answer is repeated.
async fn check_size(
    s3: &S3Service,
    request: &S3Request,
    named: &[CompletePart],
) -> Result<(), S3Error> {
    const NAME: &str = "x-amz-mp-object-size";
    let Some(text) = request.header(NAME) else { return Ok(()) };
    let claimed: u64 = text
        .trim()
        .parse()
        .map_err(|_| S3Error::invalid_argument(NAME, text, "the size is not a number of bytes"))?;
    let (bucket, key, upload) = (request.bucket()?, request.key()?, request.upload_id()?);
    let named: HashSet<u32> = named.iter().map(|part| part.number).collect();
    let (mut after, mut total) = (0, 0_u64);
    loop {
        let page = s3
            .storage()
            .list_parts(&request.context(), &bucket, &key, &upload, after, LIST_PAGE)
            .await;
        let page = match page {
            Err(StorageError::NoSuchUpload) => return Ok(()),
            other => other?,
        };
        total +=
            page.parts.iter().filter(|p| named.contains(&p.number)).map(|p| p.size).sum::<u64>();
        match page.parts.last() {
            Some(last) if page.truncated => after = last.number,
            _ => break,
        }
    }
    if total == claimed {
        return Ok(());
    }
    Err(S3Error::new(
        code::INVALID_REQUEST,
        "The provided 'x-amz-mp-object-size' header value does not match what was computed.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::request::tests::request;
    use http::HeaderValue;

    #[test]
    fn parts() {
        let body = br#"<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><ETag>"a"</ETag><PartNumber>1</PartNumber><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part><Part><PartNumber> 2 </PartNumber><ETag>&quot;b&quot;</ETag></Part></CompleteMultipartUpload>"#;
        let parts = parse_parts(body).unwrap();
        let read: Vec<_> = parts.iter().map(|p| (p.number, p.etag.as_str())).collect();
        assert_eq!(read, [(1, "\"a\""), (2, "\"b\"")]);
    }

    #[test]
    fn refusals() {
        let of = |inner: &str| {
            let body = format!("<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>");
            parse_parts(body.as_bytes()).map_err(|error| error.code()).err()
        };
        let part = "<Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>";
        assert_eq!(of(&part.repeat(10_000)), None);
        assert_eq!(of(&part.repeat(10_001)), Some("MalformedXML"));
        assert_eq!(of(""), Some("MalformedXML"));
        assert_eq!(of("<Part><PartNumber>1</PartNumber></Part>"), Some("MalformedXML"));
        assert_eq!(of("<Part><ETag>x</ETag></Part>"), Some("MalformedXML"));
        for (number, code) in
            [("x", "MalformedXML"), ("0", "InvalidArgument"), ("10001", "InvalidArgument")]
        {
            let part = format!("<Part><PartNumber>{number}</PartNumber><ETag>x</ETag></Part>");
            assert_eq!(of(&part), Some(code), "{number}");
        }
        for body in ["", "<Comp"] {
            assert_eq!(parse_parts(body.as_bytes()).unwrap_err().code(), "MalformedXML");
        }
    }

    #[test]
    fn a_checksum_of_the_whole_object_is_refused() {
        let mut request = request();
        assert!(refuse_object_checksum(&request).is_ok());
        let value = HeaderValue::from_static("AAAAAA==");
        request.headers.insert("x-amz-checksum-crc32", value);
        let error = refuse_object_checksum(&request).unwrap_err();
        assert_eq!(error.code(), "NotImplemented");
    }
}
