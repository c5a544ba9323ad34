//! The seeds of a target, for the tests that run what it checks over them.

use std::fs;
use std::path::Path;

/// Each seed as it is, cut off at every byte, and with every byte changed.
pub fn run(target: &str, check: fn(&[u8])) {
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
