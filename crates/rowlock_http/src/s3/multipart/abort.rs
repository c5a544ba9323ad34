//! AbortMultipartUpload
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html>).

use axum::body::Body;
use http::{Response, StatusCode};

use crate::s3::S3Service;
use crate::s3::error::S3Error;
use crate::s3::request::S3Request;
use crate::s3::response::empty;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let (bucket, key, upload) = (request.bucket()?, request.key()?, request.upload_id()?);
    s3.storage().abort_multipart(&request.context(), &bucket, &key, &upload).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
