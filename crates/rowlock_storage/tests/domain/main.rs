//! The domain on a real PostgreSQL (stack and plain) and real files.

mod multipart;
mod outbox;
mod policies;
mod rest_lists;
mod support;
mod wire;
mod writes;
