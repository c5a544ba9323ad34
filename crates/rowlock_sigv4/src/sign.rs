use time::OffsetDateTime;

use crate::canonical::{CanonicalHeaders, CanonicalRequest};
use crate::encode::{canonical_query, encode_value};
use crate::keys::{self, SigningKey};
use crate::timestamp::format;
use crate::{ALGORITHM, PayloadMode, Request, SigningContext};

/// A client's credentials, to sign requests with.
///
/// [`Request::paths`] and [`Request::hosts`] have one entry each here: the percent-encoded path
/// (see [`crate::encode_path`]) and the host as they will be sent.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The access key.
    pub access_key: &'a str,
    /// The secret.
    pub secret: &'a str,
    /// The session token, if the credentials are temporary.
    pub session_token: Option<&'a str>,
    /// The region to sign for.
    pub region: &'a str,
}

/// A signed request: what to send with it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The headers to add, names in lower case: `authorization`, `x-amz-date`,
    /// `x-amz-content-sha256` and, with a session token, `x-amz-security-token`.
    pub headers: Vec<(&'static str, String)>,
    /// What to sign the chunks of a streaming body with.
    pub context: SigningContext,
}

impl Signer<'_> {
    /// Signs all headers of the request and those it adds.
    pub fn sign(&self, request: &Request<'_>, payload: PayloadMode, at: OffsetDateTime) -> Signed {
        let payload = payload.to_string();
        let mut added = vec![("x-amz-date", format(at)), ("x-amz-content-sha256", payload.clone())];
        if let Some(token) = self.session_token {
            added.push(("x-amz-security-token", token.to_owned()));
        }
        let mut headers = request.headers.to_vec();
        headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
        let request = Request { headers: &headers, ..*request };
        let (signed_headers, context) = self.context(&request, request.query, &payload, at);
        let authorization = format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={signed_headers}, Signature={}",
            self.access_key, context.scope, context.seed
        );
        added.push(("authorization", authorization));
        Signed { headers: added, context }
    }

    /// The raw query of a presigned URL: the request's own query and the signature's parameters.
    /// The headers of the request are signed and must be sent with the URL.
    pub fn presign(&self, request: &Request<'_>, expires: u32, at: OffsetDateTime) -> String {
        let timestamp = format(at);
        let credential =
            format!("{}/{}", self.access_key, keys::scope(&timestamp[..8], self.region));
        let mut query = request.query.to_owned();
        let mut push = |name: &str, value: &str| {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(name);
            query.push('=');
            query.push_str(&encode_value(value));
        };
        push("X-Amz-Algorithm", ALGORITHM);
        push("X-Amz-Credential", &credential);
        push("X-Amz-Date", &timestamp);
        push("X-Amz-Expires", &expires.to_string());
        if let Some(token) = self.session_token {
            push("X-Amz-Security-Token", token);
        }
        push("X-Amz-SignedHeaders", &signed_names(request).join(";"));
        let (_, context) = self.context(request, &query, "UNSIGNED-PAYLOAD", at);
        format!("{query}&X-Amz-Signature={}", context.seed)
    }

    fn context(
        &self,
        request: &Request<'_>,
        query: &str,
        payload: &str,
        at: OffsetDateTime,
    ) -> (String, SigningContext) {
        let timestamp = format(at);
        let date = &timestamp[..8];
        let scope = keys::scope(date, self.region);
        let key = SigningKey::derive(self.secret, date, self.region);
        let names = signed_names(request);
        let signed_headers = names.join(";");
        let hash = CanonicalRequest {
            method: request.method,
            query: &canonical_query(query),
            signed_headers: &signed_headers,
            payload,
        }
        .hash(
            request.paths.first().unwrap_or(&"/"),
            request.hosts.first().unwrap_or(&""),
            &CanonicalHeaders::new(request, &names, true),
        );
        let seed = key.sign(&keys::string_to_sign(&timestamp, &scope, &hash));
        (signed_headers, SigningContext { key, seed, timestamp, scope })
    }
}

fn signed_names(request: &Request<'_>) -> Vec<String> {
    let mut names: Vec<String> =
        request.headers.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.push("host".to_owned());
    names.sort_unstable();
    names.dedup();
    names
}

impl std::fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("access_key", &self.access_key)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
