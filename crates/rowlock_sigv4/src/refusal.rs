use std::fmt;

use time::OffsetDateTime;

use crate::Placement;
use crate::timestamp::readable;

/// Why a request's signature was not accepted: one variant per thing that can go wrong. Messages
/// name what differs and never contain a secret or a session token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A Signature Version 2 header or query.
    #[error(
        "The authorization mechanism you have provided is not supported. Please use \
         AWS4-HMAC-SHA256. This request is signed with Signature Version 2; the aws CLI and boto \
         switch with the setting `s3.signature_version = s3v4` and a region, other clients with \
         their \"signature version\" setting."
    )]
    SignatureV2,
    /// Another algorithm than `AWS4-HMAC-SHA256`, such as SigV4A.
    #[error("The signing algorithm is not implemented; use AWS4-HMAC-SHA256")]
    AlgorithmNotImplemented,
    /// A signature in the `Authorization` header and one in the query.
    #[error(
        "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature \
         query string parameter or the Authorization header should be specified"
    )]
    HeaderAndQuery,
    /// An `Authorization` header that begins well and cannot be read.
    #[error("The authorization header is malformed; {0}")]
    MalformedAuthorization(&'static str),
    /// A part of the query signature is absent.
    #[error("Query-string authentication version 4 requires the {0} parameter")]
    MissingQueryParameter(&'static str),
    /// A part of the query signature is there twice.
    #[error("The query parameter {0} may be given only once")]
    DuplicateQueryParameter(&'static str),
    /// A part of the query signature cannot be read.
    #[error("Error parsing the {0} parameter; {1}")]
    InvalidQueryParameter(&'static str, &'static str),
    /// A form without one of the fields that sign it.
    #[error(
        "Bucket POST must contain a field named '{0}'. If it is specified, please check the order of the fields."
    )]
    MissingFormField(&'static str),
    /// A field of a form is there twice.
    #[error("The form field {0} may be given only once")]
    DuplicateFormField(String),
    /// A field of a form that belongs to its signature cannot be read.
    #[error("Error parsing the form field {0}; {1}")]
    InvalidFormField(&'static str, &'static str),
    /// The policy of a form cannot be read.
    #[error("Invalid Policy: {0}")]
    InvalidPolicyDocument(&'static str),
    /// The policy of a form does not allow what the form says.
    #[error("Invalid according to Policy: {0}")]
    AgainstPolicy(String),
    /// `X-Amz-Expires` is no number of seconds from 1 to a week.
    #[error("X-Amz-Expires must be a number of seconds from 1 to 604800 (a week), without a sign")]
    ExpiresOutOfRange,
    /// A header that must be there once is there several times.
    #[error("The header {0} may be given only once")]
    DuplicateHeader(String),
    /// Neither `x-amz-date` nor `Date`, or not a time.
    #[error("AWS authentication requires a valid Date or x-amz-date header")]
    MissingDate,
    /// The scope's day is not the timestamp's.
    #[error("Invalid credential date \"{scope}\": it is not the day of the timestamp {timestamp}")]
    ScopeDate {
        /// Where the scope stands.
        placement: Placement,
        /// The day in the scope.
        scope: String,
        /// The request's timestamp.
        timestamp: String,
    },
    /// The scope names another service.
    #[error("Incorrect service \"{service}\": this endpoint belongs to \"s3\"")]
    Service {
        /// Where the scope stands.
        placement: Placement,
        /// The service in the scope.
        service: String,
    },
    /// The scope names another region, and the server insists on its own.
    #[error("The region '{region}' is wrong; expecting '{expected}'")]
    Region {
        /// Where the scope stands.
        placement: Placement,
        /// The region in the scope.
        region: String,
        /// The server's region.
        expected: String,
    },
    /// A header that must be signed is not.
    #[error("There were headers present in the request which were not signed: {0}")]
    UnsignedHeader(String),
    /// A header signature without `x-amz-content-sha256`.
    #[error("Missing required header for this request: x-amz-content-sha256")]
    MissingContentSha256,
    /// `x-amz-content-sha256` is no mode and no digest.
    #[error(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
         STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a \
         valid sha256 value"
    )]
    InvalidContentSha256,
    /// A payload mode of SigV4A.
    #[error("The payload signing mode is not implemented; use AWS4-HMAC-SHA256")]
    PayloadModeNotImplemented,
    /// The clocks of client and server differ too much.
    #[error(
        "The difference between the request time and the current time is too large: the request \
         says {}, the server {}, allowed are {} seconds",
        readable(*.request), readable(*.server), .allowed.whole_seconds()
    )]
    TimeTooSkewed {
        /// The request's timestamp.
        request: OffsetDateTime,
        /// The server's time.
        server: OffsetDateTime,
        /// The difference allowed.
        allowed: time::Duration,
    },
    /// A presigned URL from the future.
    #[error(
        "Request is not yet valid: it is dated {}, the server's time is {}",
        readable(*.from), readable(*.server)
    )]
    NotYetValid {
        /// The URL's timestamp.
        from: OffsetDateTime,
        /// The server's time.
        server: OffsetDateTime,
    },
    /// A presigned URL past its end.
    #[error(
        "Request has expired: it was valid until {}, the server's time is {}",
        readable(*.expires), readable(*.server)
    )]
    Expired {
        /// When it ended.
        expires: OffsetDateTime,
        /// The server's time.
        server: OffsetDateTime,
        /// How many seconds it was good for.
        lasted: u32,
    },
    /// The signature fits no candidate.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check \
         your key and signing method. {0}"
    )]
    SignatureMismatch(Box<Mismatch>),
}

