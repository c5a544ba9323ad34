//! Ranges, conditions and all other headers whose values are read; paths and queries. The first
//! eight bytes are an object's size.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| rowlock_http::s3::fuzzing::anything(data));
