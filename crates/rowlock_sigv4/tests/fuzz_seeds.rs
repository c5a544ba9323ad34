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
#[path = "../../../fuzz/src/signature.rs"]
mod signature;

use std::fs;
use std::path::Path;

/// Each seed as it is, cut off at every byte, and with every byte changed.
fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        check(&seed);
        for at in 0..seed.len() {
            check(&seed[..at]);
            let mut bent = seed.clone();
            bent[at] ^= 1 << (at % 8);
            check(&bent);
        }
        seeds += 1;
    }
    assert!(seeds > 0);
}

#[test]
fn signatures() {
    run("signature", signature::check);
}

#[test]
fn chunks() {
    run("chunks", chunks::check);
}

#[test]
fn post_policies() {
    run("post_policy", post_policy::check);
}
