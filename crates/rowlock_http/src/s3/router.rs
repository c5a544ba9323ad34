//! Which operation a request means.
//!
//! A sub-resource that has no operation here is never mistaken for something else: `GET
//! /bucket?acl` is no list, `PUT /bucket/key?retention` is no upload. Names that nobody knows
//! count as sub-resources too where they have no value, so that what AWS adds tomorrow is
//! refused, not ignored.

use http::Method;
use rowlock_types::Operation;

use super::error::{S3Error, code};
use super::query::Query;
use super::sub_resource::{BucketAnswer, ObjectAnswer};

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The endpoint itself.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

/// The operations that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    ListBuckets,
    CreateBucket,
    HeadBucket,
    DeleteBucket,
    GetBucketLocation,
    GetBucketAcl,
    GetBucketTagging,
    PutBucketTagging,
    DeleteBucketTagging,
    /// A sub-resource of a bucket that has one answer only.
    ReadBucket(BucketAnswer),
    ListObjects,
    ListObjectsV2,
    ListObjectVersions,
    DeleteObjects,
    GetObjectAcl,
    GetObjectAttributes,
    GetObjectTagging,
    PutObjectTagging,
    DeleteObjectTagging,
    /// A sub-resource of an object that has one answer only.
    ReadObject(ObjectAnswer),
    HeadObject,
    GetObject,
    PutObject,
    CopyObject,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    ListMultipartUploads,
}

impl Route {
    /// The name that policies see.
    pub(crate) fn operation(self) -> Operation {
        match self {
            Self::ListBuckets => Operation::S3BucketList,
            Self::CreateBucket => Operation::S3BucketCreate,
            Self::HeadBucket => Operation::S3BucketHead,
            Self::DeleteBucket => Operation::S3BucketDelete,
            Self::GetBucketLocation => Operation::S3BucketGetLocation,
            Self::GetBucketAcl => Operation::S3BucketGet,
            Self::GetBucketTagging => Operation::S3BucketGetTagging,
            Self::PutBucketTagging => Operation::S3BucketPutTagging,
            Self::DeleteBucketTagging => Operation::S3BucketDeleteTagging,
            Self::ReadBucket(BucketAnswer::Versioning) => Operation::S3BucketGetVersioning,
            Self::ReadBucket(_) => Operation::S3BucketGet,
            Self::ListObjects | Self::ListObjectsV2 | Self::ListObjectVersions => {
                Operation::S3ObjectList
            }
            Self::GetObjectAttributes => Operation::S3ObjectGetAttributes,
            Self::GetObjectTagging => Operation::S3ObjectGetTagging,
            Self::PutObjectTagging => Operation::S3ObjectPutTagging,
            Self::DeleteObjectTagging => Operation::S3ObjectDeleteTagging,
            Self::GetObjectAcl | Self::ReadObject(_) => Operation::S3ObjectInfo,
            Self::DeleteObjects => Operation::S3ObjectDeleteMany,
            Self::HeadObject => Operation::S3ObjectInfo,
            Self::GetObject => Operation::S3ObjectGet,
            Self::PutObject => Operation::S3Upload,
            Self::CopyObject => Operation::S3ObjectCopy,
            Self::DeleteObject => Operation::S3ObjectDelete,
            Self::CreateMultipartUpload => Operation::S3MultipartCreate,
            Self::UploadPart => Operation::S3MultipartPart,
            Self::UploadPartCopy => Operation::S3MultipartPartCopy,
            Self::CompleteMultipartUpload => Operation::S3MultipartComplete,
            Self::AbortMultipartUpload => Operation::S3MultipartAbort,
            Self::ListParts => Operation::S3MultipartListParts,
            Self::ListMultipartUploads => Operation::S3MultipartList,
        }
    }
}

/// Query names that choose another operation, with or without a value
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html>).
const SUB_RESOURCES: &[&str] = &[
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "annotations",
    "append",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "replication-metrics",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
];

/// Query names that only modify an operation.
const PARAMETERS: &[&str] = &[
    "bucket-region",
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "partNumber",
    "prefix",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
    "versionId",
    "x-id",
    // A gateway in front may pass the key of its own check.
    "apikey",
];

