use std::fmt;
use std::str::FromStr;

/// The algorithm that tokens of our own are signed with. Verification takes all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HmacAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl HmacAlgorithm {
    /// The name in a token's header (RFC 7518, section 3.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }
}

impl FromStr for HmacAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "HS256" => Ok(Self::Hs256),
            "HS384" => Ok(Self::Hs384),
            "HS512" => Ok(Self::Hs512),
            _ => Err(UnknownAlgorithm),
        }
    }
}

/// The text names no HMAC algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("allowed are HS256, HS384 and HS512")]
pub struct UnknownAlgorithm;

/// What authentication has to know.
#[derive(Clone)]
pub struct AuthSettings {
    /// The secret of the tokens that are signed with HMAC (HS256, HS384, HS512).
    pub jwt_secret: Option<String>,
    /// What tokens of our own are signed with.
    pub jwt_algorithm: HmacAlgorithm,
    /// A JSON Web Key Set, `{"keys":[…]}`.
    pub jwks: Option<String>,
    /// The anonymous role's JWT, also the secret of S3 session credentials. Made from the secret
    /// when absent.
    pub anon_key: Option<String>,
    /// The service role's JWT. Made from the secret when absent.
    pub service_key: Option<String>,
    /// An opaque key (`sb_publishable_…`) that stands for the anonymous role.
    pub publishable_key: Option<String>,
    /// An opaque key (`sb_secret_…`) that stands for the service role.
    pub secret_key: Option<String>,
    /// The role of tokens without a `role` claim.
    pub anon_role: String,
    /// The role that bypasses row-level security.
    pub service_role: String,
    /// The access key of S3 session credentials.
    pub tenant_id: String,
    /// Roles that no token may name (beside `none`), to begin with;
    /// [`Authenticator::set_forbidden_roles`](crate::Authenticator::set_forbidden_roles) replaces
    /// them.
    pub forbidden_roles: Vec<String>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            jwt_algorithm: HmacAlgorithm::default(),
            jwks: None,
            anon_key: None,
            service_key: None,
            publishable_key: None,
            secret_key: None,
            anon_role: "anon".to_owned(),
            service_role: "service_role".to_owned(),
            tenant_id: "storage-single-tenant".to_owned(),
            forbidden_roles: Vec::new(),
        }
    }
}

impl fmt::Debug for AuthSettings {
    // Only what is no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthSettings")
            .field("jwt_algorithm", &self.jwt_algorithm)
            .field("anon_role", &self.anon_role)
            .field("service_role", &self.service_role)
            .field("tenant_id", &self.tenant_id)
            .field("forbidden_roles", &self.forbidden_roles)
            .finish_non_exhaustive()
    }
}
