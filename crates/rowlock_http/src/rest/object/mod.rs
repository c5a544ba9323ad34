//! Objects.

pub(super) mod cache;
pub(super) mod copy;
mod cursor;
pub(super) mod delete;
pub(super) mod delete_many;
mod disposition;
pub(super) mod form;
pub(super) mod get_signed;
pub(super) mod headers;
pub(super) mod info;
pub(super) mod list;
pub(super) mod list_v2;
pub(crate) mod metadata;
pub(super) mod move_object;
mod places;
pub(super) mod read;
mod row;
pub(super) mod sign;
pub(super) mod sign_many;
pub(super) mod sign_upload;
mod signed_path;
pub(super) mod upload;
pub(super) mod upload_signed;
