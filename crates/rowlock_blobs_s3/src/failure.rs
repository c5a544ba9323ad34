//! What the service, or the way to it, answered instead of success.

use crate::codes::{self, Mend};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use rowlock_blobs::Error;
use std::error::Error as StdError;
use std::io;

/// One failed request.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The HTTP status, where there was an answer.
    pub(crate) status: Option<u16>,
    /// The service's error code, or our own word where there was none.
    pub(crate) code: String,
    /// Whether the code is the service's own word: answers to HEAD have none, and what speaks no
    /// S3 has none either.
    pub(crate) coded: bool,
    /// What was said, for the operator.
    pub(crate) detail: String,
    /// The `Date` of the answer.
    pub(crate) date: Option<String>,
    /// The region that the service named.
    pub(crate) region: Option<String>,
}

/// Our own words.
pub(crate) const NO_CREDENTIALS: &str = "no credentials";
pub(crate) const UNREACHABLE: &str = "not reachable";
pub(crate) const TIMEOUT: &str = "no answer in time";
pub(crate) const UNREADABLE: &str = "an answer that is not S3's";

/// The detail of an answer by which a service that speaks TLS refuses what comes without.
pub(crate) const SPEAKS_TLS: &str = "it speaks TLS";

/// What such answers contain: nginx's, and those of programs in Go.
const WANTS_TLS: &[&str] = &["sent to HTTPS port", "HTTP request to an HTTPS server"];

/// Codes under which the same request may succeed the next time.
const PASSING: &[&str] = &[
    TIMEOUT,
    UNREACHABLE,
    UNREADABLE,
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "OperationAborted",
    // The body was changed on its way.
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
];

/// Codes of a store that has no room.
const FULL: &[&str] = &["XMinioStorageFull", "StorageFull", "QuotaExceeded", "EntityQuotaExceeded"];

/// Codes of a store that does not take a name: some allow no empty segments, or only short ones.
const NAMES: &[&str] = &["XMinioInvalidObjectName", "KeyTooLongError", "InvalidObjectName"];

/// What Garage says of a name that its database has no room for, as if it were away: with LMDB,
/// bucket and name take 511 bytes at most (LMDB's `MDB_MAXKEYSIZE`).
const LONG_NAME: &str = "MDB_BAD_VALSIZE";

/// How much of what a service said is logged, in characters.
const SENTENCE_MOST: usize = 300;

impl Failure {
    /// A failure in our own words.
    pub(crate) fn of(code: &str, detail: String) -> Self {
        Self { status: None, code: code.to_owned(), detail, coded: false, date: None, region: None }
    }

    /// The entity tag of what was written, without quotes. Every service gives one: an answer
    /// without it came from something else, and nothing was written.
    pub(crate) fn unless_tagged(etag: Option<&str>) -> Result<String, Self> {
        match etag.map(|etag| etag.trim_matches('"')) {
            Some(etag) if !etag.is_empty() => Ok(etag.to_owned()),
            _ => Err(Self::of(UNREADABLE, "no entity tag".to_owned())),
        }
    }

    /// Whether the same request may succeed the next time.
    pub(crate) fn passes(&self) -> bool {
        let passes = PASSING.contains(&self.code.as_str())
            || self.status.is_some_and(|s| matches!(s, 408 | 429 | 500 | 502 | 503 | 504));
        passes && !self.refuses_name()
    }

    /// Whether it is the name that the store does not take.
    fn refuses_name(&self) -> bool {
        NAMES.contains(&self.code.as_str()) || self.coded && self.detail.contains(LONG_NAME)
    }

    /// What the operator has to mend before the same request may succeed. To clients the store is
    /// not available then.
    pub(crate) fn mend(&self) -> Option<Mend> {
        codes::operators(&self.code, &self.detail)
    }

    /// Whether the service has too much to do.
    pub(crate) fn is_throttle(&self) -> bool {
        matches!(self.status, Some(429 | 503)) || self.code.contains("Throttl")
    }

    /// Whether nothing is there under the key. Only the service's own word counts: whatever stands
    /// in front of it has a 404 of its own.
    pub(crate) fn is_not_found(&self) -> bool {
        self.coded && matches!(self.code.as_str(), "NoSuchKey" | "NotFound" | "NoSuchVersion")
    }

    /// As the failure of a HEAD: its answers have no body, so that the status is the service's word.
    pub(crate) fn of_head(mut self) -> Self {
        self.coded |= self.status == Some(404);
        self
    }

    /// Whether the service does not know the operation at all.
    pub(crate) fn refuses_operation(&self) -> bool {
        matches!(self.code.as_str(), "NotImplemented" | "MethodNotAllowed")
            || matches!(self.status, Some(405 | 501))
    }

    /// Whether it is the newer checksums that the service does not take. To be asked about requests
    /// that every service knows.
    pub(crate) fn refuses_checksums(&self) -> bool {
        self.names_checksums() || self.code == "NotImplemented" || self.status == Some(501)
    }

