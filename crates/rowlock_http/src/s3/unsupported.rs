//! Headers whose meaning this server does not have: a request with one of them is refused, since
//! to ignore it would be to promise what is not done.

use http::HeaderMap;

use super::error::{S3Error, code};

/// Headers that ask for something that does not exist here.
const NOT_IMPLEMENTED: &[&str] = &[
    "x-amz-bypass-governance-retention",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key-md5",
    "x-amz-if-match-initiated-time",
    "x-amz-if-match-last-modified-time",
    "x-amz-if-match-size",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-rename-source",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
    "x-amz-write-offset-bytes",
];

/// Canned ACLs that change nothing where the bucket's owner owns everything.
const HARMLESS_ACLS: [&str; 2] = ["private", "bucket-owner-full-control"];

const STORAGE_CLASSES: [&str; 2] = ["STANDARD", ""];

/// Refuses what this server cannot do. `bucket`: the request makes a bucket, which has its own
/// error for ACLs. `tenant`: the only owner that buckets have.
pub(crate) fn check(headers: &HeaderMap, bucket: bool, tenant: &str) -> Result<(), S3Error> {
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-amz-") {
            continue;
        }
        let value = value.to_str().unwrap_or("?").trim();
        if let Some(known) = NOT_IMPLEMENTED.iter().find(|known| **known == name) {
            let harmless = value.is_empty() || value.eq_ignore_ascii_case("false");
            if !harmless {
                return Err(S3Error::header_not_implemented(known));
            }
        }
        let acl = (name == "x-amz-acl" && !value.is_empty() && !HARMLESS_ACLS.contains(&value))
            || name.starts_with("x-amz-grant-");
        match name {
            _ if acl && bucket => {
                return Err(S3Error::new(
                    code::INVALID_BUCKET_ACL,
                    "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
                ));
            }
            _ if acl => {
                return Err(S3Error::new(
                    code::ACCESS_CONTROL_LIST_NOT_SUPPORTED,
                    "The bucket does not allow ACLs",
                ));
            }
            "x-amz-bucket-object-lock-enabled" if value.eq_ignore_ascii_case("true") => {
                return Err(S3Error::header_not_implemented("x-amz-bucket-object-lock-enabled"));
            }
            "x-amz-object-ownership" if value != "BucketOwnerEnforced" && !value.is_empty() => {
                return Err(S3Error::header_not_implemented("x-amz-object-ownership"));
            }
            "x-amz-storage-class" if !STORAGE_CLASSES.contains(&value) => {
                return Err(S3Error::new(
                    code::INVALID_STORAGE_CLASS,
                    "The storage class you specified is not valid",
                )
                .detail("StorageClassRequested", value));
            }
            "x-amz-expected-bucket-owner" | "x-amz-source-expected-bucket-owner"
                if !value.is_empty() && value != tenant =>
            {
                return Err(S3Error::access_denied("Access Denied"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn with(name: &str, value: &str, bucket: bool) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        check(&headers, bucket, "stub").map_err(|error| error.code())
    }

    #[test]
    fn table() {
        for name in NOT_IMPLEMENTED {
            assert_eq!(with(name, "x", false), Err("NotImplemented"), "{name}");
            assert_eq!(with(name, "", false), Ok(()), "{name}");
        }
        for (name, value, bucket, wanted) in [
            ("x-amz-acl", "private", false, Ok(())),
            ("x-amz-acl", "bucket-owner-full-control", false, Ok(())),
            ("x-amz-acl", "public-read", false, Err("AccessControlListNotSupported")),
            ("x-amz-acl", "private", true, Ok(())),
            ("x-amz-acl", "public-read", true, Err("InvalidBucketAclWithObjectOwnership")),
            ("x-amz-grant-read", "id=1", false, Err("AccessControlListNotSupported")),
            ("x-amz-storage-class", "STANDARD", false, Ok(())),
            ("x-amz-storage-class", "GLACIER", false, Err("InvalidStorageClass")),
            ("x-amz-server-side-encryption", "AES256", false, Err("NotImplemented")),
            ("x-amz-bucket-object-lock-enabled", "false", true, Ok(())),
            ("x-amz-bucket-object-lock-enabled", "true", true, Err("NotImplemented")),
            ("x-amz-object-ownership", "BucketOwnerEnforced", true, Ok(())),
            ("x-amz-object-ownership", "ObjectWriter", true, Err("NotImplemented")),
            ("x-amz-expected-bucket-owner", "stub", false, Ok(())),
            ("x-amz-expected-bucket-owner", "other", false, Err("AccessDenied")),
            ("x-amz-request-payer", "requester", false, Ok(())),
            ("x-amz-meta-x", "y", false, Ok(())),
        ] {
            assert_eq!(with(name, value, bucket), wanted, "{name}: {value}");
        }
    }
}
