//! A request after authentication: what every operation reads from.

use std::sync::Arc;

use http::HeaderMap;
use rowlock_storage::Context;
use rowlock_types::{BucketName, Caller, KeyRules, ObjectKey, Operation, RequestInfo, UploadId};

use super::error::{S3Error, code};
use super::query::Query;
use super::response::Ids;

/// An authenticated request for one operation.
pub(crate) struct S3Request {
    /// All headers; those that a presigned URL carries in its query are among them.
    pub(crate) headers: HeaderMap,
    /// The query, decoded.
    pub(crate) query: Query,
    /// The bucket's name, decoded; empty at the service.
    pub(crate) bucket: String,
    /// The object's key, decoded; empty at a bucket.
    pub(crate) key: String,
    /// `/bucket/key` as it was sent, for errors.
    pub(crate) resource: String,
    /// The URL that the client used, without its query.
    pub(crate) url: String,
    /// The ids of the answer.
    pub(crate) ids: Ids,
    /// Who is asking.
    pub(crate) caller: Arc<Caller>,
    /// What policies see of the request.
    pub(crate) info: Arc<RequestInfo>,
    /// What the request does.
    pub(crate) operation: Operation,
}

impl S3Request {
    /// What the domain needs to know of this request.
    pub(crate) fn context(&self) -> Context {
        Context {
            caller: Arc::clone(&self.caller),
            request: Arc::clone(&self.info),
            operation: self.operation,
        }
    }

    /// The bucket, which may be an old one with a name that S3 would not give.
    pub(crate) fn bucket(&self) -> Result<BucketName, S3Error> {
        Ok(BucketName::existing(&self.bucket)?)
    }

    /// The object's key.
    pub(crate) fn key(&self) -> Result<ObjectKey, S3Error> {
        Ok(ObjectKey::new(&self.key, KeyRules::Utf8)?)
    }

    /// A header's text, if it is ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The upload's id.
    ///
    /// # Errors
    /// NoSuchUpload for what cannot be one.
    pub(crate) fn upload_id(&self) -> Result<UploadId, S3Error> {
        let text = self.query.get("uploadId").unwrap_or_default();
        UploadId::parse(text).map_err(|_| rowlock_storage::Error::NoSuchUpload.into())
    }

    /// `partNumber` of a part to store: 1 to 10,000.
    pub(crate) fn part_number(&self) -> Result<u32, S3Error> {
        let text = self.query.get("partNumber").unwrap_or_default();
        match text.parse::<u32>() {
            Ok(number @ 1..=10_000) => Ok(number),
            _ => Err(S3Error::invalid_argument(
                "partNumber",
                text,
                "Part number must be an integer between 1 and 10000, inclusive",
            )),
        }
    }

    /// Refuses every version but `null`, the only one that objects of an unversioned bucket have.
    pub(crate) fn check_version(&self) -> Result<(), S3Error> {
        match self.query.filled("versionId") {
            None | Some("null") => Ok(()),
            Some(version) => Err(no_such_version(version)),
        }
    }
}

pub(crate) fn no_such_version(version: &str) -> S3Error {
    S3Error::new(code::NO_SUCH_VERSION, "The specified version does not exist.")
        .detail("VersionId", version)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rowlock_types::Role;

    /// A request of the service role for `/bucket/key`.
    pub(crate) fn request() -> S3Request {
        S3Request {
            headers: HeaderMap::new(),
            query: Query::default(),
            bucket: "bucket".to_owned(),
            key: "key".to_owned(),
            resource: "/bucket/key".to_owned(),
            url: "http://localhost/s3/bucket/key".to_owned(),
            ids: Ids { request_id: "R".to_owned(), host_id: "H".to_owned() },
            caller: Arc::new(Caller {
                role: Role::new("service_role"),
                subject: None,
                claims: Arc::from("{}"),
                token: Arc::from(""),
                is_service: true,
            }),
            info: Arc::default(),
            operation: Operation::None,
        }
    }

    #[test]
    fn part_numbers() {
        let mut request = request();
        for (text, wanted) in
            [("1", Some(1)), ("10000", Some(10_000)), ("0", None), ("10001", None), ("x", None)]
        {
            request.query = Query::parse(&format!("partNumber={text}")).unwrap();
            assert_eq!(request.part_number().ok(), wanted, "{text}");
        }
        request.query = Query::default();
        assert!(request.part_number().is_err());
    }

    #[test]
    fn the_only_version_is_null() {
        let mut request = request();
        for (text, fine) in [("", true), ("null", true), ("3", false)] {
            request.query = Query::parse(&format!("versionId={text}")).unwrap();
            assert_eq!(request.check_version().is_ok(), fine, "{text}");
        }
    }
}
