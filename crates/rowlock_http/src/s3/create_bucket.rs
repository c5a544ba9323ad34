//! CreateBucket (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>).

use axum::body::Body;
use http::{Response, StatusCode};
use rowlock_types::BucketName;

use super::S3Service;
use super::body::RequestBody;
use super::error::{S3Error, code};
use super::request::S3Request;
use super::response::{empty, set};
use super::xml::parse;

const MAX_BODY: usize = 64 * 1024;

pub(crate) async fn handle(
    s3: &S3Service,
    request: &S3Request,
    body: &mut RequestBody,
) -> Result<Response<Body>, S3Error> {
    let name = BucketName::new_s3(&request.bucket)?;
    check_configuration(&body.collect(MAX_BODY).await?)?;
    s3.storage().create_bucket(&request.context(), &name).await?;
    let mut response = empty(StatusCode::OK);
    set(response.headers_mut(), "location", &format!("/{name}"));
    Ok(response)
}

/// A location is taken for what it is worth: there is one region, and clients name theirs.
pub(crate) fn check_configuration(body: &[u8]) -> Result<(), S3Error> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let configuration = parse(body, "CreateBucketConfiguration")?;
    match configuration.children.iter().find(|c| c.name != "LocationConstraint") {
        None => Ok(()),
        Some(other) => Err(S3Error::new(
            code::NOT_IMPLEMENTED,
            format!("{} of a new bucket is not implemented", other.name),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let check = |text: &str| check_configuration(text.as_bytes()).map_err(|e| e.code());
        assert_eq!(check(""), Ok(()));
        assert_eq!(check(" \n"), Ok(()));
        let location = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
        assert_eq!(check(location), Ok(()));
        assert_eq!(check("<Other/>"), Err("MalformedXML"));
        let tags = "<CreateBucketConfiguration><Tags/></CreateBucketConfiguration>";
        assert_eq!(check(tags), Err("NotImplemented"));
    }
}
