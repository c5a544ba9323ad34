//! UploadPartCopy (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html>).

use std::ops::Range;

use axum::body::Body;
use http::Response;

use crate::s3::S3Service;
use crate::s3::checksum;
use crate::s3::copy_source::CopySource;
use crate::s3::encode::iso;
use crate::s3::error::S3Error;
use crate::s3::keep_alive;
use crate::s3::range::{CopyRangeError, resolve_copy};
use crate::s3::request::S3Request;
use crate::s3::xml::Xml;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let (bucket, key) = (request.bucket()?, request.key()?);
    let (number, upload) = (request.part_number()?, request.upload_id()?);
    let source = CopySource::find(s3, request).await?;
    let range = range(request.header("x-amz-copy-source-range"), source.size)?;
    let (storage, context) = (s3.storage().clone(), request.context());
    keep_alive::answer(request, async move {
        let part =
            storage.copy_part(&context, &bucket, &key, &upload, number, &source, range).await?;
        let mut out = Xml::new("CopyPartResult");
        out.text("ETag", part.etag.as_str()).text("LastModified", &iso(part.last_modified));
        checksum::write_part(&mut out, part.checksum.as_ref());
        Ok(out)
    })
    .await
}

fn range(header: Option<&str>, size: u64) -> Result<Range<u64>, S3Error> {
    let Some(header) = header else { return Ok(0..size) };
    resolve_copy(header, size).map_err(|error| match error {
        CopyRangeError::Outside => S3Error::invalid_range(size, header),
        CopyRangeError::Syntax => S3Error::invalid_argument(
            "x-amz-copy-source-range",
            header,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range(None, 10).unwrap(), 0..10);
        assert_eq!(range(Some("bytes=2-9"), 10).unwrap(), 2..10);
        assert_eq!(range(Some("bytes=2-10"), 10).unwrap_err().code(), "InvalidRange");
        assert_eq!(range(Some("bytes=2-"), 10).unwrap_err().code(), "InvalidArgument");
    }
}
