//! Who asks, and what for: a token of the caller's own, or one that somebody signed for one object.

use std::sync::Arc;

use http::request::Parts;
use rowlock_auth::{Authenticator, UploadToken};
use rowlock_storage::{Context, ResumableId};
use rowlock_types::{Caller, Operation, RequestInfo};

use super::error::TusError;
use crate::request_info::request_info;
use crate::rest::error::RestError;

/// By which of its paths an upload is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// `/upload/resumable`: callers with a token.
    Token,
    /// `/upload/resumable/sign`: whoever has a signed upload token (`x-signature`).
    Signed,
}

/// Who asks, as far as the headers tell.
pub(super) struct Asking {
    caller: Arc<Caller>,
    signed: Option<UploadToken>,
    info: Arc<RequestInfo>,
    /// `x-upsert: true`, or what the signed token says.
    pub(super) upsert: bool,
}

impl Asking {
    /// Finds out who sent a request.
    ///
    /// # Errors
    /// AccessDenied, in the REST API's form, without a good token of one's own.
    pub(super) fn of_token(tokens: &Authenticator, parts: &Parts) -> Result<Self, TusError> {
        let value = parts.headers.get(http::header::AUTHORIZATION);
        let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = match text.split_at_checked(SCHEME.len()) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) => token.trim(),
            _ => "",
        };
        let caller = tokens.verify(token);
        let caller =
            caller.map_err(|why| TusError::rest(RestError::access_denied(why.to_string())))?;
        Ok(Self {
            caller: Arc::new(caller),
            signed: None,
            info: Arc::new(request_info(parts)),
            upsert: parts.headers.get("x-upsert").is_some_and(|value| value == "true"),
        })
    }

    /// Reads the token that somebody signed: its bearer acts as the service role, on one object.
    ///
    /// # Errors
    /// 400 without a good one.
    pub(super) fn of_signature(tokens: &Authenticator, parts: &Parts) -> Result<Self, TusError> {
        let value = parts.headers.get("x-signature").and_then(|value| value.to_str().ok());
        let Some(token) = value.filter(|text| !text.is_empty()) else {
            return Err(TusError::new(400, "Missing x-signature header"));
        };
        let token = tokens.verify_upload(token).map_err(|why| RestError::invalid_token(&why))?;
        let mut service = tokens.service_caller();
        service.subject = token.owner.as_deref().map(Arc::from);
        Ok(Self {
            caller: Arc::new(service),
            upsert: token.upsert,
            signed: Some(token),
            info: Arc::new(request_info(parts)),
        })
    }

    /// That a signed token is for this object; every other caller may name any.
    ///
    /// # Errors
    /// 400.
    pub(super) fn may_name(&self, bucket: &str, key: &str) -> Result<(), TusError> {
        let fits = |token: &UploadToken| {
            token.url.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('/')) == Some(key)
        };
        match &self.signed {
            Some(token) if !fits(token) => Err(RestError::invalid_signature().into()),
            _ => Ok(()),
        }
    }

    /// [`Self::may_name`] of the object that an upload is for.
    pub(super) fn may_go_on(&self, id: &ResumableId) -> Result<(), TusError> {
        self.may_name(id.bucket.as_str(), id.key.as_str())
    }

    /// Whose share of what is limited a request takes; nobody's where the service role itself asks.
    pub(super) fn whose(&self) -> Option<Arc<str>> {
        match &self.caller.subject {
            Some(subject) => Some(Arc::clone(subject)),
            None if self.caller.is_service && self.signed.is_none() => None,
            None => Some(Arc::from(self.caller.role.as_str())),
        }
    }

    /// What the domain needs to know.
    pub(super) fn context(&self, operation: Operation) -> Context {
        Context { caller: Arc::clone(&self.caller), request: Arc::clone(&self.info), operation }
    }
}

const SCHEME: &str = "bearer ";
