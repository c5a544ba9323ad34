//! Buckets.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod empty;
pub(super) mod get;
pub(super) mod list;
mod old_clients;
mod settings;
pub(super) mod update;
