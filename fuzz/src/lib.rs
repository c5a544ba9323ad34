//! What the targets that need no HTTP check. The tests of `rowlock_sigv4` and
//! `rowlock_images` run the same over the seeds, so that what fuzzing has found stays found.

pub mod chunks;
pub mod image;
pub mod post_policy;
pub mod signature;
