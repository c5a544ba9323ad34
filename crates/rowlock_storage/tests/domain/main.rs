//! The domain on a real PostgreSQL (stack and plain) and real files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

mod create;
mod empty;
mod events;
mod events_delivery;
mod faults;
mod lanes;
mod ledger;
mod lists;
mod multipart;
mod outbox;
mod parts;
mod plans;
mod policies;
mod render;
mod rest_lists;
mod rest_objects;
mod resumable;
mod resumable_crowd;
mod resumable_faults;
mod resumable_races;
mod scrub;
mod support;
mod wire;
mod wire_events;
mod wire_rest;
mod writes;
