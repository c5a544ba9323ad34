//! Blobs in an S3 service.
