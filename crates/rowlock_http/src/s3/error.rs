//! The one place where an S3 error gets its code, status and body
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).

use std::borrow::Cow;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use rowlock_storage::{CatalogError, Error as StorageError, SizeLimit};
use rowlock_types::{InvalidBucketName, InvalidObjectKey};

pub(crate) use super::code;

use super::body_fault::BodyFault;
use super::request::S3Request;
use super::response::Ids;
use super::row_refusal::row_refusal;
use super::xml::Xml;

/// The content type of every XML answer.
pub(crate) const XML_TYPE: HeaderValue = HeaderValue::from_static("application/xml; charset=utf-8");

/// A refusal or failure, ready to be rendered.
#[derive(Debug)]
pub(crate) struct S3Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: &'static str,
    status: StatusCode,
    message: Cow<'static, str>,
    /// Further elements that AWS documents for some codes.
    details: Vec<(&'static str, String)>,
    /// Headers of the answer (`Content-Range` of a 416).
    headers: Vec<(header::HeaderName, HeaderValue)>,
    /// What the log should know and the client must not.
    log: Option<String>,
}

impl S3Error {
    /// An error with its code (one of [`code`]) and the sentence that the user sees.
    pub(crate) fn new(
        (code, status): (&'static str, StatusCode),
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            code,
            status,
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
            log: None,
        }))
    }

    /// Adds an element that AWS documents for this code.
    pub(crate) fn detail(mut self, tag: &'static str, text: impl Into<String>) -> Self {
        self.0.details.push((tag, text.into()));
        self
    }

    /// Says of which bucket or object the error speaks, where AWS does and nobody has said so yet.
    pub(crate) fn named(self, bucket: &str, key: &str) -> Self {
        let (tag, text) = match self.0.code {
            "NoSuchKey" => ("Key", key),
            "NoSuchBucket"
            | "BucketNotEmpty"
            | "BucketAlreadyExists"
            | "BucketAlreadyOwnedByYou" => ("BucketName", bucket),
            _ => return self,
        };
        if self.tells(tag) { self } else { self.detail(tag, text) }
    }

    /// The same of all that a request names.
    pub(crate) fn about(self, request: &S3Request) -> Self {
        let (tag, text) = match self.0.code {
            "NoSuchUpload" => ("UploadId", request.query.get("uploadId").unwrap_or_default()),
            // What a read or a copy's source decided was told there: this was the write's own.
            "PreconditionFailed" if request.headers.contains_key("if-none-match") => {
                ("Condition", "If-None-Match")
            }
            "PreconditionFailed" => ("Condition", "If-Match"),
            _ => return self.named(&request.bucket, &request.key),
        };
        if self.tells(tag) { self } else { self.detail(tag, text) }
    }

    fn tells(&self, tag: &str) -> bool {
        self.0.details.iter().any(|(known, _)| *known == tag)
    }

    /// Adds a header to the answer.
    pub(crate) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    fn logged(mut self, what: impl ToString) -> Self {
        self.0.log = Some(what.to_string());
        self
    }

    /// The error code, for answers that list errors inside a body.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// The sentence that the user sees.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn malformed_xml() -> Self {
        Self::new(
            code::MALFORMED_XML,
            "The XML you provided was not well-formed or did not validate against our published schema",
        )
    }

    pub(crate) fn invalid_argument(
        name: &'static str,
        value: &str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(code::INVALID_ARGUMENT, message)
            .detail("ArgumentName", name)
            .detail("ArgumentValue", value)
    }

    pub(crate) fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code::INVALID_REQUEST, message)
    }

    pub(crate) fn access_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code::ACCESS_DENIED, message)
    }

    pub(crate) fn header_not_implemented(name: &'static str) -> Self {
        Self::new(
            code::NOT_IMPLEMENTED,
            "A header you provided implies functionality that is not implemented",
        )
        .detail("Header", name)
    }

    pub(crate) fn invalid_range(size: u64, requested: &str) -> Self {
        let this = Self::new(code::INVALID_RANGE, "invalid range provided")
            .detail("RangeRequested", requested)
            .detail("ActualObjectSize", size.to_string());
        match HeaderValue::from_str(&format!("bytes */{size}")) {
            Ok(value) => this.header(header::CONTENT_RANGE, value),
            Err(_) => this,
        }
    }

    fn internal(log: impl ToString) -> Self {
        Self::new(code::INTERNAL_ERROR, "We encountered an internal error. Please try again.")
            .logged(log)
    }

    /// The `<Error>` document: no namespace, as AWS has it.
    pub(crate) fn document(&self, resource: &str, ids: &Ids) -> String {
        let mut xml = Xml::bare();
        xml.open("Error").text("Code", self.0.code).text("Message", &self.0.message);
        for (tag, text) in &self.0.details {
            xml.text(tag, text);
        }
        xml.text("Resource", resource)
            .text("RequestId", &ids.request_id)
            .text("HostId", &ids.host_id);
        xml.finish()
    }

    /// Writes down what the client is not told.
    pub(crate) fn log(&self, ids: &Ids) {
        if let Some(what) = &self.0.log {
            tracing::error!(request_id = %ids.request_id, code = self.0.code, "S3: {what}");
        }
    }

    /// The answer. `head`: without its body, but with the body's type.
    pub(crate) fn into_response(self, resource: &str, ids: &Ids, head: bool) -> Response<Body> {
        self.log(ids);
        let bodiless = head || self.0.status == StatusCode::NOT_MODIFIED;
        let body = if bodiless { Body::empty() } else { self.document(resource, ids).into() };
        let mut response = Response::new(body);
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, XML_TYPE);
        for (name, value) in self.0.headers {
            headers.insert(name, value);
        }
        ids.put(headers);
        response
    }
}

