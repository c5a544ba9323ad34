//! GetBucketLocation
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html>).

use axum::body::Body;
use http::Response;

use super::S3Service;
use super::error::S3Error;
use super::request::S3Request;
use super::response::xml;
use super::xml::Xml;

/// The region stands in the root element itself, also for `us-east-1`, where AWS leaves it empty
/// for historic reasons and the reference does not.
pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    s3.storage().head_bucket(&request.context(), &request.bucket()?).await?;
    Ok(xml(Xml::with_text("LocationConstraint", s3.region())))
}
