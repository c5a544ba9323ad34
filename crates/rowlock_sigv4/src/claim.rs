use std::fmt;

use time::OffsetDateTime;

use crate::authorization::{self, Credential};
use crate::{ALGORITHM, MAX_EXPIRES, PayloadMode, Refusal, Request, encode, timestamp};

/// Where a signature stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// In the `Authorization` header.
    Header,
    /// In the query: a presigned URL.
    Query,
    /// In the fields of a form (PostObject).
    Form,
}

/// What a signed request says about itself. Nothing in it is proved before [`Claim::verify`].
#[derive(Clone)]
pub struct Claim<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) placement: Placement,
    pub(crate) credential: Credential,
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: String,
    pub(crate) timestamp: OffsetDateTime,
    pub(crate) expires: Option<u32>,
    pub(crate) session_token: Option<String>,
    pub(crate) payload: PayloadMode,
    /// The text that stands for the payload in the canonical request.
    pub(crate) payload_text: String,
}

impl<'a> Claim<'a> {
    /// Reads the signature of a request; `None` when it has none of AWS's (it may have a bearer
    /// token or nothing).
    ///
    /// # Errors
    /// The [`Refusal`] of a signature that is incomplete, contradictory, of an unsupported kind,
    /// or leaves out a header it must cover.
    pub fn read(request: &Request<'a>) -> Result<Option<Self>, Refusal> {
        let query = QueryParameters::read(request.query);
        // An empty header counts as absent: gateways send one along presigned URLs.
        let mut authorizations = request
            .values("authorization")
            .map(<[u8]>::trim_ascii)
            .filter(|value| !value.is_empty());
        let authorization = authorizations.next().unwrap_or_default();
        if authorizations.next().is_some() {
            return Err(Refusal::DuplicateHeader("authorization".to_owned()));
        }
        let v4_header = authorization
            .strip_prefix(ALGORITHM.as_bytes())
            .filter(|rest| rest.first().is_none_or(u8::is_ascii_whitespace));

        let claim = match v4_header {
            Some(_) if query.has_v4() || query.v2 => return Err(Refusal::HeaderAndQuery),
            Some(parts) => Self::read_header(request, parts, &query)?,
            None if query.has_v4() => Self::read_query(request, query)?,
            None if query.v2 || authorization.starts_with(b"AWS ") => {
                return Err(Refusal::SignatureV2);
            }
            None if authorization.starts_with(b"AWS4-") => {
                return Err(Refusal::AlgorithmNotImplemented);
            }
            None => return Ok(None),
        };
        claim.check_headers()?;
        Ok(Some(claim))
    }

    fn read_header(
        request: &Request<'a>,
        parts: &[u8],
        query: &QueryParameters,
    ) -> Result<Self, Refusal> {
        let parts = std::str::from_utf8(parts)
            .map_err(|_| Refusal::MalformedAuthorization("it is not text"))?;
        let parts = authorization::parse(parts)?;
        let placement = Placement::Header;
        let timestamp = if request.has("x-amz-date") {
            request.text("x-amz-date").and_then(timestamp::parse)
        } else {
            request.text("date").and_then(timestamp::parse_date_header)
        };
        let payload_text =
            request.text("x-amz-content-sha256").ok_or(Refusal::MissingContentSha256)?;
        Ok(Self {
            request: *request,
            placement,
            credential: Credential::parse(parts.credential, placement)?,
            signed_headers: authorization::signed_headers(parts.signed_headers, placement)?,
            signature: parts.signature.to_owned(),
            timestamp: timestamp.ok_or(Refusal::MissingDate)?,
            expires: None,
            session_token: session_token(request, query)?,
            payload: PayloadMode::parse(payload_text)?,
            payload_text: payload_text.to_owned(),
        })
    }

    fn read_query(request: &Request<'a>, query: QueryParameters) -> Result<Self, Refusal> {
        if let Some(name) = query.duplicate {
            return Err(Refusal::DuplicateQueryParameter(name));
        }
        let placement = Placement::Query;
        let need = |name: &'static str| query.get(name).ok_or(Refusal::MissingQueryParameter(name));
        match need("X-Amz-Algorithm")? {
            ALGORITHM => {}
            other if other.starts_with("AWS4-") => return Err(Refusal::AlgorithmNotImplemented),
            _ => {
                let why = "only \"AWS4-HMAC-SHA256\" is supported";
                return Err(Refusal::InvalidQueryParameter("X-Amz-Algorithm", why));
            }
        }
        let credential = Credential::parse(need("X-Amz-Credential")?, placement)?;
        let signed = authorization::signed_headers(need("X-Amz-SignedHeaders")?, placement)?;
        let date = timestamp::parse(need("X-Amz-Date")?);
        let form = "it must be in the ISO8601 basic form \"YYYYMMDDTHHMMSSZ\"";
        let expires = need("X-Amz-Expires")?;
        // Digits only: `u32::from_str` would take a sign.
        let expires = expires
            .parse()
            .ok()
            .filter(|seconds| (1..=MAX_EXPIRES).contains(seconds))
            .filter(|_| expires.bytes().all(|b| b.is_ascii_digit()))
            .ok_or(Refusal::ExpiresOutOfRange)?;
        let signed_hash = request
            .text("x-amz-content-sha256")
            .filter(|_| signed.iter().any(|name| name == "x-amz-content-sha256"));
        let payload_text =
            signed_hash.or(query.get("X-Amz-Content-Sha256")).unwrap_or("UNSIGNED-PAYLOAD");
        Ok(Self {
            request: *request,
            placement,
            credential,
            signed_headers: signed,
            signature: need("X-Amz-Signature")?.to_owned(),
            timestamp: date.ok_or(Refusal::InvalidQueryParameter("X-Amz-Date", form))?,
            expires: Some(expires),
            session_token: session_token(request, &query)?,
            payload: PayloadMode::parse(payload_text)?,
            payload_text: payload_text.to_owned(),
        })
    }