impl From<InvalidBucketName> for S3Error {
    fn from(error: InvalidBucketName) -> Self {
        Self::new(
            code::INVALID_BUCKET_NAME,
            format!("The specified bucket is not valid: {}", error.reason),
        )
        .detail("BucketName", error.name)
    }
}

impl From<InvalidObjectKey> for S3Error {
    fn from(error: InvalidObjectKey) -> Self {
        if error.too_long {
            return Self::new(code::KEY_TOO_LONG, "Your key is too long")
                .detail("Size", error.key.len().to_string())
                .detail("MaxSizeAllowed", rowlock_types::MAX_KEY_BYTES.to_string());
        }
        Self::new(code::INVALID_KEY, format!("Invalid key: {} ({})", error.key, error.reason))
    }
}

impl From<StorageError> for S3Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NoSuchBucket => Self::new(code::NO_SUCH_BUCKET, "Bucket not found"),
            StorageError::NoSuchKey => Self::new(code::NO_SUCH_KEY, "Object not found"),
            StorageError::NoSuchUpload => Self::new(code::NO_SUCH_UPLOAD, "Upload not found"),
            StorageError::BucketAlreadyExists { owned: true } => Self::new(
                code::BUCKET_ALREADY_OWNED_BY_YOU,
                "The bucket exists already, and you own it",
            ),
            StorageError::BucketAlreadyExists { owned: false } => {
                Self::new(code::BUCKET_ALREADY_EXISTS, "The resource already exists")
            }
            StorageError::AccessDenied(right) => Self::access_denied(format!("Access Denied: {right}")),
            StorageError::BucketNotEmpty => {
                Self::new(code::BUCKET_NOT_EMPTY, "The bucket you tried to delete is not empty")
            }
            StorageError::InvalidKey(error) => error.into(),
            StorageError::UnsupportedKey(why) => {
                Self::new(code::INVALID_KEY, format!("the storage backend cannot keep this key: {why}"))
            }
            StorageError::EntityTooLarge { limit, size } => too_large(limit, size),
            StorageError::InvalidMimeType(mime) => {
                Self::new(code::INVALID_MIME_TYPE, format!("mime type {mime} is not supported"))
            }
            StorageError::PreconditionFailed => precondition_failed(),
            StorageError::ConditionalConflict => Self::new(
                code::CONDITIONAL_REQUEST_CONFLICT,
                "The conditional request cannot succeed due to a conflicting operation against this resource.",
            ),
            StorageError::BadDigest(name) => Self::new(
                code::BAD_DIGEST,
                format!("The {name} you specified did not match what we received."),
            ),
            StorageError::Checksum(fault) => Self::invalid_request(fault.to_string()),
            StorageError::ContentSha256Mismatch => Self::new(
                code::SHA256_MISMATCH,
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            ),
            StorageError::IncompleteBody => incomplete_body(),
            StorageError::Body(error) => match error.0.downcast::<BodyFault>() {
                Ok(fault) => (*fault).into(),
                Err(other) => Self::internal(other),
            },
            StorageError::InvalidPartOrder => Self::new(
                code::INVALID_PART_ORDER,
                "The list of parts was not in ascending order. Parts must be ordered by part number.",
            ),
            StorageError::InvalidPart(number) => Self::new(
                code::INVALID_PART,
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
            )
            .detail("PartNumber", number.to_string()),
            StorageError::PartTooSmall { number, size, etag } => Self::new(
                code::ENTITY_TOO_SMALL,
                "Your proposed upload is smaller than the minimum allowed size",
            )
            .detail("ProposedSize", size.to_string())
            .detail("MinSizeAllowed", (5 * 1024 * 1024).to_string())
            .detail("PartNumber", number.to_string())
            .detail("ETag", etag),
            // Of resumable uploads, which S3 has no words for.
            StorageError::OffsetConflict { .. }
            | StorageError::LengthConflict
            | StorageError::UploadLocked
            | StorageError::UploadExpired
            | StorageError::UploadCompleted => Self::invalid_request(error.to_string()),
            StorageError::Catalog(error) => of_catalog(error),
            StorageError::StorageFull => {
                Self::new(code::STORAGE_FULL, "The storage backend is full").logged("storage is full")
            }
            StorageError::Busy(_) => {
                Self::new(code::SLOW_DOWN, "Please reduce your request rate.").logged(&error)
            }
            StorageError::StorageUnavailable(error) => Self::new(
                code::SERVICE_UNAVAILABLE,
                "The storage backend is not available. Please try again.",
            )
            .logged(&error),
            // Of rendered images, which are no part of S3.
            StorageError::Image(_) | StorageError::ImageTooCostly => Self::internal(error),
            StorageError::Blobs(error) => Self::internal(error),
            StorageError::Internal(why) => Self::internal(why),
        }
    }
}

