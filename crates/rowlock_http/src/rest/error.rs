//! The one place where a refusal or failure of the REST API gets its status and its envelope:
//! `{"statusCode","error","message","code"}`.
//!
//! The status of the answer is 400 for almost everything, as clients of the reference expect; the
//! real one stands in the envelope.

use std::borrow::Cow;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use rowlock_storage::images::Error as ImageError;
use rowlock_storage::{CatalogError, Error as StorageError};
use rowlock_types::InvalidObjectKey;
use serde::Serialize;

use super::body::BodyFault;
use super::response::JSON_TYPE;
use crate::gateway::RequestId;

/// When to come again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A refusal or failure, ready to be rendered.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct RestError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// The real status, which the envelope tells.
    status: u16,
    code: &'static str,
    error: &'static str,
    message: Cow<'static, str>,
    /// The answer itself has the real status.
    real: bool,
    headers: HeaderMap,
    /// What the log should know and the client must not.
    log: Option<String>,
}

/// What an error says, for a protocol with an envelope of its own.
pub(crate) struct Told {
    /// The real status.
    pub(crate) status: u16,
    pub(crate) message: Cow<'static, str>,
    /// What the log should know and the client must not.
    pub(crate) log: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    status_code: String,
    error: &'a str,
    message: &'a str,
    code: &'a str,
}

impl RestError {
    /// An error whose `error` is its code.
    pub(crate) fn new(
        status: u16,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Inner {
            status,
            code,
            error: code,
            message: message.into(),
            real: matches!(status, 416 | 429 | 500 | 507 | 544),
            headers: HeaderMap::new(),
            log: None,
        }))
    }

    /// Another `error` than the code.
    pub(crate) fn named(mut self, error: &'static str) -> Self {
        self.0.error = error;
        self
    }

    /// The answer itself has the real status.
    pub(crate) fn real_status(mut self) -> Self {
        self.0.real = true;
        self
    }

    /// The same request may succeed soon: the answer says so to whatever stands between, too.
    fn come_again(mut self) -> Self {
        self.0.headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        self.real_status()
    }

    fn logged(mut self, what: impl ToString) -> Self {
        self.0.log = Some(what.to_string());
        self
    }

    /// The code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// A request that is not of the operation's form.
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "InvalidRequest", message).named("Error")
    }

    pub(crate) fn access_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, "AccessDenied", message).named("Unauthorized")
    }

    pub(crate) fn no_such_bucket() -> Self {
        Self::new(404, "NoSuchBucket", "Bucket not found").named("Bucket not found")
    }

    /// What a row would refer to is not there.
    pub(crate) fn no_such_relation() -> Self {
        Self::new(404, "InvalidRequest", "The related resource does not exist")
    }

    /// A signed URL's token that is not good.
    pub(crate) fn invalid_token(why: &rowlock_auth::Error) -> Self {
        match why {
            rowlock_auth::Error::WrongUse => Self::invalid_signature(),
            rowlock_auth::Error::NoSigningKey => Self::internal(why),
            _ => Self::new(400, "InvalidJWT", why.to_string()),
        }
    }

    /// A signed URL's token that is for something else.
    pub(crate) fn invalid_signature() -> Self {
        Self::new(400, "InvalidSignature", "Invalid signature")
    }

    pub(crate) fn no_such_key() -> Self {
        Self::new(404, "NoSuchKey", "Object not found").named("not_found")
    }

    /// Something of that name is there already.
    pub(crate) fn duplicate(code: &'static str) -> Self {
        Self::new(409, code, "The resource already exists").named("Duplicate")
    }

    pub(crate) fn entity_too_large() -> Self {
        Self::new(413, "EntityTooLarge", "The object exceeded the maximum allowed size")
            .named("Payload too large")
    }

    pub(crate) fn invalid_mime_type(mime: &str) -> Self {
        Self::new(415, "InvalidMimeType", format!("mime type {mime} is not supported"))
            .named("invalid_mime_type")
    }

    pub(crate) fn invalid_range() -> Self {
        Self::new(416, "InvalidRange", "invalid range provided").named("invalid_range")
    }

    /// No operation is at this path.
    pub(crate) fn route_not_found(parts: &Parts, path: &str) -> Self {
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let message = format!("Route {}:{path}{query} not found", parts.method);
        Self::new(404, "InvalidRequest", message).named("Not Found").real_status()
    }

    pub(crate) fn internal(log: impl ToString) -> Self {
        Self::new(500, "InternalError", "Internal Server Error").named("Internal").logged(log)
    }

    /// What the error says.
    pub(crate) fn told(self) -> Told {
        let Inner { status, message, log, .. } = *self.0;
        Told { status, message, log }
    }

    /// The answer.
    pub(crate) fn into_response(self, request_id: &RequestId) -> Response<Body> {
        let Inner { status, code, error, message, real, headers, log } = *self.0;
        if let Some(what) = log {
            tracing::error!(request_id = request_id.as_str(), code, "REST: {what}");
        }
        let envelope = Envelope { status_code: status.to_string(), error, message: &message, code };
        let text = serde_json::to_string(&envelope).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        let status = if real { status } else { 400 };
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(header::CONTENT_TYPE, JSON_TYPE);
        response.headers_mut().extend(headers);
        response
    }
}