/// The operation, or why there is none.
pub(crate) fn route(
    method: &Method,
    level: Level,
    query: &Query,
    copy_source: bool,
) -> Result<Route, S3Error> {
    use Level::{Bucket, Object, Service};
    let mut subs: Vec<&str> = query.pairs().filter(is_sub_resource).map(|(name, _)| name).collect();
    subs.sort_unstable();
    subs.dedup();
    let list_type = query.get("list-type");
    let part = query.get("partNumber").is_some();
    Ok(match (method.as_str(), level, subs.as_slice()) {
        ("GET", Service, []) => Route::ListBuckets,
        ("PUT", Bucket, []) => Route::CreateBucket,
        ("HEAD", Bucket, []) => Route::HeadBucket,
        ("DELETE", Bucket, []) => Route::DeleteBucket,
        ("GET", Bucket, ["location"]) => Route::GetBucketLocation,
        ("GET", Bucket, ["acl"]) => Route::GetBucketAcl,
        ("GET", Bucket, ["tagging"]) => Route::GetBucketTagging,
        ("PUT", Bucket, ["tagging"]) => Route::PutBucketTagging,
        ("DELETE", Bucket, ["tagging"]) => Route::DeleteBucketTagging,
        ("GET", Bucket, ["versions"]) => Route::ListObjectVersions,
        ("GET", Object, ["acl"]) => Route::GetObjectAcl,
        ("GET", Object, ["attributes"]) => Route::GetObjectAttributes,
        ("GET", Object, ["tagging"]) => Route::GetObjectTagging,
        ("PUT", Object, ["tagging"]) => Route::PutObjectTagging,
        ("DELETE", Object, ["tagging"]) => Route::DeleteObjectTagging,
        ("GET", Bucket, ["uploads"]) => Route::ListMultipartUploads,
        ("POST", Bucket, ["delete"]) => Route::DeleteObjects,
        ("GET", Bucket, []) => match list_type {
            None => Route::ListObjects,
            Some("2") => Route::ListObjectsV2,
            Some(other) => {
                return Err(S3Error::invalid_argument("list-type", other, "Invalid list type"));
            }
        },
        ("GET", Object, []) => Route::GetObject,
        ("HEAD", Object, []) => Route::HeadObject,
        ("PUT", Object, []) if part => Route::UploadPart,
        ("PUT", Object, ["uploadId"]) if copy_source => Route::UploadPartCopy,
        ("PUT", Object, ["uploadId"]) => Route::UploadPart,
        ("PUT", Object, []) if copy_source => Route::CopyObject,
        ("PUT", Object, []) => Route::PutObject,
        ("DELETE", Object, []) => Route::DeleteObject,
        ("DELETE", Object, ["uploadId"]) => Route::AbortMultipartUpload,
        ("POST", Object, ["uploads"]) => Route::CreateMultipartUpload,
        ("POST", Object, ["uploadId"]) => Route::CompleteMultipartUpload,
        ("GET", Object, ["uploadId"]) => Route::ListParts,
        ("GET", Bucket, [sub]) if BucketAnswer::of(sub).is_some() => {
            BucketAnswer::of(sub).map_or(Route::HeadBucket, Route::ReadBucket)
        }
        ("GET", Object, [sub]) if ObjectAnswer::of(sub).is_some() => {
            ObjectAnswer::of(sub).map_or(Route::HeadObject, Route::ReadObject)
        }
        ("GET" | "HEAD" | "PUT" | "POST" | "DELETE", _, subs) => {
            return Err(not_implemented(method, level, subs));
        }
        _ => {
            return Err(S3Error::new(
                code::METHOD_NOT_ALLOWED,
                "The specified method is not allowed against this resource.",
            )
            .detail("Method", method.as_str()));
        }
    })
}

/// Parameters of a signature, and headers that a presigned URL carries, begin with `x-amz-`.
fn is_sub_resource((name, value): &(&str, &str)) -> bool {
    if SUB_RESOURCES.contains(name) {
        return true;
    }
    let tolerated = PARAMETERS.contains(name)
        || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
    !tolerated && value.is_empty()
}

