use rowlock_catalog::Scope;
use rowlock_types::{Caller, Operation, RequestInfo};
use std::sync::Arc;

/// Who asks, by which request, to do what: all that policies can see.
#[derive(Debug, Clone)]
pub struct Context {
    /// The caller, as authentication found it.
    pub caller: Arc<Caller>,
    /// Method, path and headers of the request.
    pub request: Arc<RequestInfo>,
    /// What the request does.
    pub operation: Operation,
}

impl Context {
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { caller: &self.caller, request: &self.request, operation: self.operation }
    }
}
