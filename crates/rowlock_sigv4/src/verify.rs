use subtle::ConstantTimeEq;
use time::{Duration, OffsetDateTime};

use crate::canonical::{CanonicalHeaders, CanonicalRequest};
use crate::encode::{canonical_path, canonical_query};
use crate::keys::{self, SigningKey};
use crate::timestamp;
use crate::{Claim, Mismatch, PayloadMode, Placement, Refusal, SigningContext, SigningKeys};

/// At most so many pairs of host and path are tried; a server should put the likeliest first.
pub const MAX_CANDIDATES: usize = 16;

/// How far the clocks of client and server may differ: 15 minutes, as at AWS.
pub const MAX_SKEW: Duration = Duration::minutes(15);

/// What a server insists on.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The server's region, named in refusals.
    pub region: String,
    /// Whether a client must sign for that region. Otherwise any will do: the secret decides.
    pub enforce_region: bool,
    /// How far the clocks may differ.
    pub max_skew: Duration,
}

impl Policy {
    /// Any region, and [`MAX_SKEW`].
    pub fn new(region: impl Into<String>) -> Self {
        Self { region: region.into(), enforce_region: false, max_skew: MAX_SKEW }
    }
}

/// A request whose signature was made with the secret.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Which of the request's `hosts` was signed.
    pub host: usize,
    /// Which of the request's `paths` was signed. What the server routes must equal what this
    /// one names.
    pub path: usize,
    /// When it was signed.
    pub timestamp: OffsetDateTime,
    /// When a presigned URL ends; `None` for a header signature.
    pub expires: Option<OffsetDateTime>,
    /// How to treat the body.
    pub payload: PayloadMode,
    /// What the chunks of a streaming body are signed with.
    pub context: SigningContext,
}

impl Claim<'_> {
    /// Checks the claim against the secret of its access key.
    ///
    /// # Errors
    /// The [`Refusal`] of a request for the wrong region, at the wrong time, or signed with
    /// another secret or for no candidate host and path.
    pub fn verify(
        &self,
        secret: &str,
        now: OffsetDateTime,
        policy: &Policy,
        keys: &SigningKeys,
    ) -> Result<Verified, Refusal> {
        self.check_region(policy)?;
        let expires = self.check_time(now, policy)?;

        let (date, region) = (&self.credential.date, &self.credential.region);
        let timestamp = timestamp::format(self.timestamp);
        let scope = keys::scope(date, region);
        let (key, kept) = keys.get(secret, date, region);
        let (host, path) = self
            .matching_candidate(&key, &timestamp, &scope)
            .ok_or_else(|| Refusal::SignatureMismatch(Box::new(self.mismatch(policy))))?;
        if !kept {
            keys.keep(secret, date, region, &key);
        }
        let seed = self.signature.clone();
        Ok(Verified {
            host,
            path,
            timestamp: self.timestamp,
            expires,
            payload: self.payload,
            context: SigningContext { key, seed, timestamp, scope },
        })
    }

    fn check_region(&self, policy: &Policy) -> Result<(), Refusal> {
        if policy.enforce_region && self.credential.region != policy.region {
            return Err(Refusal::Region {
                placement: self.placement,
                region: self.credential.region.clone(),
                expected: policy.region.clone(),
            });
        }
        Ok(())
    }

    fn check_time(
        &self,
        now: OffsetDateTime,
        policy: &Policy,
    ) -> Result<Option<OffsetDateTime>, Refusal> {
        let from = self.timestamp;
        let text = timestamp::format(from);
        if !text.starts_with(&self.credential.date) {
            return Err(Refusal::ScopeDate {
                placement: self.placement,
                scope: self.credential.date.clone(),
                timestamp: text,
            });
        }
        let ahead = from - now;
        match (self.placement, self.expires) {
            (Placement::Query, Some(seconds)) => {
                if ahead > policy.max_skew {
                    return Err(Refusal::NotYetValid { from, server: now });
                }
                let expires = from.saturating_add(Duration::seconds(i64::from(seconds)));
                if now > expires {
                    return Err(Refusal::Expired { expires, server: now, lasted: seconds });
                }
                Ok(Some(expires))
            }
            _ if ahead.abs() > policy.max_skew => {
                Err(Refusal::TimeTooSkewed { request: from, server: now, allowed: policy.max_skew })
            }
            _ => Ok(None),
        }
    }

    /// The indexes of the host and path that the signature fits.
    fn matching_candidate(
        &self,
        key: &SigningKey,
        timestamp: &str,
        scope: &str,
    ) -> Option<(usize, usize)> {
        let collapsed = CanonicalHeaders::new(&self.request, &self.signed_headers, true);
        let as_sent = CanonicalHeaders::new(&self.request, &self.signed_headers, false);
        let as_sent = (as_sent != collapsed).then_some(as_sent);
        let canonical = CanonicalRequest {
            method: self.request.method,
            query: &canonical_query(self.request.query),
            signed_headers: &self.signed_headers.join(";"),
            payload: &self.payload_text,
        };
        let fits = |host: &str, path: &str, headers: &CanonicalHeaders| {
            let hash = canonical.hash(path, host, headers);
            let expected = key.sign(&keys::string_to_sign(timestamp, scope, &hash));
            bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes()))
        };
        self.candidates().find(|&(host, path)| {
            let host = self.request.hosts[host];
            let path = match self.request.paths[path] {
                "" => "/",
                path => path,
            };
            // Clients differ in which characters they leave as they are in the path they send
            // and in the one they sign: it is either the same text or S3's own encoding.
            let encoded = canonical_path(path);
            let encoded = (encoded != path).then_some(encoded);
            [Some(path), encoded.as_deref()].into_iter().flatten().any(|path| {
                [Some(&collapsed), as_sent.as_ref()]
                    .into_iter()
                    .flatten()
                    .any(|headers| fits(host, path, headers))
            })
        })
    }

    fn candidates(&self) -> impl Iterator<Item = (usize, usize)> {
        let paths = self.request.paths.len();
        (0..self.request.hosts.len())
            .flat_map(move |host| (0..paths).map(move |path| (host, path)))
            .take(MAX_CANDIDATES)
    }

    fn mismatch(&self, policy: &Policy) -> Mismatch {
        let mut tried = Mismatch {
            hosts: Vec::new(),
            paths: Vec::new(),
            region: self.credential.region.clone(),
            expected_region: policy.region.clone(),
            absent_headers: self
                .signed_headers
                .iter()
                .filter(|name| *name != "host" && !self.request.has(name))
                .cloned()
                .collect(),
        };
        for (host, path) in self.candidates() {
            for (list, text) in [
                (&mut tried.hosts, self.request.hosts[host]),
                (&mut tried.paths, self.request.paths[path]),
            ] {
                if !list.iter().any(|known| known == text) {
                    list.push(text.to_owned());
                }
            }
        }
        tried
    }
}
