use std::fmt;
use std::sync::Arc;

/// A database role that statements run as.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(Arc<str>);

impl Role {
    /// Wraps a role's name. Whether the role exists, and whether it may be used, is for the
    /// database to say.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The role's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who is asking: what policies see of the caller. Made by authentication only.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// The role of the JWT (`anon` where the claim is missing).
    pub role: Role,
    /// The `sub` claim, verbatim: the owner of what the caller writes.
    pub subject: Option<Arc<str>>,
    /// The whole payload as JSON (`request.jwt.claims`).
    pub claims: Arc<str>,
    /// The token as it was sent (`request.jwt`); empty when there is none.
    pub token: Arc<str>,
    /// True for the service role itself (the service key, or S3's static credentials).
    pub is_service: bool,
}

impl fmt::Debug for Caller {
    // Claims and token are personal data or secrets: neither goes into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("role", &self.role).finish_non_exhaustive()
    }
}

/// What policies may read of the request itself (`request.method`, `.path`, `.headers`).
#[derive(Debug, Clone, Default)]
pub struct RequestInfo {
    /// `GET`, `PUT`, …
    pub method: Arc<str>,
    /// The raw path with its query.
    pub path: Arc<str>,
    /// All request headers as a JSON object with lower-case names.
    pub headers: Arc<str>,
    /// What the request is called in logs; policies do not see it.
    pub id: Arc<str>,
}
