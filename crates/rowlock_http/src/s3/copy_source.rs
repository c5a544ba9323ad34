//! `x-amz-copy-source`: which object is copied
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>).

use rowlock_storage::Object;
use rowlock_types::{BucketName, KeyRules, ObjectKey};

use super::S3Service;
use super::conditions::{Conditions, Verdict};
use super::encode::percent_decode;
use super::error::{S3Error, code, precondition_failed};
use super::request::{S3Request, no_such_version};

/// A source as named; whether it exists is another question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CopySource {
    pub(crate) bucket: BucketName,
    pub(crate) key: ObjectKey,
}

impl CopySource {
    /// Reads `[/]bucket/key[?versionId=null]`, percent-encoded; a `+` is a plus sign.
    pub(crate) fn parse(header: &[u8]) -> Result<Self, S3Error> {
        let malformed = || {
            S3Error::invalid_argument(
                "x-amz-copy-source",
                "",
                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            )
        };
        let text = std::str::from_utf8(header).map_err(|_| malformed())?;
        let (path, version) = match text.rsplit_once("?versionId=") {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        if path.starts_with("arn:") {
            return Err(S3Error::new(
                code::NOT_IMPLEMENTED,
                "Copy sources named by an ARN are not implemented",
            ));
        }
        let path = percent_decode(path).ok_or_else(malformed)?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = path.split_once('/').ok_or_else(malformed)?;
        if bucket.is_empty() || key.is_empty() {
            return Err(malformed());
        }
        if let Some(version) = version.filter(|version| !["", "null"].contains(version)) {
            return Err(no_such_version(version));
        }
        Ok(Self {
            bucket: BucketName::existing(bucket)?,
            key: ObjectKey::new(key, KeyRules::Utf8)?,
        })
    }

    /// Finds the source as the caller may see it, and checks the request's conditions on it.
    ///
    /// # Errors
    /// NoSuchKey, NoSuchBucket, PreconditionFailed.
    pub(crate) async fn find(s3: &S3Service, request: &S3Request) -> Result<Object, S3Error> {
        let header = request.headers.get("x-amz-copy-source");
        let source = Self::parse(header.map(|value| value.as_bytes()).unwrap_or_default())?;
        let storage = s3.storage();
        let found = storage.find_object(&request.context(), &source.bucket, &source.key).await;
        let object = found.map_err(|error| {
            S3Error::from(error).named(source.bucket.as_str(), source.key.as_str())
        })?;
        let conditions = Conditions::of_copy_source(&request.headers);
        match conditions.judge_by(&object.etag, object.last_modified) {
            (Verdict::Proceed, _) => Ok(object),
            (Verdict::NotModified | Verdict::Failed, by) => {
                Err(precondition_failed().detail("Condition", format!("x-amz-copy-source-{by}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, String), &'static str> {
        CopySource::parse(text.as_bytes())
            .map(|s| (s.bucket.as_str().to_owned(), s.key.as_str().to_owned()))
            .map_err(|error| error.code())
    }

    #[test]
    fn sources() {
        let named = |bucket: &str, key: &str| Ok((bucket.to_owned(), key.to_owned()));
        assert_eq!(parse("/b/k/one.txt"), named("b", "k/one.txt"));
        assert_eq!(parse("b/k"), named("b", "k"));
        assert_eq!(parse("/b/a+b%20c%2525"), named("b", "a+b c%25"));
        assert_eq!(parse("b%2Fk%2Fx"), named("b", "k/x"));
        assert_eq!(parse("%2Fb/ü"), named("b", "ü"));
        assert_eq!(parse("b/k?versionId=null"), named("b", "k"));
        assert_eq!(parse("b/k?x"), named("b", "k?x"));
        assert_eq!(parse("b/folder/"), named("b", "folder/"));
        assert_eq!(parse("b/k?versionId=3"), Err("NoSuchVersion"));
        for bad in ["", "/", "b", "b/", "/b/", "//k", "b/%zz", "b/%ff"] {
            assert_eq!(parse(bad), Err("InvalidArgument"), "{bad}");
        }
        assert_eq!(parse("b/../c"), Err("InvalidKey"));
        assert_eq!(parse("arn:aws:s3:r:1:accesspoint/p/object/k"), Err("NotImplemented"));
    }
}
