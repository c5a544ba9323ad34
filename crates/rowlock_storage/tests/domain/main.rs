//! The domain on a real PostgreSQL (stack and plain) and real files.

mod multipart;
mod outbox;
mod policies;
mod support;
mod wire;
mod writes;
