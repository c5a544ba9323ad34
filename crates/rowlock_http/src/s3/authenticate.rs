//! Who sent a request: the signature's access key decides which secret must have signed it, and
//! whose rights it has.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use rowlock_auth::{Authenticator, Error as TokenError};
use rowlock_sigv4::{
    Claim, PayloadMode, Policy, PostClaim, PostPolicy, Refusal, Request, SigningContext,
    SigningKeys,
};
use rowlock_types::Caller;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use super::encode::{basic, iso};
use super::error::{S3Error, code};
use crate::gateway::{RouteInfo, fits_route};

/// An access key that stands for the service role itself.
#[derive(Clone)]
pub struct StaticCredentials {
    /// The access key (`S3_PROTOCOL_ACCESS_KEY_ID`).
    pub access_key_id: String,
    /// Its secret (`S3_PROTOCOL_ACCESS_KEY_SECRET`).
    pub secret_access_key: String,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticCredentials").finish_non_exhaustive()
    }
}

/// A request whose signature is good.
pub(crate) struct Authenticated {
    /// Whose rights it has.
    pub(crate) caller: Arc<Caller>,
    /// How its body is to be read.
    pub(crate) payload: PayloadMode,
    /// What signed chunks continue from.
    pub(crate) context: SigningContext,
    /// The host that the client signed.
    pub(crate) host: String,
    /// The whole path that the client signed, percent-encoded.
    pub(crate) path: String,
}

/// What authentication works with.
pub(crate) struct Keyring {
    pub(crate) credentials: Option<StaticCredentials>,
    pub(crate) tokens: Arc<Authenticator>,
    pub(crate) policy: Policy,
    pub(crate) keys: SigningKeys,
}

impl Keyring {
    /// Finds out who sent a request.
    pub(crate) fn authenticate(
        &self,
        parts: &Parts,
        route: &RouteInfo,
        now: OffsetDateTime,
    ) -> Result<Authenticated, S3Error> {
        let headers: Vec<(&str, &[u8])> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let hosts: Vec<&str> = route.signed.hosts.iter().map(String::as_str).collect();
        let paths: Vec<&str> = route.signed.paths.iter().map(String::as_str).collect();
        let request = Request {
            method: parts.method.as_str(),
            paths: &paths,
            hosts: &hosts,
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
        };
        let claim =
            Claim::read(&request)?.ok_or_else(|| S3Error::access_denied("Missing signature"))?;
        let signer = self.signer(claim.access_key(), claim.session_token())?;
        let verified = claim.verify(signer.secret(), now, &self.policy, &self.keys)?;
        let path = paths.get(verified.path).copied().unwrap_or_default();
        if !fits_route(path, route.rest()) {
            return Err(S3Error::new(
                code::SIGNATURE_DOES_NOT_MATCH,
                "The path that was signed names another bucket or object than the path that was sent.",
            ));
        }
        let caller = self.caller(&signer)?;
        Ok(Authenticated {
            caller: Arc::new(caller),
            payload: verified.payload,
            context: verified.context,
            host: hosts.get(verified.host).copied().unwrap_or_default().to_owned(),
            path: path.to_owned(),
        })
    }

    /// Finds out who signed a form, and what its policy says.
    pub(crate) fn authenticate_form(
        &self,
        claim: &PostClaim,
        now: OffsetDateTime,
    ) -> Result<(Caller, PostPolicy), S3Error> {
        let signer = self.signer(claim.access_key(), claim.session_token())?;
        let policy = claim.verify(signer.secret(), now, &self.policy, &self.keys)?;
        Ok((self.caller(&signer)?, policy))
    }

    fn caller(&self, signer: &Signer<'_>) -> Result<Caller, S3Error> {
        match signer {
            Signer::Static(_) => Ok(self.tokens.service_caller()),
            Signer::Session { token, .. } => Ok(self.tokens.verify(token)?),
        }
    }

