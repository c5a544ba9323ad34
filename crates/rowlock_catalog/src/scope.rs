//! Under which role, and with which settings visible to policies, statements run.

use crate::session::Param;
use rowlock_types::{Caller, Operation, RequestInfo};
use tokio_postgres::types::Type;

/// One scope of a transaction: the role and all settings that policies and triggers may read.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Whose role and claims.
    pub caller: &'a Caller,
    /// Whose request.
    pub request: &'a RequestInfo,
    /// What the request does.
    pub operation: Operation,
}

/// All settings are transaction-local, so that a pooled connection can never keep a foreign role.
/// `num_nonnulls` keeps the values from being sent back.
pub(crate) const SCOPE: &str = "\
SELECT num_nonnulls(
 set_config('role', $1, true), set_config('request.jwt.claim.role', $1, true),
 set_config('request.jwt', $2, true), set_config('request.jwt.claim.sub', $3, true),
 set_config('request.jwt.claims', $4, true), set_config('request.headers', $5, true),
 set_config('request.method', $6, true), set_config('request.path', $7, true),
 set_config('storage.operation', $8, true), set_config('storage.allow_delete_query', 'true', true),
 set_config('statement_timeout', $9, true))";

/// The same behind a pooler, where the start-up packet cannot carry the search path.
pub(crate) const SCOPE_POOLED: &str = "\
SELECT num_nonnulls(
 set_config('role', $1, true), set_config('request.jwt.claim.role', $1, true),
 set_config('request.jwt', $2, true), set_config('request.jwt.claim.sub', $3, true),
 set_config('request.jwt.claims', $4, true), set_config('request.headers', $5, true),
 set_config('request.method', $6, true), set_config('request.path', $7, true),
 set_config('storage.operation', $8, true), set_config('storage.allow_delete_query', 'true', true),
 set_config('statement_timeout', $9, true), set_config('search_path', $10, true))";

/// The parameters of a scope statement, kept alive while it is sent.
pub(crate) struct ScopeParams<'a> {
    role: &'a str,
    token: &'a str,
    subject: &'a str,
    claims: &'a str,
    headers: &'a str,
    method: &'a str,
    path: &'a str,
    operation: &'a str,
    timeout: &'a str,
    search_path: Option<&'a str>,
}

impl<'a> ScopeParams<'a> {
    pub(crate) fn new(scope: Scope<'a>, timeout: &'a str, search_path: Option<&'a str>) -> Self {
        let or_empty_object = |text: &'a str| if text.is_empty() { "{}" } else { text };
        Self {
            role: scope.caller.role.as_str(),
            token: &scope.caller.token,
            subject: scope.caller.subject.as_deref().unwrap_or(""),
            claims: &scope.caller.claims,
            headers: or_empty_object(&scope.request.headers),
            method: &scope.request.method,
            path: &scope.request.path,
            operation: scope.operation.as_str(),
            timeout,
            search_path,
        }
    }

    pub(crate) fn sql(&self) -> &'static str {
        if self.search_path.is_some() { SCOPE_POOLED } else { SCOPE }
    }

    pub(crate) fn params(&self) -> Vec<Param<'_>> {
        let mut params: Vec<Param<'_>> = vec![
            (&self.role, Type::TEXT),
            (&self.token, Type::TEXT),
            (&self.subject, Type::TEXT),
            (&self.claims, Type::TEXT),
            (&self.headers, Type::TEXT),
            (&self.method, Type::TEXT),
            (&self.path, Type::TEXT),
            (&self.operation, Type::TEXT),
            (&self.timeout, Type::TEXT),
        ];
        if let Some(path) = &self.search_path {
            params.push((path, Type::TEXT));
        }
        params
    }
}
