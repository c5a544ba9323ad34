//! What the fuzz targets check, over their seeds: real requests, and what fuzzing has found.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "as the fuzz targets share it"
)]

#[path = "../../../fuzz/src/chunks.rs"]
mod chunks;
#[path = "../../../fuzz/src/post_policy.rs"]
mod post_policy;
#[path = "../../../fuzz/src/seeds.rs"]
mod seeds;
#[path = "../../../fuzz/src/signature.rs"]
mod signature;

#[test]
fn signatures() {
    seeds::run("signature", signature::check);
}

#[test]
fn chunks() {
    seeds::run("chunks", chunks::check);
}

#[test]
fn post_policies() {
    seeds::run("post_policy", post_policy::check);
}
