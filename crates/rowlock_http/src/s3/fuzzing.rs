//! What the fuzz targets and their short form in the tests feed: parsers of what anybody may
//! send. Each function must return, whatever it is given, and asserts what must hold.
#![allow(clippy::panic, reason = "a broken promise is what fuzzing looks for")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;

use super::conditions::{Conditions, Verdict, of_delete, of_write};
use super::copy_source::CopySource;
use super::delete_objects::Delete;
use super::encode::{metadata_in, metadata_out, percent_decode};
use super::error::S3Error;
use super::multipart::complete;
use super::object_headers::Described;
use super::path::Named;
use super::post_object::form::Form;
use super::post_object::stream::Source;
use super::query::Query;
use super::range::{Wanted, resolve, resolve_copy};
use super::xml::parse;
use super::{checksum, create_bucket, delete_objects, tags};

/// The bodies of all operations that take XML.
pub fn xml(body: &[u8]) {
    for root in ["Delete", "CompleteMultipartUpload", "CreateBucketConfiguration", "Tagging"] {
        if let Ok(element) = parse(body, root) {
            assert_eq!(element.name, root);
        }
    }
    for most in [tags::OF_OBJECT, tags::OF_BUCKET] {
        if let Ok(tags) = tags::of_document(body, most) {
            assert!(tags.len() <= most);
            let again = tags::of_document(tags::render(&tags).finish().as_bytes(), most);
            assert_eq!(again.ok(), Some(tags));
        }
    }
    let _ = create_bucket::check_configuration(body).is_ok();
    if let Ok(delete) = Delete::parse(body) {
        assert!((1..=delete_objects::MAX_KEYS).contains(&delete.entries.len()));
        for key in delete.entries.iter().filter_map(|entry| entry.key.as_ref().ok()) {
            assert!((1..=1024).contains(&key.as_str().len()), "{key:?} is no key");
        }
    }
    if let Ok(named) = complete::Named::read(body, &HeaderMap::new()) {
        assert!((1..=10_000).contains(&named.parts.len()));
        assert!(named.parts.iter().all(|part| (1..=10_000).contains(&part.number)));
    }
}

/// A form's fields, and its file or why there is none, or not all of it.
type Posted = Result<(Vec<(String, String)>, Result<Vec<u8>, &'static str>), &'static str>;

fn posted(body: &[u8], step: usize) -> Posted {
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        body.chunks(step.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let source = Source::new(Body::from_stream(stream::iter(pieces)));
    let form = block_on(Form::read(&source, "XX".to_owned())).map_err(|error| error.code())?;
    let fields = form.fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let fields = fields.collect();
    let mut file = form.into_stream(None);
    let mut bytes = Vec::new();
    let whole = block_on(async {
        while let Some(piece) = file.next().await {
            let error = |error| S3Error::from(rowlock_storage::Error::Body(error)).code();
            bytes.extend_from_slice(&piece.map_err(error)?);
        }
        Ok(())
    });
    Ok((fields, whole.map(|()| bytes)))
}

/// Nothing here waits for anything but itself.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// The body of a form with the boundary `XX`, arriving in pieces of `step` bytes: what it holds
/// does not depend on them.
pub fn form(body: &[u8], step: usize) {
    let whole = posted(body, body.len());
    assert_eq!(posted(body, step), whole, "a form depends on how it is cut");
    if let Ok((fields, file)) = whole {
        // The key is longer than what came where it names the file more than once.
        let plain = fields.iter().filter(|(name, _)| name != "key");
        let size: usize = plain.map(|(name, value)| name.len() + value.len()).sum();
        assert!(size + file.unwrap_or_default().len() < body.len(), "more than what came");
    }
}

/// An object's size in eight bytes, and a text that may be any header's value or a target.
pub fn anything(data: &[u8]) {
    let (size, value) = data.split_at(data.len().min(8));
    let size = size.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
    headers(value);
    if let Ok(text) = std::str::from_utf8(value) {
        range(text, size);
        range(&format!("bytes={text}"), size);
        range_of_numbers(size, value.len() as u64);
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        target(path, query);
    }
}

/// Ranges as they are meant to be written give the bytes that they name.
fn range_of_numbers(first: u64, size: u64) {
    let last = first.saturating_add(size / 2);
    for header in [format!("bytes={first}-{last}"), format!("bytes={first}-")] {
        let end = if header.ends_with('-') { size } else { size.min(last.saturating_add(1)) };
        let wanted = if first < size { Wanted::Part(first..end) } else { Wanted::Unsatisfiable };
        assert_eq!(resolve(Some(&header), size), wanted, "{header} {size}");
    }
    let wanted = if first == 0 || size == 0 {
        Wanted::Unsatisfiable
    } else {
        Wanted::Part(size.saturating_sub(first)..size)
    };
    assert_eq!(resolve(Some(&format!("bytes=-{first}")), size), wanted, "-{first} {size}");
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
    let only = |name: &'static str| {
        let one = HeaderMap::from_iter([(HeaderName::from_static(name), header.clone())]);
        Conditions::of_read(&one).judge(&tag, OffsetDateTime::UNIX_EPOCH)
    };
    // The one condition is the other's opposite, whatever it says.
    if header.to_str().is_ok() {
        let fails = only("if-match") == Verdict::Failed;
        assert_eq!(fails, only("if-none-match") == Verdict::Proceed, "{header:?}");
    }
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
    use super::super::fuzz_seeds as seeds;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seeds() {
        seeds::run("xml", xml);
        seeds::run("headers", anything);
        seeds::run("form", |data| {
            if let Some((step, body)) = data.split_first() {
                form(body, usize::from(*step));
            }
        });
    }

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
