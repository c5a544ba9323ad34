//! SigV4 in headers and in the query: the input's lines are the query, the `Authorization` header
//! and further headers. Nothing is ever accepted, since nobody here knows the secret.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowlock_sigv4::{Claim, Policy, Request, SigningKeys};
use time::OffsetDateTime;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut headers: Vec<(String, &[u8])> = vec![("host".to_owned(), b"h")];
    if let Some(value) = lines.next() {
        headers.push(("authorization".to_owned(), value));
    }
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let name = String::from_utf8_lossy(&line[..at]).to_ascii_lowercase();
        headers.push((name, line.get(at + 1..).unwrap_or_default()));
    }
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    let request =
        Request { method: "PUT", paths: &["/s3/b/k"], hosts: &["h"], query: &query, headers: &headers };
    if let Ok(Some(claim)) = Claim::read(&request) {
        let secret = "a secret that no input can know";
        let policy = Policy::new("us-east-1");
        let verified = claim.verify(secret, OffsetDateTime::UNIX_EPOCH, &policy, &SigningKeys::new());
        assert!(verified.is_err());
    }
});
