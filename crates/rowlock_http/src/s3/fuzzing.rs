//! What the fuzz targets and their short form in the tests feed: parsers of what anybody may
//! send. Each function must return, whatever it is given, and asserts what must hold.
#![allow(clippy::panic, reason = "a broken promise is what fuzzing looks for")]

use http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;

use super::conditions::{Conditions, of_delete, of_write};
use super::copy_source::CopySource;
use super::encode::{metadata_in, metadata_out, percent_decode};
use super::object_headers::Described;
use super::path::Named;
use super::query::Query;
use super::range::{Wanted, resolve, resolve_copy};
use super::xml::parse;
use super::{checksum, tags};

/// The bodies of all operations that take XML.
pub fn xml(body: &[u8]) {
    for root in ["Delete", "CompleteMultipartUpload", "CreateBucketConfiguration", "Tagging"] {
        if let Ok(element) = parse(body, root) {
            assert_eq!(element.name, root);
        }
    }
    if let Ok(tags) = tags::of_document(body, tags::OF_OBJECT) {
        assert!(tags.len() <= tags::OF_OBJECT);
        let again = tags::of_document(tags::render(&tags).finish().as_bytes(), tags::OF_OBJECT);
        assert_eq!(again.ok(), Some(tags));
    }
}

/// Ranges of an object of so many bytes.
pub fn range(header: &str, size: u64) {
    if let Wanted::Part(range) = resolve(Some(header), size) {
        assert!(range.start < range.end && range.end <= size, "{header} {size}");
    }
    if let Ok(range) = resolve_copy(header, size) {
        assert!(range.start < range.end && range.end <= size, "{header} {size}");
    }
}

/// Headers, each of which may hold this value.
pub fn headers(value: &[u8]) {
    const NAMES: [&str; 17] = [
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "x-amz-copy-source",
        "x-amz-copy-source-if-match",
        "x-amz-copy-source-if-modified-since",
        "x-amz-tagging",
        "x-amz-meta-a",
        "content-encoding",
        "content-type",
        "x-amz-checksum-algorithm",
        "x-amz-checksum-type",
        "x-amz-checksum-crc32",
        "x-amz-checksum-sha256",
        "x-amz-website-redirect-location",
        "expires",
    ];
    let Ok(header) = HeaderValue::from_bytes(value) else { return };
    let headers: HeaderMap =
        NAMES.into_iter().map(|name| (HeaderName::from_static(name), header.clone())).collect();
    let tag = rowlock_types::ETag::new("abc");
    Conditions::of_read(&headers).judge(&tag, OffsetDateTime::UNIX_EPOCH);
    Conditions::of_copy_source(&headers).judge(&tag, OffsetDateTime::UNIX_EPOCH);
    let _ = (of_write(&headers).is_ok(), of_delete(&headers).is_ok());
    let _ = (CopySource::parse(value).is_ok(), tags::of_header(&headers).is_ok());
    let _ = (checksum::wanted(&headers).is_ok(), checksum::claims(&headers, &[]).is_ok());
    let _ = Described::read(&headers).is_ok();
    let kept = metadata_in(value);
    assert!(HeaderValue::from_str(&metadata_out(&kept)).is_ok(), "{kept:?} fits no header");
}

/// A request's path and query.
pub fn target(path: &str, query: &str) {
    if let Some(named) = Named::parse(path) {
        assert!(!named.bucket.contains('/'));
    }
    let _ = (Query::parse(query).is_ok(), percent_decode(path));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bodies(text in "(<[/]?(Delete|Tagging|TagSet|Tag|Key|Value|Object)?[ />]?|[ -~]|&[a-z#0-9]{0,5};|ü){0,40}") {
            xml(text.as_bytes());
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            xml(&bytes);
            headers(&bytes);
        }

        #[test]
        fn ranges(text in "(bytes ?= ?)?[0-9]{0,21}(-|,|[0-9]){0,22}", size in any::<u64>(), small in 0u64..40) {
            range(&text, size);
            range(&text, small);
        }

        #[test]
        fn encoded_words(text in "(=\\?(UTF-8|x|)\\?[BQbq]\\?[ -~]{0,20}\\?=| |[ -~]){0,4}") {
            headers(text.as_bytes());
        }

        #[test]
        fn targets(path in "/?([a-z%/.]|%[0-9a-f]{2}){0,30}", query in "([a-z&=%+]|%[0-9a-f]{2}){0,30}") {
            target(&path, &query);
        }
    }
}