/// AWS's elements for this code are `ProposedSize` and `MaxSizeAllowed`, in bytes.
fn too_large(limit: SizeLimit, size: Option<u64>) -> S3Error {
    let message = format!("Your proposed upload exceeds the maximum allowed size: {limit}");
    let mut this = S3Error::new(code::ENTITY_TOO_LARGE, message);
    if let Some(size) = size {
        this = this.detail("ProposedSize", size.to_string());
    }
    this.detail("MaxSizeAllowed", limit.bytes.to_string())
}

/// What the database said, in S3's words. The states are those of
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_catalog(error: CatalogError) -> S3Error {
    if error.is_row_security() {
        return S3Error::access_denied(row_refusal(&error));
    }
    let CatalogError::Database { state, message, detail, .. } = &error else {
        return match &error {
            CatalogError::PoolTimeout | CatalogError::TooManyConnections => slow_down(&error),
            CatalogError::Unavailable(_) => S3Error::new(
                code::SERVICE_UNAVAILABLE,
                "The database is not reachable. Please try again.",
            )
            .logged(&error),
            CatalogError::RoleRefused(_) => S3Error::access_denied(error.to_string()),
            _ => S3Error::internal(&error),
        };
    };
    let referenced =
        || detail.as_deref().is_some_and(|d| d.contains("still referenced from table"));
    match state.code() {
        "42501" => S3Error::access_denied(message.clone()),
        "22023" if message.starts_with("role ") => {
            S3Error::access_denied("the role of the session token does not exist")
        }
        "23503" if referenced() => S3Error::new(
            code::OPERATION_ABORTED,
            "The resource could not be updated or removed because it is still referenced",
        ),
        "23503" => S3Error::new(code::NO_SUCH_BUCKET, "Bucket not found"),
        "23505" => S3Error::new(code::OPERATION_ABORTED, "The resource already exists"),
        // What a text or a JSON value of the database cannot hold.
        "22P02" | "22021" | "22P05" => S3Error::invalid_request(message.clone()),
        "55P03" | "57014" | "40001" | "40P01" | "53300" => slow_down(&error),
        "25006" => S3Error::new(
            code::SERVICE_UNAVAILABLE,
            "The database is currently in read-only mode. Please try again later.",
        )
        .logged(&error),
        "57P01" | "57P02" | "57P03" => S3Error::new(
            code::SERVICE_UNAVAILABLE,
            "The database is not reachable. Please try again.",
        )
        .logged(&error),
        // What a trigger or policy of the user's says may hold their data; the log has it.
        other => S3Error::new(code::INTERNAL_ERROR, format!("database error, code: {other}"))
            .logged(&error),
    }
}

