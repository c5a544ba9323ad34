//! What the fuzz target and its short form in the tests feed: the header that describes an upload.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a broken promise is what fuzzing looks for")]

use http::{HeaderMap, HeaderValue};

use super::headers::UPLOAD_METADATA;
use super::metadata::UploadMetadata;

/// `Upload-Metadata`: what is accepted is told later as a header that means the same, and nothing in
/// it breaks a header that is made of it.
pub fn upload_metadata(value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let read = |value: HeaderValue| {
        UploadMetadata::of(&HeaderMap::from_iter([(UPLOAD_METADATA, value)])).ok()
    };
    let Some(said) = read(value) else { return };
    let told = HeaderValue::from_str(&said.render()).unwrap();
    let again = read(told.clone()).unwrap();
    assert_eq!(again.render().as_bytes(), told.as_bytes());
    assert_eq!((again.bucket(), again.key()), (said.bucket(), said.key()));
    for of in [UploadMetadata::content_type, UploadMetadata::cache_control] {
        let (said, again) = (of(&said).ok(), of(&again).ok());
        assert_eq!(again, said);
        if let Some(text) = said.flatten() {
            assert!(HeaderValue::from_str(&text).is_ok(), "{text:?}");
        }
    }
    let of_user = said.user_metadata().ok();
    assert_eq!(again.user_metadata().ok(), of_user);
    assert!(of_user.flatten().is_none_or(|metadata| metadata.is_object()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::fuzz_seeds;
    use proptest::prelude::*;

    #[test]
    fn seeds() {
        fuzz_seeds::run("upload_metadata", upload_metadata);
    }

    proptest! {
        #[test]
        fn pairs(text in "((bucketName|cacheControl|metadata|[a-z]{0,2})[ \t]{0,2}([A-Za-z0-9+/]{4}){0,3}(=|==)?,? ?){0,5}") {
            upload_metadata(text.as_bytes());
        }
    }
}