    /// `host` and every `x-amz-*` header must be signed, or whoever holds a presigned URL could
    /// add one that changes its meaning (a PUT into a copy).
    fn check_headers(&self) -> Result<(), Refusal> {
        let signed = |name: &str| self.signed_headers.iter().any(|s| s == name);
        if !signed("host") {
            return Err(Refusal::UnsignedHeader("host".to_owned()));
        }
        for (n, (name, _)) in self.request.headers.iter().enumerate() {
            // CloudFront adds x-amz-cf-id on the way.
            if !name.starts_with("x-amz-") || *name == "x-amz-cf-id" {
                continue;
            }
            let exempt = self.placement == Placement::Query && *name == "x-amz-content-sha256";
            if !exempt && !signed(name) {
                return Err(Refusal::UnsignedHeader((*name).to_owned()));
            }
            // Joined by a comma, two headers sign like one; a reader that takes the first value
            // alone would then see something else than was signed.
            if !is_list(name)
                && self.request.headers[..n].iter().any(|(earlier, _)| earlier == name)
            {
                return Err(Refusal::DuplicateHeader((*name).to_owned()));
            }
        }
        Ok(())
    }

    /// Where the signature stands.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The access key whose secret must have signed.
    pub fn access_key(&self) -> &str {
        &self.credential.access_key
    }

    /// The session token, if there is one. A secret: never log it.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// The region signed for.
    pub fn region(&self) -> &str {
        &self.credential.region
    }

    /// When the request says it was signed.
    pub fn timestamp(&self) -> OffsetDateTime {
        self.timestamp
    }

    /// What is said about the body.
    pub fn payload(&self) -> PayloadMode {
        self.payload
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("placement", &self.placement)
            .field("access_key", &self.credential.access_key)
            .field("region", &self.credential.region)
            .field("timestamp", &self.timestamp)
            .field("session", &self.session_token.is_some())
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// Whether clients may send several headers of this name: lists, and the user's own metadata.
fn is_list(name: &str) -> bool {
    name.starts_with("x-amz-meta-")
        || matches!(name, "x-amz-object-attributes" | "x-amz-optional-object-attributes")
}

/// The token from its header or from the query; one of the two, so that none can hide the other.
fn session_token(
    request: &Request<'_>,
    query: &QueryParameters,
) -> Result<Option<String>, Refusal> {
    let name = "X-Amz-Security-Token";
    let header = request.has("x-amz-security-token");
    if header && query.get(name).is_some() || query.duplicate == Some(name) {
        return Err(Refusal::DuplicateQueryParameter(name));
    }
    let header = if header {
        let malformed = || Refusal::MalformedAuthorization("the security token is not text");
        Some(request.text("x-amz-security-token").ok_or_else(malformed)?)
    } else {
        None
    };
    Ok(header.or(query.get(name)).map(str::to_owned))
}

/// The parameters of a query that belong to a signature.
#[derive(Default)]
struct QueryParameters {
    found: Vec<(&'static str, String)>,
    duplicate: Option<&'static str>,
    v2: bool,
}

impl QueryParameters {
    const NAMES: [&'static str; 8] = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Amz-Content-Sha256",
    ];

    fn read(raw: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in encode::decode_pairs(raw) {
            query.v2 |= name.as_ref() == b"AWSAccessKeyId";
            let Some(name) = Self::NAMES.into_iter().find(|known| known.as_bytes() == &*name)
            else {
                continue;
            };
            if query.get(name).is_some() {
                query.duplicate = Some(name);
            }
            // Bytes that are no text fit no check that follows.
            query.found.push((name, String::from_utf8_lossy(&value).into_owned()));
        }
        query
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.found.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    fn has_v4(&self) -> bool {
        ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"]
            .into_iter()
            .any(|name| self.get(name).is_some())
    }
}
