use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName};

const LONGEST: usize = 128;

/// What a request is called in logs and answers. Among the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id that the named header gives, if it is 1 to 128 visible ASCII characters; else a
    /// new one of 16 hex digits.
    pub(crate) fn of(headers: &HeaderMap, header: Option<&HeaderName>) -> Self {
        let given =
            header.and_then(|name| headers.get(name)).and_then(|value| value.to_str().ok()).filter(
                |id| (1..=LONGEST).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()),
            );
        match given {
            Some(id) => Self(Arc::from(id)),
            None => Self::new(),
        }
    }

    fn new() -> Self {
        // A random start and an odd step visit every number once, and neighbours look unlike.
        static START: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let start = *START.get_or_init(|| uuid::Uuid::new_v4().as_u64_pair().0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let number = start.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self(Arc::from(format!("{number:016X}")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn takes_a_decent_id_and_makes_one_otherwise() {
        let name = HeaderName::from_static("x-request-id");
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name.clone(), HeaderValue::from_str(value).unwrap());
            RequestId::of(&headers, Some(&name))
        };
        assert_eq!(of("abc-1").as_str(), "abc-1");
        for bad in ["", "a b", &"x".repeat(129)] {
            assert_eq!(of(bad).as_str().len(), 16, "{bad}");
        }
        let headers = HeaderMap::new();
        assert_ne!(RequestId::of(&headers, None), RequestId::of(&headers, None));
    }
}
