//! Whether the service can be used, and if not, what its operator has to change.

use crate::failure::{self, Failure};
use crate::store::Inner;
use aws_sdk_s3::primitives::ByteStream;
use std::fmt;

/// What keeps the store from being used. The text names no variable: whoever knows how the store
/// was configured says which one to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Nobody answers at the endpoint.
    Endpoint(String),
    /// The endpoint's certificate is of an authority that this machine does not trust.
    Certificate(String),
    /// What answers at the endpoint speaks no S3.
    NotS3(String),
    /// The bucket does not exist.
    Bucket,
    /// No access key is set, and AWS's own chain found none.
    NoAccessKey,
    /// The access key is unknown or expired.
    AccessKey(String),
    /// The secret does not fit the access key.
    Secret,
    /// The region is another one.
    Region(Option<String>),
    /// This machine's clock is too far from the service's; its time, if it said so.
    Clock(Option<String>),
    /// The key may not read or write in the bucket.
    Denied,
    /// Something else that the service said.
    Other(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(why) => write!(f, "the store cannot be reached: {why}"),
            Self::Certificate(why) => write!(
                f,
                "the store's certificate is of an authority that is not trusted: {why}"
            ),
            Self::NotS3(why) => write!(f, "what answers at the endpoint is no S3 service: {why}"),
            Self::Bucket => f.write_str("the store has no such bucket"),
            Self::NoAccessKey => f.write_str(
                "the store needs an access key and its secret: they are not both set, and AWS's own \
                 chain (profile, web identity, container, instance) has none",
            ),
            Self::AccessKey(why) => write!(f, "the store does not know the access key: {why}"),
            Self::Secret => f.write_str("the secret does not fit the access key"),
            Self::Region(Some(region)) => write!(f, "the store is in region {region:?}"),
            Self::Region(None) => f.write_str("the store is in another region"),
            Self::Clock(Some(date)) => {
                write!(f, "this machine's clock is wrong: at the store it is {date}")
            }
            Self::Clock(None) => f.write_str("this machine's clock is wrong"),
            Self::Denied => f.write_str("the access key may not read and write in the bucket"),
            Self::Other(what) => write!(f, "the store refuses: {what}"),
        }
    }
}

/// Asks for a list of one key: the only request whose errors tell everything. A key that may not
/// list has to show that it may write.
pub(crate) async fn problem(store: &Inner) -> Option<Problem> {
    let listed = store
        .client
        .list_objects_v2()
        .bucket(store.bucket())
        .prefix(store.layout.tenant_prefix())
        .max_keys(1)
        .send()
        .await;
    let failure = match listed {
        Ok(_) => return None,
        Err(error) => Failure::from(error),
    };
    if failure.code != "AccessDenied" {
        return Some(name(failure));
    }
    try_to_write(store).await.err().map(name)
}

async fn try_to_write(store: &Inner) -> Result<(), Failure> {
    let key = store.layout.probe();
    let put = store.client.put_object().bucket(store.bucket()).key(&key);
    put.body(ByteStream::from_static(b"")).send().await?;
    store.client.delete_object().bucket(store.bucket()).key(&key).send().await?;
    Ok(())
}

fn name(failure: Failure) -> Problem {
    let Failure { status, code, coded, detail, date, region } = failure;
    match code.as_str() {
        failure::UNREACHABLE if is_untrusted(&detail) => Problem::Certificate(detail),
        failure::UNREACHABLE | failure::TIMEOUT => Problem::Endpoint(detail),
        // The list's answer has a body, and S3's has a code in it; only redirects may lack both.
        _ if code == failure::UNREADABLE || status.is_some() && !coded && region.is_none() => {
            Problem::NotS3(match status {
                Some(status) => format!("status {status}"),
                None => "no answer that makes sense".to_owned(),
            })
        }
        failure::NO_CREDENTIALS => {
            tracing::debug!(detail, "AWS's own chain has no credentials");
            Problem::NoAccessKey
        }
        "NoSuchBucket" | "NotFound" => Problem::Bucket,
        "InvalidAccessKeyId" | "ExpiredToken" | "InvalidToken" | "InvalidClientTokenId" => {
            Problem::AccessKey(code)
        }
        "SignatureDoesNotMatch" => Problem::Secret,
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException"
        | "InvalidRegion" => Problem::Region(region),
        "RequestTimeTooSkewed" => Problem::Clock(date),
        // Garage says these so.
        "InvalidRequest" if detail.contains("Date is too") => Problem::Clock(date),
        "AccessDenied" if detail.contains("No such key") => Problem::AccessKey(code),
        "AccessDenied" if detail.contains("nvalid signature") => Problem::Secret,
        "AccessDenied" => Problem::Denied,
        _ => {
            let status = status.map(|status| format!(", status {status}")).unwrap_or_default();
            Problem::Other(format!("{code}{status}"))
        }
    }
}

/// Whether it is more authorities that would help. rustls names the variants of its error.
fn is_untrusted(detail: &str) -> bool {
    ["UnknownIssuer", "CaUsedAsEndEntity"].iter().any(|variant| detail.contains(variant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_what_is_missing() {
        let problem = |detail: &str| name(Failure::of(failure::UNREACHABLE, detail.to_owned()));
        let unknown = "invalid peer certificate: UnknownIssuer";
        assert_eq!(problem(unknown), Problem::Certificate(unknown.into()));
        for other in ["invalid peer certificate: Expired", "connection refused"] {
            assert_eq!(problem(other), Problem::Endpoint(other.into()));
        }
    }

    #[test]
    fn problems_are_told_apart() {
        let failure = |code: &str| Failure {
            status: Some(400),
            code: code.into(),
            coded: true,
            detail: "detail".into(),
            date: Some("Tue, 24 Nov 2026 08:00:00 GMT".into()),
            region: Some("eu-west-1".into()),
        };
        for (code, wanted) in [
            ("NoSuchBucket", Problem::Bucket),
            ("InvalidAccessKeyId", Problem::AccessKey("InvalidAccessKeyId".into())),
            ("SignatureDoesNotMatch", Problem::Secret),
            ("AuthorizationHeaderMalformed", Problem::Region(Some("eu-west-1".into()))),
            ("RequestTimeTooSkewed", Problem::Clock(Some("Tue, 24 Nov 2026 08:00:00 GMT".into()))),
            ("AccessDenied", Problem::Denied),
            (failure::NO_CREDENTIALS, Problem::NoAccessKey),
            (failure::UNREACHABLE, Problem::Endpoint("detail".into())),
            (failure::UNREADABLE, Problem::NotS3("status 400".into())),
            ("Odd", Problem::Other("Odd, status 400".into())),
        ] {
            assert_eq!(name(failure(code)), wanted);
            assert!(!wanted.to_string().is_empty());
        }
    }
}
