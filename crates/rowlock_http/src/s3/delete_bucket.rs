//! DeleteBucket (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html>).

use axum::body::Body;
use http::{Response, StatusCode};

use super::S3Service;
use super::error::S3Error;
use super::request::S3Request;
use super::response::empty;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    s3.storage().delete_bucket(&request.context(), &request.bucket()?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
