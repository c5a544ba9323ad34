//! CompleteMultipartUpload
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>).

use axum::body::Body;
use http::{HeaderMap, Response};
use rowlock_storage::{ClaimedChecksums, CompletePart};

use crate::s3::S3Service;
use crate::s3::body::RequestBody;
use crate::s3::checksum;
use crate::s3::conditions;
use crate::s3::error::S3Error;
use crate::s3::keep_alive;
use crate::s3::request::S3Request;
use crate::s3::xml::{Element, Xml, parse};

/// Room for 10,000 parts with a checksum each.
const MAX_BODY: usize = 4 * 1024 * 1024;
const MAX_PARTS: usize = 10_000;

pub(crate) async fn handle(
    s3: &S3Service,
    request: &S3Request,
    body: &mut RequestBody,
) -> Result<Response<Body>, S3Error> {
    let (bucket, key, upload) = (request.bucket()?, request.key()?, request.upload_id()?);
    let condition = conditions::of_write(&request.headers)?;
    let Named { parts, claims } = Named::read(&body.collect(MAX_BODY).await?, &request.headers)?;
    let (storage, context, url) = (s3.storage().clone(), request.context(), request.url.clone());
    keep_alive::answer(request, async move {
        let done = storage
            .complete_multipart_with(&context, &bucket, &key, &upload, parts, condition, claims)
            .await?;
        let mut out = Xml::new("CompleteMultipartUploadResult");
        out.text("Location", &url)
            .text("Bucket", bucket.as_str())
            .text("Key", key.as_str())
            .text("ETag", done.etag.as_str());
        checksum::write(&mut out, done.checksum.as_ref());
        Ok(out)
    })
    .await
}

/// The parts that a request names, and what it says about them and the object.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) parts: Vec<CompletePart>,
    claims: ClaimedChecksums,
}

impl Named {
    pub(crate) fn read(body: &[u8], headers: &HeaderMap) -> Result<Self, S3Error> {
        let root = parse(body, "CompleteMultipartUpload")?;
        let elements: Vec<&Element> = root.all("Part").collect();
        if elements.is_empty() || elements.len() > MAX_PARTS {
            return Err(S3Error::malformed_xml());
        }
        let parts: Vec<CompletePart> =
            elements.iter().map(|element| read_part(element)).collect::<Result<_, _>>()?;
        let numbered: Vec<(u32, &Element)> =
            parts.iter().map(|part| part.number).zip(elements).collect();
        let size = read_size(headers)?;
        let claims = ClaimedChecksums { size, ..checksum::claims(headers, &numbered)? };
        Ok(Self { parts, claims })
    }
}

/// `x-amz-mp-object-size`: how long the client believes the object will be.
fn read_size(headers: &HeaderMap) -> Result<Option<u64>, S3Error> {
    const NAME: &str = "x-amz-mp-object-size";
    let Some(value) = headers.get(NAME) else { return Ok(None) };
    let text = value.to_str().unwrap_or("?").trim();
    text.parse()
        .map(Some)
        .map_err(|_| S3Error::invalid_argument(NAME, text, "the size is not a number of bytes"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn parts() {
        let body = br#"<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><ETag>"a"</ETag><PartNumber>1</PartNumber><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part><Part><PartNumber> 2 </PartNumber><ETag>&quot;b&quot;</ETag></Part></CompleteMultipartUpload>"#;
        let parts = Named::read(body, &HeaderMap::new()).unwrap().parts;
        let read: Vec<_> = parts.iter().map(|p| (p.number, p.etag.as_str())).collect();
        assert_eq!(read, [(1, "\"a\""), (2, "\"b\"")]);
    }

    #[test]
    fn refusals() {
        let of = |inner: &str| {
            let body = format!("<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>");
            Named::read(body.as_bytes(), &HeaderMap::new()).map_err(|error| error.code()).err()
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
            let error = Named::read(body.as_bytes(), &HeaderMap::new()).unwrap_err();
            assert_eq!(error.code(), "MalformedXML");
        }
    }

    #[test]
    fn claims() {
        let body = b"<CompleteMultipartUpload><Part><PartNumber>4</PartNumber><ETag>x</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></CompleteMultipartUpload>";
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-mp-object-size", HeaderValue::from_static("77"));
        let named = Named::read(body, &headers).unwrap();
        assert_eq!(named.claims.size, Some(77));
        assert_eq!(named.claims.parts.len(), 1);
        assert_eq!(named.claims.parts[0].0, 4);
        headers.insert("x-amz-mp-object-size", HeaderValue::from_static("many"));
        assert_eq!(Named::read(body, &headers).unwrap_err().code(), "InvalidArgument");
    }
}
