//! GetBucketAcl and GetObjectAcl
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAcl.html>): access control
//! lists are off, so the bucket's owner has full control of everything in it.

use axum::body::Body;
use http::Response;

use super::S3Service;
use super::error::S3Error;
use super::get_object::find;
use super::request::S3Request;
use super::response::xml;
use super::xml::Xml;

pub(crate) async fn of_bucket(
    s3: &S3Service,
    request: &S3Request,
) -> Result<Response<Body>, S3Error> {
    s3.storage().head_bucket(&request.context(), &request.bucket()?).await?;
    Ok(xml(render(s3.tenant())))
}

pub(crate) async fn of_object(
    s3: &S3Service,
    request: &S3Request,
) -> Result<Response<Body>, S3Error> {
    find(s3, request).await?;
    Ok(xml(render(s3.tenant())))
}

fn render(owner: &str) -> Xml {
    let mut out = Xml::new("AccessControlPolicy");
    out.open("Owner").text("ID", owner).close();
    out.open("AccessControlList").open("Grant");
    let user = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"";
    out.open_with("Grantee", user).text("ID", owner).close();
    out.text("Permission", "FULL_CONTROL");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_has_full_control() {
        let text = render("stub").finish();
        assert!(text.ends_with("<Owner><ID>stub</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>stub</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>"), "{text}");
    }
}
