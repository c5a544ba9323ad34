//! UploadPart (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html>).

use axum::body::Body;
use http::{Response, StatusCode};

use crate::s3::S3Service;
use crate::s3::body::{RequestBody, require_length};
use crate::s3::checksum;
use crate::s3::error::S3Error;
use crate::s3::request::S3Request;
use crate::s3::response::{empty, set};

pub(crate) async fn handle(
    s3: &S3Service,
    request: &S3Request,
    body: &mut RequestBody,
) -> Result<Response<Body>, S3Error> {
    require_length(&request.headers)?;
    let (bucket, key) = (request.bucket()?, request.key()?);
    let (number, upload) = (request.part_number()?, request.upload_id()?);
    let waiting = s3
        .storage()
        .begin_part(&request.context(), &bucket, &key, &upload, number, body.length())
        .await?;
    let (stream, expected) = body.open();
    let part = waiting.receive(stream, expected).await?;
    let mut response = empty(StatusCode::OK);
    set(response.headers_mut(), "etag", part.etag.as_str());
    if let Some(sum) = &part.checksum {
        checksum::put_part(response.headers_mut(), sum);
    }
    Ok(response)
}
