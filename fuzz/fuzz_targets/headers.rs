//! Ranges, conditions and all other headers whose values are read; paths and queries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowlock_http::s3::fuzzing;

fuzz_target!(|data: &[u8]| {
    let (size, value) = data.split_at(data.len().min(8));
    let size = size.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
    fuzzing::headers(value);
    if let Ok(text) = std::str::from_utf8(value) {
        fuzzing::range(text, size);
        fuzzing::range(&format!("bytes={text}"), size);
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        fuzzing::target(path, query);
    }
});
