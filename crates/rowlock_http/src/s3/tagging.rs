//! GetObjectTagging, PutObjectTagging, DeleteObjectTagging
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html>), and the same
//! three of buckets.

use axum::body::Body;
use http::{Response, StatusCode};
use rowlock_storage::Tags;

use super::S3Service;
use super::body::RequestBody;
use super::error::{S3Error, code};
use super::get_object::find;
use super::request::S3Request;
use super::response::{empty, xml};
use super::tags;

pub(crate) async fn get_of_object(
    s3: &S3Service,
    request: &S3Request,
) -> Result<Response<Body>, S3Error> {
    let object = find(s3, request).await?;
    let tags = object.metadata.rowlock.map(|extra| extra.tags).unwrap_or_default();
    Ok(xml(tags::render(&tags)))
}

pub(crate) async fn put_of_object(
    s3: &S3Service,
    request: &S3Request,
    body: &mut RequestBody,
) -> Result<Response<Body>, S3Error> {
    let tags = tags::of_document(&body.collect(tags::MAX_BODY).await?, tags::OF_OBJECT)?;
    set_of_object(s3, request, &tags).await?;
    Ok(empty(StatusCode::OK))
}

pub(crate) async fn delete_of_object(
    s3: &S3Service,
    request: &S3Request,
) -> Result<Response<Body>, S3Error> {
    set_of_object(s3, request, &Tags::new()).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn set_of_object(s3: &S3Service, request: &S3Request, tags: &Tags) -> Result<(), S3Error> {
    request.check_version()?;
    let (bucket, key) = (request.bucket()?, request.key()?);
    Ok(s3.storage().set_object_tags(&request.context(), &bucket, &key, tags).await?)
}

pub(crate) async fn get_of_bucket(
    s3: &S3Service,
    request: &S3Request,
) -> Result<Response<Body>, S3Error> {
    let bucket = request.bucket()?;
    match s3.storage().bucket_tags(&request.context(), &bucket).await? {
        Some(tags) => Ok(xml(tags::render(&tags))),
        None => Err(S3Error::new(code::NO_SUCH_TAG_SET, "The TagSet does not exist")
            .detail("BucketName", bucket.as_str())),
    }
}

pub(crate) async fn put_of_bucket(
    s3: &S3Service,
    request: &S3Request,
    body: &mut RequestBody,
) -> Result<Response<Body>, S3Error> {
    let tags = tags::of_document(&body.collect(tags::MAX_BODY).await?, tags::OF_BUCKET)?;
    let bucket = request.bucket()?;
    s3.storage().set_bucket_tags(&request.context(), &bucket, Some(&tags)).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn delete_of_bucket(
    s3: &S3Service,
    request: &S3Request,
) -> Result<Response<Body>, S3Error> {
    s3.storage().set_bucket_tags(&request.context(), &request.bucket()?, None).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
