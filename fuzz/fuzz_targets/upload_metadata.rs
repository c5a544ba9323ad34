//! `Upload-Metadata`, the header that describes a resumable upload.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| rowlock_http::tus::fuzzing::upload_metadata(data));
