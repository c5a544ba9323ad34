//! The bodies of all operations that take XML.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| rowlock_http::s3::fuzzing::xml(data));
