/// What a request does, by the names that `storage.operation()` returns to policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// No operation (health checks, background jobs): the empty text.
    None,
    /// REST: make a bucket.
    BucketCreate,
    /// REST: delete a bucket.
    BucketDelete,
    /// REST: delete what a bucket holds.
    BucketEmpty,
    /// REST: list buckets.
    BucketList,
    /// REST: read a bucket.
    BucketGet,
    /// REST: change a bucket's settings.
    BucketUpdate,
    /// REST: copy an object.
    ObjectCopy,
    /// REST: store an object (POST).
    ObjectUpload,
    /// REST: store or replace an object (PUT).
    ObjectUploadUpdate,
    /// REST: store an object by a signed URL.
    ObjectUploadSigned,
    /// REST: delete an object.
    ObjectDelete,
    /// REST: delete objects.
    ObjectDeleteMany,
    /// REST: read an object of a public bucket.
    ObjectGetPublic,
    /// REST: read an object.
    ObjectGetAuthenticated,
    /// REST: read an object by a signed URL.
    ObjectGetSigned,
    /// REST: what is known of an object of a public bucket.
    ObjectInfoPublic,
    /// REST: what is known of an object. The reference's name lacks `storage.`.
    ObjectInfoAuthenticated,
    /// REST: HEAD of an object. The reference's name lacks `storage.`.
    ObjectHeadAuthenticated,
    /// REST: sign the URL of an object.
    ObjectSign,
    /// REST: sign URLs of objects.
    ObjectSignMany,
    /// REST: sign the URL of an upload.
    ObjectSignUpload,
    /// REST: list objects.
    ObjectList,
    /// REST: list objects with cursors.
    ObjectListV2,
    /// REST: move an object.
    ObjectMove,
    /// REST: purge an object from the CDN's cache.
    CdnPurgeObject,
    /// REST: purge a bucket from the CDN's cache.
    CdnPurgeBucket,
    /// REST: purge everything from the CDN's cache.
    CdnPurgeTenant,
    /// REST: render an image.
    RenderAuthenticated,
    /// REST: render an image of a public bucket.
    RenderPublic,
    /// REST: render an image by a signed URL.
    RenderSigned,
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
    /// S3 reads of a bucket's sub-resources that have no name of their own.
    S3BucketGet,
    /// S3 GetBucketVersioning.
    S3BucketGetVersioning,
    /// S3 GetBucketTagging.
    S3BucketGetTagging,
    /// S3 PutBucketTagging.
    S3BucketPutTagging,
    /// S3 DeleteBucketTagging.
    S3BucketDeleteTagging,
    /// S3 ListObjects, ListObjectsV2 and ListObjectVersions.
    S3ObjectList,
    /// S3 HeadObject.
    S3ObjectInfo,
    /// S3 GetObject.
    S3ObjectGet,
    /// S3 GetObjectAttributes.
    S3ObjectGetAttributes,
    /// S3 GetObjectTagging.
    S3ObjectGetTagging,
    /// S3 PutObjectTagging.
    S3ObjectPutTagging,
    /// S3 DeleteObjectTagging.
    S3ObjectDeleteTagging,
    /// S3 PutObject and PostObject.
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
    /// Resumable uploads (TUS): begin one.
    TusCreate,
    /// TUS: go on with one, or ask how far it is.
    TusPart,
    /// TUS: give one up.
    TusDelete,
}

impl Operation {
    /// The name that policies compare with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::BucketCreate => "storage.bucket.create",
            Self::BucketDelete => "storage.bucket.delete",
            Self::BucketEmpty => "storage.bucket.empty",
            Self::BucketList => "storage.bucket.list",
            Self::BucketGet => "storage.bucket.get",
            Self::BucketUpdate => "storage.bucket.update",
            Self::ObjectCopy => "storage.object.copy",
            Self::ObjectUpload => "storage.object.upload",
            Self::ObjectUploadUpdate => "storage.object.upload_update",
            Self::ObjectUploadSigned => "storage.object.upload_signed",
            Self::ObjectDelete => "storage.object.delete",
            Self::ObjectDeleteMany => "storage.object.delete_many",
            Self::ObjectGetPublic => "storage.object.get_public",
            Self::ObjectGetAuthenticated => "storage.object.get_authenticated",
            Self::ObjectGetSigned => "storage.object.get_signed",
            Self::ObjectInfoPublic => "storage.object.info_public",
            Self::ObjectInfoAuthenticated => "object.get_authenticated_info",
            Self::ObjectHeadAuthenticated => "object.head_authenticated_info",
            Self::ObjectSign => "storage.object.sign",
            Self::ObjectSignMany => "storage.object.sign_many",
            Self::ObjectSignUpload => "storage.object.sign_upload_url",
            Self::ObjectList => "storage.object.list",
            Self::ObjectListV2 => "storage.object.list_v2",
            Self::ObjectMove => "storage.object.move",
            Self::CdnPurgeObject => "storage.cdn.purge_object_cache",
            Self::CdnPurgeBucket => "storage.cdn.purge_bucket_cache",
            Self::CdnPurgeTenant => "storage.cdn.purge_tenant_cache",
            Self::RenderAuthenticated => "storage.render.image_authenticated",
            Self::RenderPublic => "storage.render.image_public",
            Self::RenderSigned => "storage.render.image_sign",
            Self::S3BucketList => "storage.s3.bucket.list",
            Self::S3BucketCreate => "storage.s3.bucket.create",
            Self::S3BucketHead => "storage.s3.bucket.head",
            Self::S3BucketDelete => "storage.s3.bucket.delete",
            Self::S3BucketGetLocation => "storage.s3.bucket.get_location",
            Self::S3BucketGet => "storage.s3.bucket.get",
            Self::S3BucketGetVersioning => "storage.s3.bucket.get_versioning",
            Self::S3BucketGetTagging => "storage.s3.bucket.get_tagging",
            Self::S3BucketPutTagging => "storage.s3.bucket.put_tagging",
            Self::S3BucketDeleteTagging => "storage.s3.bucket.delete_tagging",
            Self::S3ObjectList => "storage.s3.object.list",
            Self::S3ObjectInfo => "storage.s3.object.info",
            Self::S3ObjectGet => "storage.s3.object.get",
            Self::S3ObjectGetAttributes => "storage.s3.object.get_attributes",
            Self::S3ObjectGetTagging => "storage.s3.object.get_tagging",
            Self::S3ObjectPutTagging => "storage.s3.object.put_tagging",
            Self::S3ObjectDeleteTagging => "storage.s3.object.delete_tagging",
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
            Self::TusCreate => "storage.tus.upload.create",
            Self::TusPart => "storage.tus.upload.part",
            Self::TusDelete => "storage.tus.upload.delete",
        }
    }
}
