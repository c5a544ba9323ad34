//! The protocols over HTTP: the socket side ([`server`]), the front ([`gateway`]), and what the
//! server says of itself ([`system`]).

pub mod gateway;
mod request_info;
pub mod rest;
pub mod s3;
pub mod server;
pub mod system;
pub mod tus;
