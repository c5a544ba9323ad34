/// Why a token is refused. The texts are the reference's where it has one, and are what clients
/// see; none quotes the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not three parts between two dots; also the answer to no token at all.
    #[error("Invalid Compact JWS")]
    Malformed,
    /// The first part is not base64url of a JSON object, or one of its members has a wrong type.
    #[error("JWS Protected Header is invalid")]
    InvalidHeader,
    /// The header names no algorithm.
    #[error("JWS \"alg\" (Algorithm) Header Parameter missing or invalid")]
    MissingAlgorithm,
    /// `none`, or an algorithm that is not supported.
    #[error("\"alg\" (Algorithm) Header Parameter value not allowed")]
    AlgorithmNotAllowed,
    /// The header demands an extension (`crit`); none is supported (RFC 7515, section 4.1.11).
    #[error("the token demands an extension that is not supported")]
    CriticalExtension,
    /// No key of the algorithm's type with the token's key id.
    #[error("no key for this token's algorithm and key id")]
    NoMatchingKey,
    /// The signature is not that of any key the token may be verified with.
    #[error("signature verification failed")]
    SignatureMismatch,
    /// The payload is no JSON object.
    #[error("JWT Claims Set must be a top-level JSON object")]
    InvalidClaims,
    /// A claim that must be a time is something else.
    #[error("\"{0}\" claim must be a number")]
    NotANumber(&'static str),
    /// The token's time is over.
    #[error("\"exp\" claim timestamp check failed")]
    Expired,
    /// The token's time has not come.
    #[error("\"nbf\" claim timestamp check failed")]
    NotYetValid,
    /// A token made for one signed URL opens no session.
    #[error("a signed URL's token is not a session token")]
    SignedUrlToken,
    /// A signed URL's token is for the other direction: downloads are not uploads.
    #[error("the token is not for this use")]
    WrongUse,
    /// There is no secret to sign URLs with.
    #[error("no secret is configured to sign URLs with")]
    NoSigningKey,
    /// A claim that the database could not take (`role` or `sub` of a wrong type, or with NUL).
    #[error("\"{0}\" claim is invalid")]
    InvalidClaim(&'static str),
    /// A role that no token may have: `none`, no name at all, or one of the forbidden ones.
    #[error("role \"{0}\" is not allowed")]
    ForbiddenRole(String),
    /// An opaque API key that is neither of ours.
    #[error("Invalid API key")]
    UnknownApiKey,
}

/// Why authentication can't be set up. No text quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The key set is not JSON of the shape `{"keys":[…]}`.
    #[error("the JSON Web Key Set is not of the form {{\"keys\":[…]}}")]
    InvalidKeySet,
    /// A key of the set lacks a member, or a member is not what its type demands.
    #[error("key {index} of the JSON Web Key Set: {reason}")]
    InvalidKey {
        /// Counted from 1.
        index: usize,
        /// What is wrong, without the key.
        reason: &'static str,
    },
    /// The set's `urlSigningKey` can't sign.
    #[error("the urlSigningKey of the JSON Web Key Set: {0}")]
    InvalidUrlSigningKey(&'static str),
    /// The anon or service key can't be read.
    #[error("the {0} is not a JSON Web Token")]
    NotAToken(&'static str),
    /// The secret is empty.
    #[error("the JWT secret is empty")]
    EmptySecret,
    /// The anon or service role is one of the forbidden roles.
    #[error("role \"{0}\" may not be used: it would not be bound by policies as intended")]
    ForbiddenRole(String),
}
