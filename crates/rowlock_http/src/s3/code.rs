//! S3's error codes with their statuses, as AWS lists them
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>); the last three are our own.

use http::StatusCode;

/// A code of AWS with its status.
macro_rules! codes {
    ($($name:ident $code:literal $status:ident;)*) => {
        $(pub(crate) const $name: (&str, StatusCode) = ($code, StatusCode::$status);)*
    };
}

codes! {
    ACCESS_CONTROL_LIST_NOT_SUPPORTED "AccessControlListNotSupported" BAD_REQUEST;
    ACCESS_DENIED "AccessDenied" FORBIDDEN;
    AUTHORIZATION_HEADER_MALFORMED "AuthorizationHeaderMalformed" BAD_REQUEST;
    AUTHORIZATION_QUERY_PARAMETERS_ERROR "AuthorizationQueryParametersError" BAD_REQUEST;
    BAD_REQUEST "BadRequest" BAD_REQUEST;
    BAD_DIGEST "BadDigest" BAD_REQUEST;
    BUCKET_ALREADY_EXISTS "BucketAlreadyExists" CONFLICT;
    BUCKET_ALREADY_OWNED_BY_YOU "BucketAlreadyOwnedByYou" CONFLICT;
    BUCKET_NOT_EMPTY "BucketNotEmpty" CONFLICT;
    CONDITIONAL_REQUEST_CONFLICT "ConditionalRequestConflict" CONFLICT;
    ENTITY_TOO_LARGE "EntityTooLarge" BAD_REQUEST;
    ENTITY_TOO_SMALL "EntityTooSmall" BAD_REQUEST;
    EXPIRED_TOKEN "ExpiredToken" BAD_REQUEST;
    INCOMPLETE_BODY "IncompleteBody" BAD_REQUEST;
    INTERNAL_ERROR "InternalError" INTERNAL_SERVER_ERROR;
    INVALID_ACCESS_KEY_ID "InvalidAccessKeyId" FORBIDDEN;
    INVALID_ARGUMENT "InvalidArgument" BAD_REQUEST;
    INVALID_BUCKET_ACL "InvalidBucketAclWithObjectOwnership" BAD_REQUEST;
    INVALID_BUCKET_NAME "InvalidBucketName" BAD_REQUEST;
    INVALID_DIGEST "InvalidDigest" BAD_REQUEST;
    INVALID_PART "InvalidPart" BAD_REQUEST;
    INVALID_PART_NUMBER "InvalidPartNumber" RANGE_NOT_SATISFIABLE;
    INVALID_PART_ORDER "InvalidPartOrder" BAD_REQUEST;
    INVALID_POLICY_DOCUMENT "InvalidPolicyDocument" BAD_REQUEST;
    INVALID_RANGE "InvalidRange" RANGE_NOT_SATISFIABLE;
    INVALID_REQUEST "InvalidRequest" BAD_REQUEST;
    INVALID_STORAGE_CLASS "InvalidStorageClass" BAD_REQUEST;
    INVALID_TAG "InvalidTag" BAD_REQUEST;
    INVALID_TOKEN "InvalidToken" BAD_REQUEST;
    INVALID_URI "InvalidURI" BAD_REQUEST;
    KEY_TOO_LONG "KeyTooLongError" BAD_REQUEST;
    MALFORMED_TRAILER "MalformedTrailerError" BAD_REQUEST;
    MALFORMED_XML "MalformedXML" BAD_REQUEST;
    MALFORMED_POST_REQUEST "MalformedPOSTRequest" BAD_REQUEST;
    MAX_POST_PRE_DATA "MaxPostPreDataLengthExceededError" BAD_REQUEST;
    METADATA_TOO_LARGE "MetadataTooLarge" BAD_REQUEST;
    HEAD_TOO_LARGE "RequestHeaderSectionTooLarge" BAD_REQUEST;
    METHOD_NOT_ALLOWED "MethodNotAllowed" METHOD_NOT_ALLOWED;
    MISSING_CONTENT_LENGTH "MissingContentLength" LENGTH_REQUIRED;
    NOT_IMPLEMENTED "NotImplemented" NOT_IMPLEMENTED;
    ENCRYPTION_NOT_FOUND "ServerSideEncryptionConfigurationNotFoundError" NOT_FOUND;
    NO_SUCH_BUCKET "NoSuchBucket" NOT_FOUND;
    NO_SUCH_BUCKET_POLICY "NoSuchBucketPolicy" NOT_FOUND;
    NO_SUCH_CONFIGURATION "NoSuchConfiguration" NOT_FOUND;
    NO_SUCH_CORS "NoSuchCORSConfiguration" NOT_FOUND;
    NO_SUCH_KEY "NoSuchKey" NOT_FOUND;
    NO_SUCH_LIFECYCLE "NoSuchLifecycleConfiguration" NOT_FOUND;
    NO_SUCH_OBJECT_LOCK "NoSuchObjectLockConfiguration" NOT_FOUND;
    NO_SUCH_PUBLIC_ACCESS_BLOCK "NoSuchPublicAccessBlockConfiguration" NOT_FOUND;
    NO_SUCH_TAG_SET "NoSuchTagSet" NOT_FOUND;
    NO_SUCH_UPLOAD "NoSuchUpload" NOT_FOUND;
    NO_SUCH_VERSION "NoSuchVersion" NOT_FOUND;
    NO_SUCH_WEBSITE "NoSuchWebsiteConfiguration" NOT_FOUND;
    OBJECT_LOCK_NOT_FOUND "ObjectLockConfigurationNotFoundError" NOT_FOUND;
    OPERATION_ABORTED "OperationAborted" CONFLICT;
    OWNERSHIP_CONTROLS_NOT_FOUND "OwnershipControlsNotFoundError" NOT_FOUND;
    PRECONDITION_FAILED "PreconditionFailed" PRECONDITION_FAILED;
    REPLICATION_NOT_FOUND "ReplicationConfigurationNotFoundError" NOT_FOUND;
    REQUEST_TIMEOUT "RequestTimeout" BAD_REQUEST;
    REQUEST_TIME_TOO_SKEWED "RequestTimeTooSkewed" FORBIDDEN;
    SERVICE_UNAVAILABLE "ServiceUnavailable" SERVICE_UNAVAILABLE;
    SHA256_MISMATCH "XAmzContentSHA256Mismatch" BAD_REQUEST;
    SIGNATURE_DOES_NOT_MATCH "SignatureDoesNotMatch" FORBIDDEN;
    SLOW_DOWN "SlowDown" SERVICE_UNAVAILABLE;
    INVALID_KEY "InvalidKey" BAD_REQUEST;
    INVALID_MIME_TYPE "InvalidMimeType" UNSUPPORTED_MEDIA_TYPE;
    STORAGE_FULL "StorageFull" INSUFFICIENT_STORAGE;
}
