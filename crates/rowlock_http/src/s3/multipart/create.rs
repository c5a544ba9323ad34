//! CreateMultipartUpload
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>).

use axum::body::Body;
use http::Response;

use crate::s3::S3Service;
use crate::s3::error::S3Error;
use crate::s3::put_object::new_object;
use crate::s3::request::S3Request;
use crate::s3::response::xml;
use crate::s3::xml::Xml;

/// The key is taken as it is, also where it ends in a slash: nobody knows yet whether it will
/// have bytes.
pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let new = new_object(request)?;
    let id = s3.storage().create_multipart(&request.context(), new).await?;
    let mut out = Xml::new("InitiateMultipartUploadResult");
    out.text("Bucket", &request.bucket).text("Key", &request.key).text("UploadId", id.as_str());
    Ok(xml(out))
}
