//! What the fuzz target checks, over its seeds: an image of each kind, and what fuzzing has found.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "as the fuzz targets share it"
)]

#[path = "../../../fuzz/src/image.rs"]
mod image;
#[path = "../../../fuzz/src/seeds.rs"]
mod seeds;

#[test]
fn images() {
    seeds::run("image", image::check);
}
