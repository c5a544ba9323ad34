//! Sub-resources without a feature behind them: what a bucket or object answers that never had
//! one set, as each operation's page under
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>
//! tells it. Writing them is NotImplemented ([`super::router`]).

use axum::body::Body;
use http::Response;

use super::S3Service;
use super::error::{S3Error, code};
use super::get_object::find;
use super::request::S3Request;
use super::response::xml;
use super::xml::Xml;

/// A bucket's sub-resource with one answer only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BucketAnswer {
    Accelerate,
    Analytics,
    Cors,
    Encryption,
    IntelligentTiering,
    Inventory,
    Lifecycle,
    Logging,
    Metrics,
    Notification,
    ObjectLock,
    OwnershipControls,
    Policy,
    PublicAccessBlock,
    Replication,
    RequestPayment,
    Versioning,
    Website,
}

/// An object's sub-resource with one answer only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectAnswer {
    LegalHold,
    Retention,
}

impl BucketAnswer {
    /// The sub-resource of that query name, if it is one of these.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "accelerate" => Self::Accelerate,
            "analytics" => Self::Analytics,
            "cors" => Self::Cors,
            "encryption" => Self::Encryption,
            "intelligent-tiering" => Self::IntelligentTiering,
            "inventory" => Self::Inventory,
            "lifecycle" => Self::Lifecycle,
            "logging" => Self::Logging,
            "metrics" => Self::Metrics,
            "notification" => Self::Notification,
            "object-lock" => Self::ObjectLock,
            "ownershipControls" => Self::OwnershipControls,
            "policy" | "policyStatus" => Self::Policy,
            "publicAccessBlock" => Self::PublicAccessBlock,
            "replication" => Self::Replication,
            "requestPayment" => Self::RequestPayment,
            "versioning" => Self::Versioning,
            "website" => Self::Website,
            _ => return None,
        })
    }

    /// `one`: a single configuration is asked for by its id, and there is none.
    fn document(self, one: bool) -> Result<Xml, S3Error> {
        let list = |root| {
            if one {
                return Err(S3Error::new(
                    code::NO_SUCH_CONFIGURATION,
                    "The specified configuration does not exist.",
                ));
            }
            let mut out = Xml::new(root);
            out.value("IsTruncated", false);
            Ok(out)
        };
        let missing = |code, message: &'static str| Err(S3Error::new(code, message));
        match self {
            Self::Accelerate => Ok(Xml::new("AccelerateConfiguration")),
            Self::Logging => Ok(Xml::new("BucketLoggingStatus")),
            Self::Notification => Ok(Xml::new("NotificationConfiguration")),
            Self::Versioning => Ok(Xml::new("VersioningConfiguration")),
            Self::RequestPayment => {
                let mut out = Xml::new("RequestPaymentConfiguration");
                out.text("Payer", "BucketOwner");
                Ok(out)
            }
            Self::Analytics => list("ListBucketAnalyticsConfigurationResult"),
            Self::IntelligentTiering => list("ListBucketIntelligentTieringConfigurationsOutput"),
            Self::Inventory => list("ListInventoryConfigurationsResult"),
            Self::Metrics => list("ListMetricsConfigurationsResult"),
            Self::Cors => missing(code::NO_SUCH_CORS, "The CORS configuration does not exist"),
            Self::Encryption => missing(
                code::ENCRYPTION_NOT_FOUND,
                "The server side encryption configuration was not found",
            ),
            Self::Lifecycle => {
                missing(code::NO_SUCH_LIFECYCLE, "The lifecycle configuration does not exist")
            }
            Self::ObjectLock => missing(
                code::OBJECT_LOCK_NOT_FOUND,
                "Object Lock configuration does not exist for this bucket",
            ),
            Self::OwnershipControls => missing(
                code::OWNERSHIP_CONTROLS_NOT_FOUND,
                "The bucket ownership controls were not found",
            ),
            Self::Policy => {
                missing(code::NO_SUCH_BUCKET_POLICY, "The bucket policy does not exist")
            }
            Self::PublicAccessBlock => missing(
                code::NO_SUCH_PUBLIC_ACCESS_BLOCK,
                "The public access block configuration was not found",
            ),
            Self::Replication => {
                missing(code::REPLICATION_NOT_FOUND, "The replication configuration was not found")
            }
            Self::Website => missing(
                code::NO_SUCH_WEBSITE,
                "The specified bucket does not have a website configuration",
            ),
        }
    }
}

impl ObjectAnswer {
    /// The sub-resource of that query name, if it is one of these.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "legal-hold" => Some(Self::LegalHold),
            "retention" => Some(Self::Retention),
            _ => None,
        }
    }
}

/// Answers for a bucket that the caller may see.
pub(crate) async fn of_bucket(
    s3: &S3Service,
    request: &S3Request,
    which: BucketAnswer,
) -> Result<Response<Body>, S3Error> {
    let bucket = s3.storage().head_bucket(&request.context(), &request.bucket()?).await?;
    let one = request.query.filled("id").is_some();
    let found = which.document(one).map(xml);
    found.map_err(|error| error.detail("BucketName", bucket.name.as_str()))
}

/// Answers for an object that the caller may see: nothing here is ever locked.
pub(crate) async fn of_object(
    s3: &S3Service,
    request: &S3Request,
    _which: ObjectAnswer,
) -> Result<Response<Body>, S3Error> {
    find(s3, request).await?;
    Err(S3Error::new(
        code::NO_SUCH_OBJECT_LOCK,
        "The specified object does not have a ObjectLock configuration",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, one: bool) -> Result<String, &'static str> {
        let which = BucketAnswer::of(name).unwrap();
        which.document(one).map(Xml::finish).map_err(|error| error.code())
    }

    #[test]
    fn what_was_never_set_is_missing() {
        for (name, code) in [
            ("cors", "NoSuchCORSConfiguration"),
            ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
            ("lifecycle", "NoSuchLifecycleConfiguration"),
            ("object-lock", "ObjectLockConfigurationNotFoundError"),
            ("ownershipControls", "OwnershipControlsNotFoundError"),
            ("policy", "NoSuchBucketPolicy"),
            ("policyStatus", "NoSuchBucketPolicy"),
            ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
            ("replication", "ReplicationConfigurationNotFoundError"),
            ("website", "NoSuchWebsiteConfiguration"),
        ] {
            assert_eq!(answer(name, false), Err(code), "{name}");
        }
    }

    #[test]
    fn what_has_a_default_is_empty() {
        for (name, root) in [
            ("accelerate", "AccelerateConfiguration"),
            ("logging", "BucketLoggingStatus"),
            ("notification", "NotificationConfiguration"),
            ("versioning", "VersioningConfiguration"),
        ] {
            let text = answer(name, false).unwrap();
            assert!(text.ends_with(&format!("\"></{root}>")), "{text}");
        }
        let text = answer("requestPayment", false).unwrap();
        assert!(text.contains("<Payer>BucketOwner</Payer>"), "{text}");
    }

    #[test]
    fn lists_are_empty_and_their_members_missing() {
        for name in ["analytics", "intelligent-tiering", "inventory", "metrics"] {
            assert!(answer(name, false).unwrap().contains("<IsTruncated>false</IsTruncated>"));
            assert_eq!(answer(name, true), Err("NoSuchConfiguration"), "{name}");
        }
    }
}