fn slow_down(error: &CatalogError) -> S3Error {
    S3Error::new(code::SLOW_DOWN, "The database is busy. Please reduce your request rate.")
        .logged(error)
}

pub(crate) fn precondition_failed() -> S3Error {
    S3Error::new(
        code::PRECONDITION_FAILED,
        "At least one of the pre-conditions you specified did not hold",
    )
}

pub(crate) fn incomplete_body() -> S3Error {
    S3Error::new(
        code::INCOMPLETE_BODY,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_storage::LimitOf;

    fn ids() -> Ids {
        Ids { request_id: "R".to_owned(), host_id: "H".to_owned() }
    }

    #[tokio::test]
    async fn renders_the_document() {
        let response =
            S3Error::from(StorageError::NoSuchKey).into_response("/b/a&b", &ids(), false);
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "application/xml; charset=utf-8");
        assert_eq!(response.headers()["x-amz-request-id"], "R");
        assert_eq!(response.headers()["x-amz-id-2"], "H");
        let body = axum::body::to_bytes(response.into_body(), 9999).await.unwrap();
        assert_eq!(
            body,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>Object not found</Message><Resource>/b/a&amp;b</Resource><RequestId>R</RequestId><HostId>H</HostId></Error>"
        );
    }

    #[tokio::test]
    async fn a_head_has_no_body() {
        let response = S3Error::from(StorageError::NoSuchKey).into_response("/b/a", &ids(), true);
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "application/xml; charset=utf-8");
        let body = axum::body::to_bytes(response.into_body(), 9999).await.unwrap();
        assert!(body.is_empty());
    }

    #[test]
    fn a_range_outside_names_the_size() {
        let response = S3Error::invalid_range(3, "bytes=9-").into_response("/b/a", &ids(), false);
        assert_eq!(response.status(), 416);
        assert_eq!(response.headers()["content-range"], "bytes */3");
    }

    #[test]
    fn errors_name_what_they_speak_of() {
        let mut request = super::super::request::tests::request();
        request.query = super::super::query::Query::parse("uploadId=u").unwrap();
        request.headers.insert("if-none-match", HeaderValue::from_static("*"));
        let text = |error: StorageError| S3Error::from(error).about(&request).document("/", &ids());
        for (error, part) in [
            (StorageError::NoSuchKey, "<Key>key</Key>"),
            (StorageError::NoSuchBucket, "<BucketName>bucket</BucketName>"),
            (StorageError::BucketNotEmpty, "<BucketName>bucket</BucketName>"),
            (StorageError::NoSuchUpload, "<UploadId>u</UploadId>"),
            (StorageError::PreconditionFailed, "<Condition>If-None-Match</Condition>"),
        ] {
            let text = text(error);
            assert!(text.contains(part), "{text}");
        }
        // What is told already is left alone.
        let of_source = S3Error::from(StorageError::NoSuchKey).named("b", "source");
        let text = of_source.about(&request).document("/", &ids());
        assert_eq!(text.matches("<Key>").count(), 1);
        assert!(text.contains("<Key>source</Key>"), "{text}");
    }

    #[test]
    fn failures_do_not_tell_what_the_log_tells() {
        let secret = StorageError::Internal("/var/lib/secret/path");
        let error = S3Error::from(secret);
        assert_eq!(error.code(), "InternalError");
        assert!(!error.document("/b", &ids()).contains("secret"));
        assert!(error.0.log.as_deref().unwrap().contains("secret"));
    }

    #[test]
    fn a_size_that_is_refused_is_told_with_its_limit() {
        let limit = SizeLimit { bytes: 10, of: LimitOf::Bucket };
        let document = |size| {
            let error = S3Error::from(StorageError::EntityTooLarge { limit, size });
            assert_eq!(error.0.status, 400);
            error.document("/b", &ids())
        };
        let text = document(Some(11));
        assert!(text.contains("<Code>EntityTooLarge</Code><Message>Your proposed upload exceeds the maximum allowed size: objects of this bucket have at most 10 bytes</Message><ProposedSize>11</ProposedSize><MaxSizeAllowed>10</MaxSizeAllowed>"), "{text}");
        assert!(!document(None).contains("ProposedSize"));
    }

    #[test]
    fn refusals_name_rights_and_tables() {
        let denied = rowlock_storage::MissingRight::UpdateBucket;
        let text = S3Error::from(StorageError::AccessDenied(denied)).document("/b", &ids());
        assert!(text.contains("<Message>Access Denied: no policy for UPDATE on storage.buckets lets you change this bucket</Message>"), "{text}");
    }

    #[test]
    fn statuses_are_those_of_aws() {
        for (error, code, status) in [
            (StorageError::NoSuchBucket, "NoSuchBucket", 404),
            (StorageError::NoSuchUpload, "NoSuchUpload", 404),
            (StorageError::BucketNotEmpty, "BucketNotEmpty", 409),
            (StorageError::BucketAlreadyExists { owned: true }, "BucketAlreadyOwnedByYou", 409),
            (StorageError::BucketAlreadyExists { owned: false }, "BucketAlreadyExists", 409),
            (StorageError::PreconditionFailed, "PreconditionFailed", 412),
            (StorageError::ConditionalConflict, "ConditionalRequestConflict", 409),
            (StorageError::BadDigest("Content-MD5"), "BadDigest", 400),
            (StorageError::ContentSha256Mismatch, "XAmzContentSHA256Mismatch", 400),
            (StorageError::IncompleteBody, "IncompleteBody", 400),
            (StorageError::InvalidPartOrder, "InvalidPartOrder", 400),
            (StorageError::InvalidPart(3), "InvalidPart", 400),
            (StorageError::StorageFull, "StorageFull", 507),
            (StorageError::Busy("opening a file"), "SlowDown", 503),
            (StorageError::Catalog(CatalogError::PoolTimeout), "SlowDown", 503),
            (
                StorageError::Catalog(CatalogError::Unavailable(String::new())),
                "ServiceUnavailable",
                503,
            ),
            (
                StorageError::Catalog(CatalogError::RoleRefused("postgres".to_owned())),
                "AccessDenied",
                403,
            ),
            (StorageError::Catalog(CatalogError::CommitUnknown), "InternalError", 500),
        ] {
            let error = S3Error::from(error);
            assert_eq!((error.code(), error.0.status.as_u16()), (code, status));
        }
    }
}
