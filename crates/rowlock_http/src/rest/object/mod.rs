//! Objects.

mod cache;
mod disposition;
pub(super) mod form;
pub(super) mod headers;
pub(super) mod info;
mod metadata;
pub(super) mod read;
pub(super) mod upload;
