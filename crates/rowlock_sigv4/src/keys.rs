use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, Tag, sign};

use crate::{ALGORITHM, SCOPE_END, SERVICE};

/// The key derived from a secret for one day and region.
#[derive(Clone)]
pub(crate) struct SigningKey(Arc<Key>);

impl SigningKey {
    /// The chain of four HMACs that SigV4 prescribes.
    pub(crate) fn derive(secret: &str, date: &str, region: &str) -> Self {
        let step =
            |tag: Tag, text: &str| sign(&Key::new(HMAC_SHA256, tag.as_ref()), text.as_bytes());
        let root = Key::new(HMAC_SHA256, format!("AWS4{secret}").as_bytes());
        let date = sign(&root, date.as_bytes());
        let service = step(step(date, region), SERVICE);
        Self(Arc::new(Key::new(HMAC_SHA256, step(service, SCOPE_END).as_ref())))
    }

    /// The signature of a string to sign, in lower-case hex.
    pub(crate) fn sign(&self, string_to_sign: &str) -> String {
        hex::encode(sign(&self.0, string_to_sign.as_bytes()))
    }
}

/// A small store of derived keys, owned by the server: deriving one takes four HMACs, a
/// signature one.
///
/// Only keys that have verified a signature are kept, so nobody without a secret can crowd out
/// the others.
#[derive(Default)]
pub struct SigningKeys(RwLock<VecDeque<Entry>>);

struct Entry {
    secret: Box<str>,
    date: Box<str>,
    region: Box<str>,
    key: SigningKey,
}

impl SigningKeys {
    /// How many keys are kept; the oldest goes first.
    pub const CAPACITY: usize = 64;

    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys are kept now.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kept key, or one derived now; `true` when it was kept.
    pub(crate) fn get(&self, secret: &str, date: &str, region: &str) -> (SigningKey, bool) {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // Both secrets are the server's own, so this comparison tells a client nothing.
        let kept = entries.iter().find(|entry| {
            *entry.date == *date && *entry.region == *region && *entry.secret == *secret
        });
        match kept {
            Some(entry) => (entry.key.clone(), true),
            None => (SigningKey::derive(secret, date, region), false),
        }
    }

    pub(crate) fn keep(&self, secret: &str, date: &str, region: &str, key: &SigningKey) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        while entries.len() >= Self::CAPACITY {
            entries.pop_front();
        }
        entries.push_back(Entry {
            secret: secret.into(),
            date: date.into(),
            region: region.into(),
            key: key.clone(),
        });
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({} kept)", self.len())
    }
}

/// What the chunks of a streaming body are signed with: the key, the request's own signature as
/// the seed of the chain, and its time and scope.
#[derive(Clone)]
pub struct SigningContext {
    pub(crate) key: SigningKey,
    pub(crate) seed: String,
    pub(crate) timestamp: String,
    pub(crate) scope: String,
}

impl SigningContext {
    /// The request's own signature in lower-case hex.
    pub fn signature(&self) -> &str {
        &self.seed
    }

    /// `<date>/<region>/s3/aws4_request`.
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

impl fmt::Debug for SigningContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningContext")
            .field("timestamp", &self.timestamp)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// `<date>/<region>/s3/aws4_request`.
pub(crate) fn scope(date: &str, region: &str) -> String {
    format!("{date}/{region}/{SERVICE}/{SCOPE_END}")
}

/// What a request's signature signs.
pub(crate) fn string_to_sign(timestamp: &str, scope: &str, canonical_hash: &str) -> String {
    format!("{ALGORITHM}\n{timestamp}\n{scope}\n{canonical_hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_bounded_and_tells_keys_apart() {
        let keys = SigningKeys::new();
        assert!(keys.is_empty());
        for n in 0..SigningKeys::CAPACITY + 5 {
            let region = format!("r{n}");
            let (key, kept) = keys.get("secret", "20130524", &region);
            assert!(!kept);
            keys.keep("secret", "20130524", &region, &key);
        }
        assert_eq!(keys.len(), SigningKeys::CAPACITY);
        assert!(!keys.get("secret", "20130524", "r0").1);
        let (kept, was_kept) = keys.get("secret", "20130524", "r40");
        assert!(was_kept);
        let fresh = SigningKey::derive("secret", "20130524", "r40");
        assert_eq!(kept.sign("x"), fresh.sign("x"));
        for (secret, date, region) in [
            ("other", "20130524", "r40"),
            ("secret", "20130525", "r40"),
            ("secret", "20130524", "r"),
        ] {
            let (key, was_kept) = keys.get(secret, date, region);
            assert!(!was_kept);
            assert_ne!(key.sign("x"), fresh.sign("x"));
        }
        assert!(!format!("{keys:?}").contains("secret"));
    }
}
