//! DeleteObject (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>).

use axum::body::Body;
use http::{Response, StatusCode};
use rowlock_storage::{DeleteOutcome, Error as StorageError, MissingRight};

use super::S3Service;
use super::conditions;
use super::error::S3Error;
use super::request::S3Request;
use super::response::empty;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    request.check_version()?;
    let (bucket, key) = (request.bucket()?, request.key()?);
    let (storage, context) = (s3.storage(), request.context());
    let outcome = match conditions::of_delete(&request.headers)? {
        None => storage.delete_object(&context, &bucket, &key).await?,
        Some(condition) => storage.delete_object_if(&context, &bucket, &key, &condition).await?,
    };
    match outcome {
        DeleteOutcome::Deleted => Ok(empty(StatusCode::NO_CONTENT)),
        DeleteOutcome::AccessDenied => {
            Err(StorageError::AccessDenied(MissingRight::DeleteObject).into())
        }
    }
}
