//! The store against real servers, and against a network that fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod faults;
mod joining;
mod listing;
mod proxy;
mod servers;
mod slow;
mod suite;
