//! The store against real servers, and against a network that fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod ambient;
mod answers;
mod faults;
mod growing;
mod joining;
mod late;
mod listing;
mod looks;
mod proxy;
mod room;
mod servers;
mod slow;
mod suite;
mod vanished;
