//! PutObject (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>).

use axum::body::Body;
use http::{Response, StatusCode};
use rowlock_storage::{FOLDER_PLACEHOLDER, NewObject};
use rowlock_types::{KeyRules, ObjectKey};

use super::S3Service;
use super::body::{RequestBody, require_length};
use super::checksum;
use super::conditions;
use super::error::S3Error;
use super::object_headers::Described;
use super::request::S3Request;
use super::response::{empty, set};

pub(crate) async fn handle(
    s3: &S3Service,
    request: &S3Request,
    body: &mut RequestBody,
) -> Result<Response<Body>, S3Error> {
    require_length(&request.headers)?;
    let new = NewObject {
        key: folder_key(request.key()?, body.length() == Some(0))?,
        content_length: body.length(),
        ..new_object(request)?
    };
    let upload = s3.storage().begin_upload(&request.context(), new).await?;
    let (stream, expected) = body.open();
    let stored = upload.receive(stream, expected.or_default_checksum()).await?;
    let mut response = empty(StatusCode::OK);
    set(response.headers_mut(), "etag", stored.etag.as_str());
    if let Some(sum) = &stored.checksum {
        checksum::put(response.headers_mut(), sum);
    }
    Ok(response)
}

/// What the request's headers say about the object that it makes.
pub(crate) fn new_object(request: &S3Request) -> Result<NewObject, S3Error> {
    let Described { content_type, cache_control, user_metadata, extra } =
        Described::read(&request.headers)?;
    Ok(NewObject {
        bucket: request.bucket()?,
        key: request.key()?,
        content_type,
        cache_control,
        user_metadata,
        extra,
        content_length: None,
        condition: conditions::of_write(&request.headers)?,
    })
}

/// An object without bytes whose key ends in a slash is a folder, and is stored as REST clients
/// store folders. With bytes the key is taken as it is.
pub(crate) fn folder_key(key: ObjectKey, is_empty: bool) -> Result<ObjectKey, S3Error> {
    if key.is_folder() && is_empty {
        Ok(ObjectKey::new(&format!("{key}{FOLDER_PLACEHOLDER}"), KeyRules::Utf8)?)
    } else {
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        let of = |key: &str, empty| {
            let key = ObjectKey::new(key, KeyRules::Utf8).unwrap();
            folder_key(key, empty).unwrap().to_string()
        };
        assert_eq!(of("a/b/", true), "a/b/.emptyFolderPlaceholder");
        assert_eq!(of("a/b/", false), "a/b/");
        assert_eq!(of("a/b", true), "a/b");
    }
}