    /// Whose secret must have signed. A request with a session token never gets the rights of
    /// the static credentials.
    fn signer<'a>(
        &'a self,
        access_key: &str,
        session_token: Option<&'a str>,
    ) -> Result<Signer<'a>, S3Error> {
        let equals = |own: &str| bool::from(own.as_bytes().ct_eq(access_key.as_bytes()));
        let own = self.credentials.as_ref().filter(|own| equals(&own.access_key_id));
        let is_tenant = equals(self.tokens.tenant_id());
        match (session_token, own) {
            (Some(token), _) if is_tenant => {
                let anon_key = self.tokens.anon_key().ok_or_else(|| {
                    S3Error::access_denied(
                        "Session tokens are not enabled: this server has neither ANON_KEY nor a JWT secret",
                    )
                })?;
                Ok(Signer::Session { token, anon_key })
            }
            (Some(_), Some(_)) => Err(S3Error::new(
                code::INVALID_TOKEN,
                "The provided token is malformed or otherwise invalid: these credentials take no session token",
            )),
            (None, Some(own)) => Ok(Signer::Static(own)),
            (None, None) if is_tenant => Err(S3Error::new(
                code::INVALID_ACCESS_KEY_ID,
                "The tenant's id is an access key only together with a session token",
            )),
            (None, None) if self.credentials.is_none() => Err(S3Error::access_denied(
                "This server has no S3 credentials: S3_PROTOCOL_ACCESS_KEY_ID and S3_PROTOCOL_ACCESS_KEY_SECRET are not set",
            )),
            (_, None) => Err(S3Error::new(
                code::INVALID_ACCESS_KEY_ID,
                "The AWS Access Key Id you provided does not exist in our records.",
            )
            .detail("AWSAccessKeyId", access_key)),
        }
    }
}

enum Signer<'a> {
    Static(&'a StaticCredentials),
    Session { token: &'a str, anon_key: &'a str },
}

impl Signer<'_> {
    fn secret(&self) -> &str {
        match self {
            Self::Static(credentials) => &credentials.secret_access_key,
            Self::Session { anon_key, .. } => anon_key,
        }
    }
}

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code() {
            "AccessDenied" => code::ACCESS_DENIED,
            "AuthorizationHeaderMalformed" => code::AUTHORIZATION_HEADER_MALFORMED,
            "AuthorizationQueryParametersError" => code::AUTHORIZATION_QUERY_PARAMETERS_ERROR,
            "InvalidArgument" => code::INVALID_ARGUMENT,
            "InvalidPolicyDocument" => code::INVALID_POLICY_DOCUMENT,
            "NotImplemented" => code::NOT_IMPLEMENTED,
            "RequestTimeTooSkewed" => code::REQUEST_TIME_TOO_SKEWED,
            "SignatureDoesNotMatch" => code::SIGNATURE_DOES_NOT_MATCH,
            _ => code::INVALID_REQUEST,
        };
        let this = Self::new(code, refusal.to_string());
        match refusal {
            // SDKs read the region from here and sign again.
            Refusal::Region { expected, .. } => this.detail("Region", expected),
            Refusal::UnsignedHeader(name) => this.detail("HeadersNotSigned", name),
            Refusal::TimeTooSkewed { request, server, allowed } => this
                .detail("RequestTime", basic(request))
                .detail("ServerTime", iso(server))
                .detail("MaxAllowedSkewMilliseconds", allowed.whole_milliseconds().to_string()),
            Refusal::Expired { expires, server, lasted } => this
                .detail("X-Amz-Expires", lasted.to_string())
                .detail("Expires", iso(expires))
                .detail("ServerTime", iso(server)),
            _ => this,
        }
    }
}

