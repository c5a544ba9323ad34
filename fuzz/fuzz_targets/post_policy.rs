//! Policies of forms, and the fields beside them: one `name=value` a line, the policy's JSON last.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowlock_sigv4::{FormFields, PostClaim, PostPolicy, UploadedForm};
use time::OffsetDateTime;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (head, json) = text.rsplit_once("\n\n").unwrap_or(("", &text));
    let mut fields = FormFields::default();
    for line in head.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let _ = fields.push(name, value.to_owned());
    }
    fields.insert_file_name("f");
    let _ = PostClaim::read(&fields);
    let _ = PostPolicy::parse(&text);
    if let Ok(policy) = PostPolicy::from_json(json.as_bytes()) {
        let form = UploadedForm { bucket: "b", fields: &fields };
        let _ = policy.check(form, OffsetDateTime::UNIX_EPOCH);
        let _ = policy.length_range();
    }
});
