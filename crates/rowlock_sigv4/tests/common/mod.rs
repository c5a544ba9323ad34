//! A signed request that tests can bend.

use rowlock_sigv4::{Claim, PayloadMode, Policy, Refusal, Request, Signer, SigningKeys, Verified};
use time::OffsetDateTime;
use time::macros::datetime;

pub(crate) const SECRET: &str = "the secret of the tests";
pub(crate) const NOW: OffsetDateTime = datetime!(2026-08-30 12:00:00 UTC);
pub(crate) const SIGNER: Signer<'_> =
    Signer { access_key: "key", secret: SECRET, session_token: None, region: "stub" };

/// A request that owns its parts, to be bent by the tests.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub(crate) method: String,
    pub(crate) paths: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Owned {
    pub(crate) fn new(method: &str, path: &str, query: &str) -> Self {
        Self {
            method: method.to_owned(),
            paths: vec![path.to_owned()],
            hosts: vec!["localhost:8000".to_owned()],
            query: query.to_owned(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&Request<'_>) -> T) -> T {
        let paths: Vec<&str> = self.paths.iter().map(String::as_str).collect();
        let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        f(&Request {
            method: &self.method,
            paths: &paths,
            hosts: &hosts,
            query: &self.query,
            headers: &headers,
        })
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    /// As a client with these credentials would send it.
    pub(crate) fn signed_by(mut self, signer: &Signer<'_>) -> Self {
        let added = self.with(|r| signer.sign(r, PayloadMode::Unsigned, NOW)).headers;
        self.headers.extend(added.into_iter().map(|(n, v)| (n.to_owned(), v.into_bytes())));
        self
    }

    pub(crate) fn signed(self) -> Self {
        self.signed_by(&SIGNER)
    }

    pub(crate) fn presigned(mut self) -> Self {
        self.query = self.with(|r| SIGNER.presign(r, 900, NOW));
        self
    }

    pub(crate) fn replace_query(mut self, from: &str, to: &str) -> Self {
        assert!(self.query.contains(from), "{} in {}", from, self.query);
        self.query = self.query.replace(from, to);
        self
    }

    pub(crate) fn replace_authorization(mut self, from: &str, to: &str) -> Self {
        for (name, value) in &mut self.headers {
            if name == "authorization" {
                let text = String::from_utf8(value.clone()).unwrap();
                assert!(text.contains(from), "{from} in {text}");
                *value = text.replace(from, to).into_bytes();
            }
        }
        self
    }

    pub(crate) fn verify_with(
        &self,
        policy: &Policy,
        now: OffsetDateTime,
    ) -> Result<Verified, Refusal> {
        self.with(|request| {
            let claim = Claim::read(request)?.expect("a signature");
            claim.verify(SECRET, now, policy, &SigningKeys::new())
        })
    }

    pub(crate) fn verify(&self) -> Result<Verified, Refusal> {
        self.verify_with(&Policy::new("stub"), NOW)
    }

    pub(crate) fn refusal(&self) -> Refusal {
        self.verify().unwrap_err()
    }

    pub(crate) fn mismatches(&self) -> bool {
        matches!(self.verify(), Err(Refusal::SignatureMismatch(_)))
    }
}

pub(crate) fn put() -> Owned {
    Owned::new("PUT", "/bucket/a%20key", "x-id=PutObject")
}
