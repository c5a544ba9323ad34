//! A request after authentication: what every operation reads from.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method, header};
use rowlock_auth::Authenticator;
use rowlock_storage::Context;
use rowlock_types::{BucketName, Caller, ObjectKey, Operation, RequestInfo};

use super::error::RestError;
use super::path::{self, Named};
use super::query::Query;
use super::router::{Demand, Door, Route};
use crate::request_info::request_info;

/// A request for one operation.
pub(crate) struct RestRequest {
    /// `GET`, `HEAD`, …
    pub(crate) method: Method,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The query, decoded.
    pub(crate) query: Query,
    /// The bucket's name, decoded; empty where the path has none.
    pub(crate) bucket: String,
    /// The object's key, decoded; empty where the path has none.
    pub(crate) key: String,
    /// Who is asking; the anonymous role where nobody says.
    caller: Arc<Caller>,
    /// Whether the caller came with a good token.
    pub(crate) has_token: bool,
    info: Arc<RequestInfo>,
    operation: Operation,
}

impl RestRequest {
    /// Decodes a request, and finds out who sent it.
    ///
    /// # Errors
    /// InvalidRequest where a token is missing, AccessDenied where it is bad.
    pub(crate) fn prepare(
        tokens: &Authenticator,
        parts: Parts,
        route: Route,
        named: Named<'_>,
    ) -> Result<Self, RestError> {
        let caller = match route.demand() {
            Demand::Token => Some(authenticate(tokens, &parts.headers)?),
            Demand::Optional => authenticate(tokens, &parts.headers).ok(),
            Demand::Nothing => None,
        };
        let has_token = caller.is_some();
        Ok(Self {
            bucket: path::decode(named.bucket)?,
            key: path::decode(named.key)?,
            query: Query::parse(parts.uri.query().unwrap_or_default())?,
            has_token,
            caller: Arc::new(caller.unwrap_or_else(|| tokens.anon_caller())),
            info: Arc::new(request_info(&parts)),
            operation: operation(route, &parts.method, has_token),
            method: parts.method,
            headers: parts.headers,
        })
    }

    /// What the domain needs to know of this request.
    pub(crate) fn context(&self) -> Context {
        self.context_of(self.operation)
    }

    /// What the domain needs to know where the caller's token was a signed URL's: the service role
    /// acts, for the owner that the token names.
    pub(crate) fn context_for(&self, mut service: Caller, owner: Option<&str>) -> Context {
        service.subject = owner.map(Arc::from);
        Context { caller: Arc::new(service), ..self.context() }
    }

    /// Whom new objects of the caller belong to.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.caller.subject.as_deref()
    }

    /// Whether the service role itself asks.
    pub(crate) fn is_service(&self) -> bool {
        self.caller.is_service
    }

    /// The same under another operation's name.
    pub(crate) fn context_of(&self, operation: Operation) -> Context {
        Context { caller: Arc::clone(&self.caller), request: Arc::clone(&self.info), operation }
    }

    /// The bucket that the path names.
    ///
    /// # Errors
    /// NoSuchBucket for what can be none.
    pub(crate) fn bucket(&self) -> Result<BucketName, RestError> {
        path::bucket(&self.bucket)
    }

    /// The key that the path names.
    ///
    /// # Errors
    /// InvalidKey.
    pub(crate) fn key(&self) -> Result<ObjectKey, RestError> {
        path::key(&self.key)
    }

    /// The name that the path gives, which may be any that a row has.
    ///
    /// # Errors
    /// InvalidKey for what no row is called.
    pub(crate) fn name(&self) -> Result<&str, RestError> {
        if self.key.is_empty() || self.key.contains('\0') {
            return Err(path::key(&self.key).err().unwrap_or_else(RestError::no_such_key));
        }
        Ok(&self.key)
    }

    /// A header's text, if it is ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `x-upsert: true`.
    pub(crate) fn upsert(&self) -> bool {
        self.header("x-upsert") == Some("true")
    }
}

/// The name that policies see: a HEAD has its own, and so has a read by nobody.
fn operation(route: Route, method: &Method, has_token: bool) -> Operation {
    match (route, method == Method::HEAD) {
        (Route::ObjectRead(Door::Public), true) => Operation::ObjectInfoPublic,
        (Route::ObjectRead(_), true) => Operation::ObjectHeadAuthenticated,
        (Route::ObjectRead(Door::Any), false) if !has_token => Operation::ObjectGetPublic,
        _ => route.operation(),
    }
}

/// The caller of `Authorization: Bearer …`.
fn authenticate(tokens: &Authenticator, headers: &HeaderMap) -> Result<Caller, RestError> {
    const SCHEME: &str = "bearer ";
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(RestError::invalid("headers must have required property 'authorization'"));
    };
    let token = match value.to_str().ok().and_then(|value| value.split_at_checked(SCHEME.len())) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) => token.trim(),
        _ => "",
    };
    tokens.verify(token).map_err(|refusal| RestError::access_denied(refusal.to_string()))
}

/// A request of the anonymous role, for tests of what reads one.
#[cfg(test)]
pub(crate) fn request_to(bucket: &str, key: &str, query: &str) -> RestRequest {
    let tokens = Authenticator::new(rowlock_auth::AuthSettings::default()).unwrap();
    RestRequest {
        method: Method::GET,
        headers: HeaderMap::new(),
        query: Query::parse(query).unwrap(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        caller: Arc::new(tokens.anon_caller()),
        has_token: false,
        info: Arc::new(RequestInfo::default()),
        operation: Operation::None,
    }
}