impl From<InvalidObjectKey> for RestError {
    fn from(error: InvalidObjectKey) -> Self {
        Self::new(400, "InvalidKey", format!("Invalid key: {}", error.key))
    }
}

impl From<BodyFault> for RestError {
    fn from(fault: BodyFault) -> Self {
        Self::invalid(format!("body could not be read: {fault}"))
    }
}

impl From<StorageError> for RestError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NoSuchBucket => Self::no_such_bucket(),
            StorageError::NoSuchKey => Self::no_such_key(),
            StorageError::NoSuchUpload => Self::new(404, "NoSuchUpload", "Upload not found"),
            StorageError::BucketAlreadyExists { .. } => Self::duplicate("BucketAlreadyExists"),
            StorageError::AccessDenied(_) => Self::access_denied("Access denied"),
            StorageError::BucketNotEmpty => {
                Self::new(409, "ResourceNotEmpty", "The bucket you tried to delete is not empty")
            }
            StorageError::InvalidKey(error) => error.into(),
            StorageError::UnsupportedKey(why) => Self::new(
                400,
                "InvalidKey",
                format!("Invalid key: the storage backend cannot keep it: {why}"),
            ),
            StorageError::EntityTooLarge { .. } => Self::entity_too_large(),
            StorageError::InvalidMimeType(mime) => Self::invalid_mime_type(&mime),
            // The one condition of this API: nothing may be there yet.
            StorageError::PreconditionFailed | StorageError::ConditionalConflict => {
                Self::duplicate("KeyAlreadyExists")
            }
            StorageError::IncompleteBody
            | StorageError::BadDigest(_)
            | StorageError::Checksum(_)
            | StorageError::ContentSha256Mismatch
            | StorageError::InvalidPartOrder
            | StorageError::InvalidPart(_)
            | StorageError::PartTooSmall { .. }
            | StorageError::LengthConflict => Self::invalid(error.to_string()),
            // Of resumable uploads, which have a renderer of their own.
            StorageError::OffsetConflict { .. } | StorageError::UploadCompleted => {
                Self::new(409, "InvalidRequest", error.to_string())
            }
            StorageError::UploadLocked => Self::new(423, "ResourceLocked", error.to_string()),
            StorageError::UploadExpired => Self::new(410, "NoSuchUpload", error.to_string()),
            StorageError::Body(error) => match error.0.downcast::<Self>() {
                Ok(fault) => *fault,
                Err(other) => match other.downcast::<BodyFault>() {
                    Ok(fault) => (*fault).into(),
                    Err(other) => Self::internal(other),
                },
            },
            StorageError::Catalog(error) => of_catalog(&error),
            StorageError::StorageFull => {
                Self::new(507, "StorageFull", "The storage backend is full")
                    .logged("storage is full")
            }
            StorageError::Busy(_) => {
                Self::new(503, "SlowDown", "The server is busy. Please reduce your request rate")
                    .come_again()
                    .logged(&error)
            }
            StorageError::StorageUnavailable(error) => {
                Self::new(503, "SlowDown", "The storage backend is not available")
                    .come_again()
                    .logged(&error)
            }
            StorageError::Image(ImageError::Encode(why)) => Self::internal(why),
            StorageError::Image(why) => Self::new(400, "InvalidRequest", why.to_string()),
            StorageError::ImageTooCostly => Self::new(400, "InvalidRequest", error.to_string()),
            StorageError::Blobs(error) => Self::internal(error),
            StorageError::Internal(why) => Self::internal(why),
        }
    }
}

/// The foreign keys of multipart uploads to their buckets.
const PENDING_UPLOADS: [&str; 2] =
    ["s3_multipart_uploads_bucket_id_fkey", "s3_multipart_uploads_parts_bucket_id_fkey"];