impl From<TokenError> for S3Error {
    /// What is wrong with a session token. Whoever reads this has signed with the anon key, so it
    /// may say which check failed; no text quotes the token or names a key.
    fn from(error: TokenError) -> Self {
        let why = match error {
            TokenError::Expired => {
                return Self::new(code::EXPIRED_TOKEN, "The provided token has expired.");
            }
            // A good token of somebody who may not come in.
            TokenError::ForbiddenRole(_) => return Self::access_denied(error.to_string()),
            TokenError::Malformed | TokenError::InvalidHeader | TokenError::MissingAlgorithm => {
                "it is no JSON Web Token".to_owned()
            }
            TokenError::AlgorithmNotAllowed => {
                "its algorithm is not one that this server accepts".to_owned()
            }
            TokenError::SignatureMismatch | TokenError::NoMatchingKey => {
                "it is not signed with a key of this server".to_owned()
            }
            TokenError::NotYetValid => "its time has not come yet (nbf)".to_owned(),
            other => other.to_string(),
        };
        Self::new(
            code::INVALID_TOKEN,
            format!("The provided token is malformed or otherwise invalid: {why}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::{ForwardingSettings, Gateway, GatewaySettings};
    use crate::server::ConnectionInfo;
    use axum::body::Body;
    use http::Response;
    use rowlock_auth::{AuthSettings, mint};
    use rowlock_sigv4::Signer as Client;
    use serde_json::json;
    use std::net::SocketAddr;

    const SECRET: &str = "a-secret-of-at-least-thirty-two-characters";
    const TENANT: &str = "stub";

    fn tokens() -> Arc<Authenticator> {
        let settings = AuthSettings {
            jwt_secret: Some(SECRET.to_owned()),
            anon_key: Some(anon_key()),
            tenant_id: TENANT.to_owned(),
            ..AuthSettings::default()
        };
        Arc::new(Authenticator::new(settings).unwrap())
    }

    fn claims(claims: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
        claims.as_object().unwrap().clone()
    }

    fn token(of: serde_json::Value) -> String {
        mint(SECRET, &claims(of))
    }

    /// Always the same: one that is made by the server has the time in it.
    fn anon_key() -> String {
        token(json!({"role": "anon"}))
    }

    fn keyring(with_static: bool) -> Keyring {
        let credentials = StaticCredentials {
            access_key_id: "id".to_owned(),
            secret_access_key: "secret".to_owned(),
        };
        Keyring {
            credentials: with_static.then_some(credentials),
            tokens: tokens(),
            policy: Policy::new("stub"),
            keys: SigningKeys::new(),
        }
    }

    struct Sent<'a> {
        key: &'a str,
        secret: &'a str,
        token: Option<&'a str>,
        signed_path: &'a str,
        sent_path: &'a str,
        prefix: Option<&'a str>,
    }

    impl Default for Sent<'_> {
        fn default() -> Self {
            Self {
                key: "id",
                secret: "secret",
                token: None,
                signed_path: "/s3/b/k",
                sent_path: "/s3/b/k",
                prefix: None,
            }
        }
    }

    /// Sends a GET through the gateway; the role that it gets, or the error's code.
    async fn send(keyring: Keyring, sent: Sent<'_>) -> String {
        let signer = Client {
            access_key: sent.key,
            secret: sent.secret,
            session_token: sent.token,
            region: "us-east-1",
        };
        let request = Request {
            method: "GET",
            paths: &[sent.signed_path],
            hosts: &["h"],
            query: "",
            headers: &[],
        };
        let signed = signer.sign(&request, PayloadMode::Unsigned, OffsetDateTime::now_utc());
        let mut request = http::Request::builder().uri(sent.sent_path).header("host", "h");
        for (name, value) in &signed.headers {
            request = request.header(*name, value);
        }
        if let Some(prefix) = sent.prefix {
            request = request.header("x-forwarded-prefix", prefix);
        }
        through_the_gateway(keyring, request.body(Body::empty()).unwrap()).await
    }

    async fn through_the_gateway(keyring: Keyring, request: http::Request<Body>) -> String {
        let keyring = Arc::new(keyring);
        let service = move |request: http::Request<Body>, route: RouteInfo| {
            let keyring = Arc::clone(&keyring);
            async move {
                let (parts, _) = request.into_parts();
                let who = keyring.authenticate(&parts, &route, OffsetDateTime::now_utc());
                let text = match who {
                    Ok(who) => format!("{} {}", who.caller.role, who.caller.is_service),
                    Err(error) => error.code().to_owned(),
                };
                Response::new(Body::from(text))
            }
        };
        let settings = GatewaySettings {
            forwarding: ForwardingSettings {
                allow_forwarded_path: true,
                ..ForwardingSettings::default()
            },
            ..GatewaySettings::default()
        };
        let health = Arc::new(|| async { true });
        let gateway = Gateway::new(settings, tokens(), health, Some(Arc::new(service)));
        let end = SocketAddr::from(([127, 0, 0, 1], 1));
        let answer = gateway.handle(request, ConnectionInfo { peer: end, local: end }).await;
        let body = axum::body::to_bytes(answer.into_body(), 9999).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn static_credentials_are_the_service_role() {
        assert_eq!(send(keyring(true), Sent::default()).await, "service_role true");
        let wrong = Sent { secret: "wrong", ..Sent::default() };
        assert_eq!(send(keyring(true), wrong).await, "SignatureDoesNotMatch");
        let unknown = Sent { key: "nobody", ..Sent::default() };
        assert_eq!(send(keyring(true), unknown).await, "InvalidAccessKeyId");
        assert_eq!(send(keyring(false), Sent::default()).await, "AccessDenied");
    }

    #[tokio::test]
    async fn session_tokens_have_their_own_rights_only() {
        let anon = anon_key();
        let user = token(json!({"role": "authenticated", "sub": "me"}));
        let session = |token| Sent { key: TENANT, secret: &anon, token, ..Sent::default() };
        assert_eq!(send(keyring(true), session(Some(&user))).await, "authenticated false");
        assert_eq!(send(keyring(false), session(Some(&user))).await, "authenticated false");
        assert_eq!(send(keyring(true), session(None)).await, "InvalidAccessKeyId");
        let old = token(json!({"role": "authenticated", "exp": 1}));
        assert_eq!(send(keyring(true), session(Some(&old))).await, "ExpiredToken");
        let foreign = mint("another-secret-of-thirty-two-characters", &claims(json!({})));
        let not_yet = token(json!({"nbf": 99_999_999_999_i64}));
        let link = token(json!({"url": "b/k"}));
        for bad in ["garbage", "a.b.c", &foreign, &not_yet, &link] {
            assert_eq!(send(keyring(true), session(Some(bad))).await, "InvalidToken", "{bad}");
        }
        let forbidden = token(json!({"role": "none"}));
        assert_eq!(send(keyring(true), session(Some(&forbidden))).await, "AccessDenied");
        let with_static = Sent { token: Some(&user), ..Sent::default() };
        assert_eq!(send(keyring(true), with_static).await, "InvalidToken");
        let wrong = Sent { secret: "secret", ..session(Some(&user)) };
        assert_eq!(send(keyring(true), wrong).await, "SignatureDoesNotMatch");
    }

    #[test]
    fn what_is_wrong_with_a_token_is_said_and_nothing_else() {
        let token = token(json!({"role": "authenticated", "exp": 1}));
        let link = TokenError::SignedUrlToken.to_string();
        for (error, code, words) in [
            (tokens().verify(&token).unwrap_err(), "ExpiredToken", "has expired"),
            (tokens().verify("not.a.token").unwrap_err(), "InvalidToken", "no JSON Web Token"),
            (TokenError::SignatureMismatch, "InvalidToken", "not signed with a key"),
            (TokenError::NoMatchingKey, "InvalidToken", "not signed with a key"),
            (TokenError::NotYetValid, "InvalidToken", "not come yet"),
            (TokenError::InvalidClaim("sub"), "InvalidToken", "\"sub\" claim"),
            (TokenError::SignedUrlToken, "InvalidToken", &link),
        ] {
            let error = S3Error::from(error);
            assert_eq!(error.code(), code);
            assert!(error.message().contains(words), "{}", error.message());
            assert!(!error.message().contains("eyJ"), "{}", error.message());
        }
    }

    #[tokio::test]
    async fn a_forged_prefix_opens_no_other_bucket() {
        let honest = Sent { signed_path: "/foo/s3/b/k", prefix: Some("/foo"), ..Sent::default() };
        assert_eq!(send(keyring(true), honest).await, "service_role true");
        for prefix in ["/s3/A/u", "/%73%33/A/u"] {
            let forged = Sent {
                signed_path: "/s3/A/u/s3/B/x",
                sent_path: "/s3/B/x",
                prefix: Some(prefix),
                ..Sent::default()
            };
            assert_eq!(send(keyring(true), forged).await, "SignatureDoesNotMatch", "{prefix}");
        }
    }

    #[tokio::test]
    async fn no_signature_at_all() {
        for header in [None, Some("Bearer x")] {
            let mut request = http::Request::builder().uri("/s3/b/k").header("host", "h");
            if let Some(value) = header {
                request = request.header("authorization", value);
            }
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(through_the_gateway(keyring(true), request).await, "AccessDenied");
        }
    }
}
