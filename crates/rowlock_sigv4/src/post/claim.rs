use std::fmt;

use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use super::{FormFields, PostPolicy};
use crate::authorization::Credential;
use crate::{ALGORITHM, MAX_SKEW, Mismatch, Placement, Policy, Refusal, SigningKeys, timestamp};

/// What a signed form says about itself. Nothing in it is proved before [`PostClaim::verify`].
#[derive(Clone)]
pub struct PostClaim {
    credential: Credential,
    timestamp: OffsetDateTime,
    signature: String,
    policy: String,
    session_token: Option<String>,
}

impl PostClaim {
    /// Reads the fields that sign a form; `None` when it has no policy and no signature.
    ///
    /// # Errors
    /// The [`Refusal`] of a signature that is incomplete or of an unsupported kind.
    pub fn read(fields: &FormFields) -> Result<Option<Self>, Refusal> {
        let known = ["policy", "x-amz-algorithm", "x-amz-credential", "x-amz-signature"];
        if fields.get("awsaccesskeyid").is_some() || fields.get("signature").is_some() {
            return Err(Refusal::SignatureV2);
        }
        if known.iter().all(|name| fields.get(name).is_none()) {
            return Ok(None);
        }
        let need = |name: &'static str| fields.get(name).ok_or(Refusal::MissingFormField(name));
        if need("x-amz-algorithm")? != ALGORITHM {
            return Err(Refusal::AlgorithmNotImplemented);
        }
        let form = "it must be in the ISO8601 basic form \"YYYYMMDDTHHMMSSZ\"";
        let timestamp = timestamp::parse(need("x-amz-date")?)
            .ok_or(Refusal::InvalidFormField("x-amz-date", form))?;
        Ok(Some(Self {
            credential: Credential::parse(need("x-amz-credential")?, Placement::Form)?,
            timestamp,
            signature: need("x-amz-signature")?.to_owned(),
            policy: need("policy")?.to_owned(),
            session_token: fields.get("x-amz-security-token").map(str::to_owned),
        }))
    }

    /// The access key whose secret must have signed.
    pub fn access_key(&self) -> &str {
        &self.credential.access_key
    }

    /// The session token, if there is one. A secret: never log it.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// Checks that the policy was signed with the secret of the access key, and reads it. What it
    /// allows, and until when, is for [`PostPolicy`] to say.
    ///
    /// # Errors
    /// The [`Refusal`] of a form signed for the wrong region or with another secret, or of a
    /// policy that cannot be read.
    pub fn verify(
        &self,
        secret: &str,
        now: OffsetDateTime,
        policy: &Policy,
        keys: &SigningKeys,
    ) -> Result<PostPolicy, Refusal> {
        let (date, region) = (&self.credential.date, &self.credential.region);
        if policy.enforce_region && *region != policy.region {
            return Err(Refusal::Region {
                placement: Placement::Form,
                region: region.clone(),
                expected: policy.region.clone(),
            });
        }
        let stamp = timestamp::format(self.timestamp);
        if !stamp.starts_with(date.as_str()) {
            return Err(Refusal::ScopeDate {
                placement: Placement::Form,
                scope: date.clone(),
                timestamp: stamp,
            });
        }
        let (key, kept) = keys.get(secret, date, region);
        // What is signed is the policy as it was sent, without looking into it.
        let expected = key.sign(&self.policy);
        if !bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            return Err(Refusal::SignatureMismatch(Box::new(Mismatch {
                hosts: Vec::new(),
                paths: Vec::new(),
                region: region.clone(),
                expected_region: policy.region.clone(),
                absent_headers: Vec::new(),
            })));
        }
        if !kept {
            keys.keep(secret, date, region, &key);
        }
        if self.timestamp - now > MAX_SKEW {
            return Err(Refusal::NotYetValid { from: self.timestamp, server: now });
        }
        PostPolicy::parse(&self.policy)
    }
}

impl fmt::Debug for PostClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostClaim")
            .field("access_key", &self.credential.access_key)
            .field("region", &self.credential.region)
            .field("timestamp", &self.timestamp)
            .field("session", &self.session_token.is_some())
            .finish_non_exhaustive()
    }
}