    /// Whether the service says that checksums are what it refuses.
    pub(crate) fn names_checksums(&self) -> bool {
        let text = self.detail.to_ascii_lowercase();
        matches!(self.code.as_str(), "InvalidArgument" | "InvalidRequest" | "NotImplemented")
            && (text.contains("checksum") || text.contains("x-amz-sdk"))
    }

    /// As the trait's error, for what writes: there is nothing that could be missing but the store.
    pub(crate) fn write_error(&self, doing: &'static str) -> Error {
        if self.is_not_found() { self.unavailable(doing) } else { self.error(doing) }
    }

    fn unavailable(&self, doing: &'static str) -> Error {
        Error::Unavailable { doing, why: self.why() }
    }

    fn why(&self) -> String {
        let mut why = match self.status {
            Some(status) => format!("{}, {status}", self.code),
            None => self.code.clone(),
        };
        // The operator needs the service's own words; ours may come from what holds credentials.
        if self.coded && self.mend().is_some() && !self.detail.is_empty() {
            why.push_str(": ");
            why.push_str(&self.sentence());
        }
        why
    }

    /// What the service said, fit for one line of the log.
    fn sentence(&self) -> String {
        let text = self.detail.chars().map(|c| if c.is_control() { ' ' } else { c });
        text.take(SENTENCE_MOST).collect()
    }

    /// Whether the store has no room. Garage's word for a quota that is reached is `AccessDenied`.
    fn is_full(&self) -> bool {
        FULL.contains(&self.code.as_str())
            || self.status == Some(507)
            || codes::is_quota(&self.code, &self.detail)
    }

    /// As the trait's error.
    pub(crate) fn error(&self, doing: &'static str) -> Error {
        if self.is_not_found() {
            return Error::NotFound;
        }
        if self.code == "NoSuchUpload" {
            return Error::UploadNotFound;
        }
        if self.is_full() {
            tracing::warn!(doing, code = %self.code, said = %self.sentence(), "the store is full");
            return Error::Full;
        }
        if self.refuses_name() {
            return Error::UnsupportedKey("the store behind takes no such name");
        }
        tracing::debug!(doing, code = %self.code, detail = %self.detail, "the store refused");
        let strange = self.status == Some(404) && !self.coded;
        if strange || self.passes() || self.mend().is_some() {
            self.unavailable(doing)
        } else {
            Error::Io { doing, source: io::Error::other(self.why()) }
        }
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let detail = DisplayErrorContext(&error).to_string();
        match &error {
            SdkError::ServiceError(context) => {
                let answer = context.raw();
                let status = answer.status().as_u16();
                let header = |name| answer.headers().get(name).map(str::to_owned);
                let coded = context.err().code().is_some();
                let code = match context.err().code() {
                    Some(code) => code.to_owned(),
                    // Answers to HEAD have no body: all there is is the status.
                    None => match status {
                        301 | 307 => "PermanentRedirect".to_owned(),
                        403 => "AccessDenied".to_owned(),
                        404 => "NotFound".to_owned(),
                        501 => "NotImplemented".to_owned(),
                        _ => UNREADABLE.to_owned(),
                    },
                };
                let body = answer.body().bytes().and_then(|body| str::from_utf8(body).ok());
                let body = body.unwrap_or_default();
                let mut region = header("x-amz-bucket-region");
                let mut message = context.err().message().unwrap_or_default().to_owned();
                if coded {
                    region = region.or_else(|| named_region(body, &message));
                } else if status == 400 && WANTS_TLS.iter().any(|words| body.contains(words)) {
                    message = SPEAKS_TLS.to_owned();
                }
                let (status, date) = (Some(status), header("date"));
                Self { status, code, coded, detail: message, date, region }
            }
            SdkError::ResponseError(context) => Self {
                status: Some(context.raw().status().as_u16()),
                ..Self::of(UNREADABLE, detail)
            },
            SdkError::TimeoutError(_) => Self::of(TIMEOUT, detail),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                Self::of(TIMEOUT, deepest(&error))
            }
            SdkError::DispatchFailure(_) if mentions_credentials(&detail) => {
                Self::of(NO_CREDENTIALS, detail)
            }
            SdkError::DispatchFailure(_) => Self::of(UNREACHABLE, deepest(&error)),
            _ if mentions_credentials(&detail) => Self::of(NO_CREDENTIALS, detail),
            _ => Self::of("a request that cannot be made", detail),
        }
    }
}

fn mentions_credentials(detail: &str) -> bool {
    detail.contains("credential") || detail.contains("identity")
}

/// The region that `AuthorizationHeaderMalformed` says to expect: AWS's and Garage's answers have
/// an element for it, others a sentence.
fn named_region(body: &str, message: &str) -> Option<String> {
    let between = |text: &'_ str, begin, end| {
        let region = text.split_once(begin)?.1.split_once(end)?.0;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let fits = !region.is_empty() && region.len() < 64 && region.chars().all(is_name);
        fits.then(|| region.to_owned())
    };
    between(body, "<Region>", "</Region>").or_else(|| between(message, "expecting '", "'"))
}

/// The innermost reason: "connection refused" rather than "dispatch failure".
fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut at = error;
    while let Some(inner) = at.source() {
        at = inner;
    }
    at.to_string()
}
