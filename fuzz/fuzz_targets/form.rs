//! Bodies of HTML forms: the first byte is the size of the pieces in which the rest arrives.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((step, body)) = data.split_first() else { return };
    rowlock_http::s3::fuzzing::form(body, usize::from(*step));
});
