//! SigV4 in headers and in the query. An input's first line is the query, the second the
//! `Authorization` header, the others are further headers as `name:value`.

use rowlock_sigv4::{
    Claim, PayloadMode, Policy, Request, Signer, SigningKeys, Verified, query_pairs,
};
use time::OffsetDateTime;

const SECRET: &str = "a secret that no input can know";
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

type Headers<'a> = Vec<(&'a str, &'a [u8])>;

fn verify(query: &str, headers: &Headers<'_>) -> Option<Verified> {
    let request = Request { method: "PUT", paths: &["/s3/b/k"], hosts: &["h"], query, headers };
    let claim = Claim::read(&request).ok()??;
    claim.verify(SECRET, NOW, &Policy::new("us-east-1"), &SigningKeys::new()).ok()
}

/// Nothing that merely claims a signature is accepted; what the owner of the secret signs is; and
/// what is accepted of a signed query that was changed on the way means what was signed.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let authorization = lines.next().unwrap_or_default();
    let named: Vec<(String, &[u8])> = lines
        .map(|line| {
            let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let name = String::from_utf8_lossy(&line[..at]).to_ascii_lowercase();
            (name, line.get(at + 1..).unwrap_or_default())
        })
        .collect();
    let mut headers: Headers<'_> = vec![("host", b"h"), ("authorization", authorization)];
    headers.extend(named.iter().map(|(name, value)| (name.as_str(), *value)));
    assert!(verify(&query, &headers).is_none(), "a forgery is accepted");

    let signer = Signer { access_key: "id", secret: SECRET, session_token: None, region: "r" };
    let own = |name: &str| {
        matches!(name, "host" | "date" | "authorization" | "x-original-accept-encoding")
            || name.starts_with("x-amz-")
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            || name.is_empty()
    };
    let plain: Headers<'_> = headers.iter().filter(|(name, _)| !own(name)).copied().collect();
    if query.contains("X-Amz-") || query.contains("AWSAccessKeyId") || query.contains('%') {
        return;
    }
    let request = Request {
        method: "PUT",
        paths: &["/s3/b/k"],
        hosts: &["h"],
        query: &query,
        headers: &plain,
    };
    let signed = signer.sign(&request, PayloadMode::Unsigned, NOW);
    let mut sent = plain.clone();
    sent.extend(signed.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    assert!(verify(&query, &sent).is_some(), "a signed request is refused");

    let presigned = signer.presign(&request, 900, NOW);
    assert!(verify(&presigned, &plain).is_some(), "a presigned request is refused");
    // The same bytes say how the query is bent: a place and what is put there.
    let (Some(place), Some(byte)) = (data.last(), authorization.first()) else { return };
    let mut bent = presigned.clone().into_bytes();
    let place = usize::from(*place) * bent.len() / 256;
    bent[place] = *byte;
    let Ok(bent) = String::from_utf8(bent) else { return };
    if verify(&bent, &plain).is_some() {
        let sorted = |query: &str| {
            query_pairs(query).map(|mut pairs| {
                pairs.sort_unstable();
                pairs
            })
        };
        assert_eq!(sorted(&bent), sorted(&presigned), "a signed query has a second meaning");
    }
}
