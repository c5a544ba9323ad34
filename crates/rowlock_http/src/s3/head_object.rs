//! HeadObject (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>).

use axum::body::Body;
use http::Response;

use super::S3Service;
use super::error::S3Error;
use super::get_object::{decide, find};
use super::object_headers::Facts;
use super::request::S3Request;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let object = find(s3, request).await?;
    let (response, _) = decide(request, Facts::from(&object))?;
    Ok(response)
}