fn not_implemented(method: &Method, level: Level, subs: &[&str]) -> S3Error {
    let what = match level {
        Level::Service => "the service",
        Level::Bucket => "a bucket",
        Level::Object => "an object",
    };
    let with = if subs.is_empty() { String::new() } else { format!(" with ?{}", subs.join("&")) };
    S3Error::new(
        code::NOT_IMPLEMENTED,
        format!("{method} of {what}{with} is not implemented by this server; nothing was changed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, level: Level, query: &str) -> Result<Route, String> {
        let query = Query::parse(query).unwrap();
        let method: Method = method.parse().unwrap();
        route(&method, level, &query, false).map_err(|error| error.code().to_owned())
    }

    #[test]
    fn every_operation_is_found() {
        use Level::{Bucket, Object, Service};
        for (method, level, query, wanted) in [
            ("GET", Service, "", Route::ListBuckets),
            ("GET", Service, "x-id=ListBuckets&max-buckets=3", Route::ListBuckets),
            ("PUT", Bucket, "", Route::CreateBucket),
            ("HEAD", Bucket, "", Route::HeadBucket),
            ("DELETE", Bucket, "", Route::DeleteBucket),
            ("GET", Bucket, "location", Route::GetBucketLocation),
            ("GET", Bucket, "location=", Route::GetBucketLocation),
            ("GET", Bucket, "", Route::ListObjects),
            ("GET", Bucket, "prefix=&marker=&delimiter=", Route::ListObjects),
            ("GET", Bucket, "list-type=2&prefix=a", Route::ListObjectsV2),
            ("GET", Bucket, "list-type=2&cacheNonce=17", Route::ListObjectsV2),
            ("GET", Bucket, "uploads=&prefix=nope", Route::ListMultipartUploads),
            ("GET", Bucket, "acl", Route::GetBucketAcl),
            ("GET", Bucket, "versions&key-marker=a&version-id-marker=", Route::ListObjectVersions),
            ("GET", Bucket, "versioning", Route::ReadBucket(BucketAnswer::Versioning)),
            ("GET", Bucket, "metrics&id=x", Route::ReadBucket(BucketAnswer::Metrics)),
            ("PUT", Bucket, "tagging", Route::PutBucketTagging),
            ("GET", Object, "attributes", Route::GetObjectAttributes),
            ("PUT", Object, "tagging=", Route::PutObjectTagging),
            ("GET", Object, "retention", Route::ReadObject(ObjectAnswer::Retention)),
            ("POST", Bucket, "delete", Route::DeleteObjects),
            ("HEAD", Object, "", Route::HeadObject),
            ("GET", Object, "partNumber=1&versionId=null", Route::GetObject),
            ("GET", Object, "X-Amz-Signature=x&X-Amz-Security-Token=", Route::GetObject),
            ("PUT", Object, "x-id=PutObject", Route::PutObject),
            ("DELETE", Object, "x-id=DeleteObject", Route::DeleteObject),
            ("POST", Object, "uploads", Route::CreateMultipartUpload),
            ("PUT", Object, "partNumber=1&uploadId=u", Route::UploadPart),
            ("PUT", Object, "partNumber=1", Route::UploadPart),
            ("PUT", Object, "uploadId=u", Route::UploadPart),
            ("POST", Object, "uploadId=u", Route::CompleteMultipartUpload),
            ("DELETE", Object, "uploadId=u", Route::AbortMultipartUpload),
            ("GET", Object, "uploadId=u&max-parts=1", Route::ListParts),
        ] {
            assert_eq!(find(method, level, query), Ok(wanted), "{method} {level:?} ?{query}");
        }
        let query = Query::parse("partNumber=1&uploadId=u").unwrap();
        let copy = |query: &Query| route(&Method::PUT, Object, query, true).unwrap();
        assert_eq!(copy(&query), Route::UploadPartCopy);
        assert_eq!(copy(&Query::default()), Route::CopyObject);
    }

    #[test]
    fn no_sub_resource_falls_through() {
        use Level::{Bucket, Object, Service};
        let mut implemented = vec![
            ("GET", Bucket, "acl"),
            ("GET", Bucket, "tagging"),
            ("PUT", Bucket, "tagging"),
            ("DELETE", Bucket, "tagging"),
            ("GET", Bucket, "versions"),
            ("GET", Object, "acl"),
            ("GET", Object, "attributes"),
            ("GET", Object, "tagging"),
            ("PUT", Object, "tagging"),
            ("DELETE", Object, "tagging"),
            ("GET", Bucket, "location"),
            ("GET", Bucket, "uploads"),
            ("POST", Bucket, "delete"),
            ("POST", Object, "uploads"),
            ("PUT", Object, "uploadId"),
            ("POST", Object, "uploadId"),
            ("DELETE", Object, "uploadId"),
            ("GET", Object, "uploadId"),
        ];
        for sub in SUB_RESOURCES {
            if BucketAnswer::of(sub).is_some() {
                implemented.push(("GET", Bucket, sub));
            }
            if ObjectAnswer::of(sub).is_some() {
                implemented.push(("GET", Object, sub));
            }
        }
        for level in [Service, Bucket, Object] {
            for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
                for sub in SUB_RESOURCES.iter().chain(&["brandNewFeature"]) {
                    if implemented.contains(&(method, level, sub)) {
                        continue;
                    }
                    let answer = find(method, level, sub);
                    assert_eq!(
                        answer,
                        Err("NotImplemented".to_owned()),
                        "{method} {level:?} ?{sub}"
                    );
                    let with_value = format!("{sub}=&list-type=2&prefix=a");
                    let answer = find(method, level, &with_value);
                    assert_eq!(
                        answer,
                        Err("NotImplemented".to_owned()),
                        "{method} {level:?} {sub}"
                    );
                }
            }
        }
        // Two at once are neither of them.
        assert!(find("GET", Bucket, "acl&location").is_err());
        assert!(find("DELETE", Object, "tagging&uploadId=u").is_err());
    }

    #[test]
    fn other_methods_and_levels() {
        use Level::{Bucket, Object, Service};
        assert_eq!(find("PATCH", Object, ""), Err("MethodNotAllowed".to_owned()));
        assert_eq!(find("POST", Bucket, ""), Err("NotImplemented".to_owned()));
        assert_eq!(find("POST", Object, ""), Err("NotImplemented".to_owned()));
        assert_eq!(find("PUT", Service, ""), Err("NotImplemented".to_owned()));
        assert_eq!(find("GET", Bucket, "list-type=3"), Err("InvalidArgument".to_owned()));
    }
}
