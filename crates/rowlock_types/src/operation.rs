/// What a request does, by the names that `storage.operation()` returns to policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// No operation (health checks, background jobs): the empty text.
    None,
    /// S3 ListBuckets.
    S3BucketList,
    /// S3 CreateBucket.
    S3BucketCreate,
    /// S3 HeadBucket.
    S3BucketHead,
    /// S3 DeleteBucket.
    S3BucketDelete,
    /// S3 GetBucketLocation.
    S3BucketGetLocation,
    /// S3 ListObjects and ListObjectsV2.
    S3ObjectList,
    /// S3 HeadObject.
    S3ObjectInfo,
    /// S3 GetObject.
    S3ObjectGet,
    /// S3 PutObject.
    S3Upload,
    /// S3 DeleteObject.
    S3ObjectDelete,
    /// S3 DeleteObjects.
    S3ObjectDeleteMany,
    /// S3 CopyObject.
    S3ObjectCopy,
    /// S3 CreateMultipartUpload.
    S3MultipartCreate,
    /// S3 UploadPart.
    S3MultipartPart,
    /// S3 UploadPartCopy.
    S3MultipartPartCopy,
    /// S3 CompleteMultipartUpload.
    S3MultipartComplete,
    /// S3 AbortMultipartUpload.
    S3MultipartAbort,
    /// S3 ListParts.
    S3MultipartListParts,
    /// S3 ListMultipartUploads.
    S3MultipartList,
}

impl Operation {
    /// The name that policies compare with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::S3BucketList => "storage.s3.bucket.list",
            Self::S3BucketCreate => "storage.s3.bucket.create",
            Self::S3BucketHead => "storage.s3.bucket.head",
            Self::S3BucketDelete => "storage.s3.bucket.delete",
            Self::S3BucketGetLocation => "storage.s3.bucket.get_location",
            Self::S3ObjectList => "storage.s3.object.list",
            Self::S3ObjectInfo => "storage.s3.object.info",
            Self::S3ObjectGet => "storage.s3.object.get",
            Self::S3Upload => "storage.s3.upload",
            Self::S3ObjectDelete => "storage.s3.object.delete",
            Self::S3ObjectDeleteMany => "storage.s3.object.delete_many",
            Self::S3ObjectCopy => "storage.s3.object.copy",
            Self::S3MultipartCreate => "storage.s3.upload.create_multipart",
            Self::S3MultipartPart => "storage.s3.upload.part",
            Self::S3MultipartPartCopy => "storage.s3.upload.part_copy",
            Self::S3MultipartComplete => "storage.s3.upload.complete_multipart",
            Self::S3MultipartAbort => "storage.s3.upload.abort_multipart",
            Self::S3MultipartListParts => "storage.s3.upload.list_parts",
            Self::S3MultipartList => "storage.s3.upload.list_multipart",
        }
    }
}
