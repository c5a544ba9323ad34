//! CreateMultipartUpload
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>).

use axum::body::Body;
use http::Response;

use crate::s3::S3Service;
use crate::s3::checksum;
use crate::s3::error::S3Error;
use crate::s3::put_object::new_object;
use crate::s3::request::S3Request;
use crate::s3::response::xml;
use crate::s3::xml::Xml;

/// The key is taken as it is, also where it ends in a slash: nobody knows yet whether it will
/// have bytes.
pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let (new, wanted) = (new_object(request)?, checksum::wanted(&request.headers)?);
    let id = s3.storage().create_multipart_with(&request.context(), new, wanted).await?;
    let mut out = Xml::new("InitiateMultipartUploadResult");
    out.text("Bucket", &request.bucket).text("Key", &request.key).text("UploadId", id.as_str());
    let mut response = xml(out);
    if let Some(wanted) = wanted {
        checksum::put_wanted(response.headers_mut(), wanted);
    }
    Ok(response)
}
