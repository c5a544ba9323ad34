//! What the server says of itself, and its answers to requests for what does not exist.

mod answer;
mod health;

pub(crate) use answer::{bad_target, head_too_long, route_not_found, status, version};
pub use health::HealthCheck;
pub(crate) use health::health;
