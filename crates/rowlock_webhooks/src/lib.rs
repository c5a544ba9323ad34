//! Posts JSON to an address that the operator named, within a time that is known before.
//!
//! Knows nothing of what it posts. Redirects are not followed, and of an answer only the status
//! counts: any 2xx says that the body was taken.

mod endpoint;
mod error;

pub use endpoint::{Endpoint, EndpointSettings};
pub use error::{EndpointError, PostError};
