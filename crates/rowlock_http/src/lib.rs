//! The protocols over HTTP: the socket side ([`server`]), the front ([`gateway`]), and what the
//! server says of itself ([`system`]).

pub mod gateway;
pub mod s3;
pub mod server;
pub mod system;
