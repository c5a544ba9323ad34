//! HeadBucket (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html>).

use axum::body::Body;
use http::{Response, StatusCode};

use super::S3Service;
use super::error::S3Error;
use super::request::S3Request;
use super::response::{empty, set};

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    s3.storage().head_bucket(&request.context(), &request.bucket()?).await?;
    let mut response = empty(StatusCode::OK);
    set(response.headers_mut(), "x-amz-bucket-region", s3.region());
    Ok(response)
}
