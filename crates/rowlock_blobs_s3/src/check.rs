//! Whether the service can be used, and if not, what its operator has to change.

use crate::codes::Mend;
use crate::failure::{self, Failure};
use crate::retry;
use crate::store::Inner;
use aws_sdk_s3::primitives::ByteStream;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

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

/// How long a look goes on: less than those wait who ask for health.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often the service is asked, as long as what it answers may pass.
const LOOKS: u32 = 3;

/// Shows that a key may write.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    state: State,
    /// What the trial that is under way will answer.
    under_way: Option<watch::Receiver<Option<Result<(), Failure>>>>,
}

/// How far a trial write has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// To be made.
    #[default]
    Due,
    /// Written, and not deleted yet. It is not written again: in a bucket that keeps versions, each
    /// would stay.
    Written,
    /// Written and deleted: not to be made again until something goes wrong.
    Done,
}

/// Looks whether the service can be used; what passes is no problem if it passes soon.
pub(crate) async fn problem(store: &Arc<Inner>) -> Option<Problem> {
    let mut last = Failure::of(failure::TIMEOUT, "no answer in time".to_owned());
    let looks = async {
        let mut made = 0;
        loop {
            let failure = look(store).await.err()?;
            made += 1;
            if !failure.passes() || made == LOOKS {
                return Some(failure);
            }
            let pause = retry::pause(made, failure.is_throttle());
            last = failure;
            tokio::time::sleep(pause).await;
        }
    };
    let failure = match tokio::time::timeout(PATIENCE, looks).await {
        Ok(failure) => failure?,
        Err(_) => last,
    };
    let mut trial = store.trial.lock().await;
    if trial.state == State::Done {
        trial.state = State::Due;
    }
    drop(trial);
    let tls = store.settings.endpoint.as_ref().is_none_or(|it| it.starts_with("https://"));
    Some(name(failure, tls))
}

/// Asks for a list of one key: the only request whose errors tell everything. A key that may not
/// list has to show that it may write.
async fn look(store: &Arc<Inner>) -> Result<(), Failure> {
    let listed = store
        .client
        .list_objects_v2()
        .bucket(store.bucket())
        .prefix(store.layout.tenant_prefix())
        .max_keys(1)
        .send()
        .await;
    let failure = match listed {
        Ok(_) => return Ok(()),
        Err(error) => Failure::from(error),
    };
    if failure.mend() == Some(Mend::Rights) { try_to_write(store).await } else { Err(failure) }
}

/// Waits for a trial: the one under way, or a new one. It goes on when nobody waits any more:
/// whoever asks for health may be gone before it is known to be written, and it would be written
/// again for each.
async fn try_to_write(store: &Arc<Inner>) -> Result<(), Failure> {
    let mut answer = {
        let mut trial = store.trial.lock().await;
        match &trial.under_way {
            _ if trial.state == State::Done => return Ok(()),
            Some(answer) => answer.clone(),
            None => {
                let (answers, answer) = watch::channel(None);
                trial.under_way = Some(answer.clone());
                let (store, state) = (Arc::clone(store), trial.state);
                tokio::spawn(async move {
                    let result = write_and_delete(&store, state).await;
                    store.trial.lock().await.under_way = None;
                    answers.send_replace(Some(result));
                });
                answer
            }
        }
    };
    let gone = || Failure::of(failure::TIMEOUT, "the trial did not end".to_owned());
    let answer = answer.wait_for(Option::is_some).await;
    answer.map_or_else(|_| Err(gone()), |answer| answer.clone().unwrap_or_else(|| Err(gone())))
}

async fn write_and_delete(store: &Inner, mut state: State) -> Result<(), Failure> {
    let key = store.layout.probe();
    if state == State::Due {
        let put = store.client.put_object().bucket(store.bucket()).key(&key);
        put.body(ByteStream::from_static(b"")).send().await?;
        state = State::Written;
        store.trial.lock().await.state = state;
    }
    if state == State::Written {
        store.client.delete_object().bucket(store.bucket()).key(&key).send().await?;
        store.trial.lock().await.state = State::Done;
    }
    Ok(())
}

/// `tls`: whether that is what was spoken.
fn name(failure: Failure, tls: bool) -> Problem {
    let mend = failure.mend();
    let Failure { status, code, coded, detail, date, region } = failure;
    match mend {
        _ if code == failure::UNREACHABLE && is_untrusted(&detail) => Problem::Certificate(detail),
        _ if matches!(&*code, failure::UNREACHABLE | failure::TIMEOUT) => {
            Problem::Endpoint(wrong_scheme(&detail, tls).map_or(detail, str::to_owned))
        }
        _ if detail == failure::SPEAKS_TLS => {
            Problem::Endpoint("what listens there speaks TLS: https:// is its scheme".to_owned())
        }
        // The list's answer has a body, and S3's has a code in it; only redirects may lack both.
        _ if code == failure::UNREADABLE || status.is_some() && !coded && region.is_none() => {
            Problem::NotS3(match status {
                Some(status) => format!("status {status}"),
                None => "no answer that makes sense".to_owned(),
            })
        }
        Some(Mend::NoAccessKey) => {
            tracing::debug!(detail, "AWS's own chain has no credentials");
            Problem::NoAccessKey
        }
        Some(Mend::Bucket) => Problem::Bucket,
        Some(Mend::AccessKey) => Problem::AccessKey(code),
        Some(Mend::Secret) => Problem::Secret,
        Some(Mend::Region) => Problem::Region(region),
        Some(Mend::Clock) => Problem::Clock(date),
        Some(Mend::Rights) => Problem::Denied,
        // What lists is the bucket.
        None if code == "NotFound" => Problem::Bucket,
        Some(Mend::Account | Mend::Quota) | None => {
            let status = status.map(|status| format!(", status {status}")).unwrap_or_default();
            Problem::Other(format!("{code}{status}"))
        }
    }
}

/// Whether it is more authorities that would help. rustls names the variants of its error.
fn is_untrusted(detail: &str) -> bool {
    ["UnknownIssuer", "CaUsedAsEndEntity"].iter().any(|variant| detail.contains(variant))
}

/// What it is that rustls, or hyper, finds strange, where the endpoint's scheme may be the reason.
fn wrong_scheme(detail: &str, tls: bool) -> Option<&'static str> {
    let found = |parts: &[&str]| parts.iter().any(|part| detail.contains(part));
    if tls {
        found(&["InvalidContentType"])
            .then_some("what listens there speaks no TLS: http:// is its scheme")
    } else {
        found(&["closed before message completed", "invalid HTTP version"]).then_some(
            "what listens there gives no HTTP answer: if it speaks TLS, https:// is its scheme",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_what_is_missing() {
        let problem =
            |detail: &str| name(Failure::of(failure::UNREACHABLE, detail.to_owned()), true);
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
            assert_eq!(name(failure(code), false), wanted);
            assert!(!wanted.to_string().is_empty());
        }
    }
}
