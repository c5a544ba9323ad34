//! CopyObject (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>).

use axum::body::Body;
use http::Response;
use rowlock_storage::{CopyMetadata, CopyRequest};

use super::S3Service;
use super::checksum;
use super::conditions;
use super::copy_source::CopySource;
use super::encode::iso;
use super::error::S3Error;
use super::keep_alive;
use super::object_headers::{Described, Facts};
use super::put_object::folder_key;
use super::request::S3Request;
use super::xml::Xml;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let replace = directive(request, "x-amz-metadata-directive", "Unknown metadata directive.")?;
    let retag = directive(request, "x-amz-tagging-directive", "Unknown tagging directive.")?;
    let algorithm = checksum::algorithm(&request.headers)?;
    let (bucket, key) = (request.bucket()?, request.key()?);
    let condition = conditions::of_write(&without_read_conditions(request))?;
    let described = Described::read(&request.headers)?;
    let source = CopySource::find(s3, request).await?;
    let key = folder_key(key, source.size == 0)?;
    let redirected = described.extra.website_redirect_location.is_some();
    let changed = replace || redirected || algorithm.is_some();
    if source.bucket == bucket && source.key == key && !changed {
        return Err(S3Error::invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
        ));
    }
    let tags = retag.then(|| described.extra.tags.clone());
    let copy = CopyRequest {
        bucket,
        key,
        metadata: metadata(replace, described, Facts::from(&source)),
        condition,
        tags,
        checksum: algorithm,
    };
    let (storage, context) = (s3.storage().clone(), request.context());
    keep_alive::answer(request, async move {
        let copied = storage.copy_object(&context, &source, copy).await?;
        let mut out = Xml::new("CopyObjectResult");
        out.text("ETag", copied.etag.as_str()).text("LastModified", &iso(copied.last_modified));
        checksum::write(&mut out, copied.checksum.as_ref());
        Ok(out)
    })
    .await
}

/// True for `REPLACE`, false for `COPY` or nothing.
fn directive(
    request: &S3Request,
    name: &'static str,
    message: &'static str,
) -> Result<bool, S3Error> {
    match request.header(name) {
        None | Some("" | "COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(S3Error::invalid_argument(name, other, message)),
    }
}

/// A copy's own conditions speak of its target; those on time do not exist for writes, and AWS
/// ignores them on copies.
fn without_read_conditions(request: &S3Request) -> http::HeaderMap {
    let mut headers = request.headers.clone();
    headers.remove("if-modified-since");
    headers.remove("if-unmodified-since");
    headers
}

/// A website redirect is never copied: it is what the request says, whatever the directive.
fn metadata(replace: bool, described: Described, source: Facts<'_>) -> CopyMetadata {
    let Described { content_type, cache_control, user_metadata, extra } = described;
    if replace {
        return CopyMetadata::Replace { content_type, cache_control, user_metadata, extra };
    }
    let own = source.metadata.rowlock.clone().unwrap_or_default();
    if own.website_redirect_location == extra.website_redirect_location {
        return CopyMetadata::Source;
    }
    CopyMetadata::Redirected(extra.website_redirect_location)
}

#[cfg(test)]
mod tests {
    use super::super::object_headers::tests::Row;
    use super::super::request::tests::request;
    use super::*;
    use http::HeaderValue;
    use rowlock_types::RowlockMetadata;

    #[test]
    fn directives() {
        let of = |value: &'static str| {
            let mut request = request();
            let name = "x-amz-metadata-directive";
            request.headers.insert(name, HeaderValue::from_static(value));
            directive(&request, name, "unknown").map_err(|error| error.code())
        };
        assert_eq!(of("COPY"), Ok(false));
        assert_eq!(of("REPLACE"), Ok(true));
        assert_eq!(of("replace"), Err("InvalidArgument"));
        assert!(!directive(&request(), "x-amz-metadata-directive", "unknown").unwrap());
    }

    #[test]
    fn metadata_follows_the_directive_and_redirects_do_not() {
        let mut source = Row::new();
        assert!(matches!(
            metadata(false, Described::default(), source.facts()),
            CopyMetadata::Source
        ));
        assert!(matches!(
            metadata(true, Described::default(), source.facts()),
            CopyMetadata::Replace { content_type: None, .. }
        ));
        source.metadata.rowlock = Some(RowlockMetadata {
            content_disposition: Some("inline".to_owned()),
            website_redirect_location: Some("/old".to_owned()),
            ..RowlockMetadata::default()
        });
        assert!(matches!(
            metadata(false, Described::default(), source.facts()),
            CopyMetadata::Redirected(None)
        ));
    }
}
