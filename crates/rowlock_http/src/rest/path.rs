//! What a path names.

use percent_encoding::percent_decode_str;
use rowlock_types::{BucketName, KeyRules, ObjectKey};

use super::error::RestError;

/// The bucket and the key of a path, still percent-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Named<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
}

/// Decodes a part of a path, once.
///
/// # Errors
/// InvalidRequest for what is no UTF-8.
pub(crate) fn decode(part: &str) -> Result<String, RestError> {
    match percent_decode_str(part).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(RestError::invalid("params are not encoded UTF-8")),
    }
}

/// A bucket that a request names. One that could not be there is not there.
///
/// # Errors
/// NoSuchBucket.
pub(crate) fn bucket(name: &str) -> Result<BucketName, RestError> {
    BucketName::existing(name).map_err(|_| RestError::no_such_bucket())
}

/// A key that a request names.
///
/// # Errors
/// InvalidKey.
pub(crate) fn key(key: &str) -> Result<ObjectKey, RestError> {
    Ok(ObjectKey::new(key, KeyRules::Utf8)?)
}
