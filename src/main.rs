//! `rowlock`.
fn main() {}
