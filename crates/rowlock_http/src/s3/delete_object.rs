//! DeleteObject (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>).

use axum::body::Body;
use http::{Response, StatusCode};
use rowlock_storage::DeleteOutcome;

use super::S3Service;
use super::error::S3Error;
use super::request::S3Request;
use super::response::empty;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    request.check_version()?;
    // To delete whatever is there would be worse than to refuse.
    if request.headers.contains_key("if-match") {
        return Err(S3Error::header_not_implemented("If-Match"));
    }
    let (bucket, key) = (request.bucket()?, request.key()?);
    match s3.storage().delete_object(&request.context(), &bucket, &key).await? {
        DeleteOutcome::Deleted => Ok(empty(StatusCode::NO_CONTENT)),
        DeleteOutcome::AccessDenied => Err(S3Error::access_denied("Access Denied")),
    }
}
