//! The wire rules on real sockets: what a strict server must refuse, what it must survive, and
//! what the front answers; some of it behind nginx.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod access_log;
mod framing;
mod front;
mod limits;
mod nginx;
mod support;
mod tus;