/// What the database said. The states are those of
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_catalog(error: &CatalogError) -> RestError {
    let timeout =
        || RestError::new(544, "DatabaseTimeout", "The connection to the database timed out");
    let CatalogError::Database { state, message, detail, constraint, in_user_code } = error else {
        return match error {
            CatalogError::PoolTimeout | CatalogError::Unavailable(_) => timeout().logged(error),
            CatalogError::TooManyConnections => {
                RestError::new(429, "SlowDown", "Too many connections issued to the database")
                    .logged(error)
            }
            CatalogError::RoleRefused(role) => {
                RestError::access_denied(format!("role \"{role}\" is not allowed"))
            }
            _ => RestError::internal(error),
        };
    };
    let referenced = detail.as_deref().is_some_and(|d| d.contains("still referenced from table"));
    match state.code() {
        "42501" if error.is_row_security() => {
            RestError::access_denied("new row violates row-level security policy")
        }
        "42501" => RestError::access_denied(message.clone()),
        "23505" => RestError::duplicate("ResourceAlreadyExists"),
        "23503" if referenced => {
            let pending = constraint.as_deref().is_some_and(|name| PENDING_UPLOADS.contains(&name));
            RestError::new(
                409,
                "ResourceReferenced",
                if pending {
                    "The bucket could not be updated because it is referenced by a pending multipart upload."
                } else {
                    "The resource could not be updated or removed due to a foreign key constraint"
                },
            )
        }
        "23503" => RestError::no_such_relation(),
        // Only waits for an object's lock end so; rows are asked for without waiting.
        "55P03" if message.contains("lock timeout") => {
            RestError::new(503, "LockTimeout", "acquiring lock timeout")
                .named("acquiring_lock_timeout")
        }
        "55P03" => RestError::new(423, "ResourceLocked", "The resource is locked"),
        "57014" => timeout(),
        "25006" => RestError::new(
            503,
            "DatabaseReadOnly",
            "The database is currently in read-only mode. Please try again later.",
        ),
        "25P02" => RestError::new(
            500,
            "DatabaseTransactionAborted",
            "The database transaction has been aborted. Roll back the transaction before retrying.",
        )
        .logged(error),
        "42P17" => RestError::new(
            503,
            "DatabaseInvalidObjectDefinition",
            "The database schema is invalid or incompatible.",
        )
        .logged(error),
        // What a text or a JSON value of the database cannot hold.
        "22P02" | "22021" | "22P05" => RestError::new(400, "InvalidParameter", message.clone()),
        "42703" | "42P01" => RestError::new(
            503,
            "DatabaseSchemaMismatch",
            if *in_user_code {
                "There is a database schema mismatch in a trigger or RLS policy"
            } else {
                "The database schema is out of sync. Please run migrations or contact support."
            },
        )
        .logged(error),
        // What a trigger or policy of the user's says may hold their data; the log has it.
        other => RestError::new(500, "DatabaseError", format!("database error, code: {other}"))
            .logged(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn render(error: RestError) -> (u16, String) {
        let id = RequestId::of(&http::HeaderMap::new(), None);
        let response = error.into_response(&id);
        assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 9999).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_envelope_tells_the_real_status() {
        let (status, body) = render(StorageError::NoSuchBucket.into()).await;
        assert_eq!(status, 400);
        assert_eq!(
            body,
            r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found","code":"NoSuchBucket"}"#
        );
    }

    #[tokio::test]
    async fn some_statuses_are_real() {
        for (error, wanted) in [
            (RestError::invalid_range(), 416),
            (RestError::from(StorageError::Internal("x")), 500),
            (RestError::from(StorageError::Catalog(CatalogError::PoolTimeout)), 544),
            (RestError::from(StorageError::Catalog(CatalogError::TooManyConnections)), 429),
            (RestError::from(StorageError::Busy("opening a file")), 503),
            (RestError::entity_too_large(), 400),
            (RestError::access_denied("x"), 400),
            (RestError::access_denied("x").real_status(), 403),
        ] {
            assert_eq!(render(error).await.0, wanted);
        }
    }

    #[tokio::test]
    async fn what_may_succeed_soon_says_when_to_come_again() {
        let away = rowlock_storage::BlobError::Unavailable { doing: "reading", why: "x".into() };
        for error in [StorageError::StorageUnavailable(away), StorageError::Busy("opening a file")]
        {
            let id = RequestId::of(&http::HeaderMap::new(), None);
            let response = RestError::from(error).into_response(&id);
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
    }

    #[test]
    fn locks_of_objects_and_of_rows_are_told_apart() {
        let of = |message: &str| {
            let error = CatalogError::Database {
                state: rowlock_storage::SqlState::LOCK_NOT_AVAILABLE,
                message: message.to_owned(),
                detail: None,
                constraint: None,
                in_user_code: false,
            };
            of_catalog(&error).code()
        };
        assert_eq!(of("canceling statement due to lock timeout"), "LockTimeout");
        assert_eq!(of("could not obtain lock on row in relation \"objects\""), "ResourceLocked");
    }

    #[tokio::test]
    async fn failures_do_not_tell_what_the_log_tells() {
        let error = RestError::from(StorageError::Internal("/var/lib/secret/path"));
        assert!(error.0.log.as_deref().unwrap().contains("secret"));
        assert!(!render(error).await.1.contains("secret"));
    }
}