/// What was tried before [`Refusal::SignatureMismatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The hosts tried.
    pub hosts: Vec<String>,
    /// The paths tried.
    pub paths: Vec<String>,
    /// The region the client signed for.
    pub region: String,
    /// The server's region.
    pub expected_region: String,
    /// Signed headers that did not arrive.
    pub absent_headers: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "If the secret is right, then the signature (for region '{}'; this server's is '{}') \
             fits no known host ({}) and path ({}); proxies in front must pass the host and path \
             that the client signed.",
            self.region,
            self.expected_region,
            self.hosts.join(", "),
            self.paths.join(", ")
        )?;
        if !self.absent_headers.is_empty() {
            write!(f, " Signed but not received: {}.", self.absent_headers.join(", "))?;
        }
        Ok(())
    }
}

impl Refusal {
    /// The S3 error code
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
    pub fn code(&self) -> &'static str {
        let by_placement = |placement: &Placement| match placement {
            Placement::Header => "AuthorizationHeaderMalformed",
            Placement::Query => "AuthorizationQueryParametersError",
            Placement::Form => "InvalidArgument",
        };
        match self {
            Self::SignatureV2 | Self::MissingContentSha256 => "InvalidRequest",
            Self::AlgorithmNotImplemented | Self::PayloadModeNotImplemented => "NotImplemented",
            Self::HeaderAndQuery
            | Self::DuplicateHeader(_)
            | Self::InvalidContentSha256
            | Self::MissingFormField(_)
            | Self::DuplicateFormField(_)
            | Self::InvalidFormField(..) => "InvalidArgument",
            Self::InvalidPolicyDocument(_) => "InvalidPolicyDocument",
            Self::AgainstPolicy(_) => "AccessDenied",
            Self::MalformedAuthorization(_) => "AuthorizationHeaderMalformed",
            Self::MissingQueryParameter(_)
            | Self::DuplicateQueryParameter(_)
            | Self::InvalidQueryParameter(..)
            | Self::ExpiresOutOfRange => "AuthorizationQueryParametersError",
            Self::ScopeDate { placement, .. }
            | Self::Service { placement, .. }
            | Self::Region { placement, .. } => by_placement(placement),
            Self::MissingDate
            | Self::UnsignedHeader(_)
            | Self::NotYetValid { .. }
            | Self::Expired { .. } => "AccessDenied",
            Self::TimeTooSkewed { .. } => "RequestTimeTooSkewed",
            Self::SignatureMismatch(_) => "SignatureDoesNotMatch",
        }
    }
}
