//! Which operation a request means.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::Method;
use rowlock_storage::ResumableId;

use super::caller::Door;
use super::error::TusError;

/// Ids in URLs are written without padding, and read with or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The operations that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Options,
    Create,
    Head,
    Patch,
    Terminate,
}

/// An operation, and what it is to be done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) route: Route,
    pub(super) door: Door,
    /// The upload's id as the path has it; empty where the path has none.
    encoded: &'a str,
}

impl Target<'_> {
    /// The upload that the path names.
    ///
    /// # Errors
    /// 400 for what can be no id.
    pub(super) fn id(&self) -> Result<ResumableId, TusError> {
        let text = BASE64.decode(self.encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let id = text.and_then(|text| text.parse().ok());
        id.ok_or_else(|| TusError::new(400, "Invalid upload id"))
    }
}

/// The last segment of an upload's URL.
pub(super) fn encode(id: &ResumableId) -> String {
    BASE64.encode(id.to_string())
}

/// The operation. `rest` is what follows the path of the protocol.
pub(super) fn route<'a>(method: &Method, rest: &'a str) -> Option<Target<'a>> {
    let (door, rest) = match rest.strip_prefix("/sign") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (Door::Signed, rest),
        _ => (Door::Token, rest),
    };
    let encoded = rest.strip_prefix('/').unwrap_or(rest);
    let route = match (method.as_str(), encoded.is_empty()) {
        ("OPTIONS", _) => Route::Options,
        ("POST", true) => Route::Create,
        ("HEAD", false) => Route::Head,
        ("PATCH", false) => Route::Patch,
        ("DELETE", false) => Route::Terminate,
        _ => return None,
    };
    (!encoded.contains('/')).then_some(Target { route, door, encoded })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, rest: &'static str) -> Option<(Route, Door, &'static str)> {
        let target = route(&method.parse().unwrap(), rest)?;
        Some((target.route, target.door, target.encoded))
    }

    #[test]
    fn operations() {
        for (method, rest, wanted) in [
            ("POST", "", Some((Route::Create, Door::Token, ""))),
            ("POST", "/", Some((Route::Create, Door::Token, ""))),
            ("POST", "/sign", Some((Route::Create, Door::Signed, ""))),
            ("POST", "/sign/", Some((Route::Create, Door::Signed, ""))),
            ("OPTIONS", "", Some((Route::Options, Door::Token, ""))),
            ("OPTIONS", "/sign/abc", Some((Route::Options, Door::Signed, "abc"))),
            ("HEAD", "/abc", Some((Route::Head, Door::Token, "abc"))),
            ("HEAD", "/signature", Some((Route::Head, Door::Token, "signature"))),
            ("PATCH", "/sign/abc", Some((Route::Patch, Door::Signed, "abc"))),
            ("DELETE", "/abc", Some((Route::Terminate, Door::Token, "abc"))),
            ("POST", "/abc", None),
            ("HEAD", "", None),
            ("GET", "/abc", None),
            ("PATCH", "/abc/def", None),
        ] {
            assert_eq!(find(method, rest), wanted, "{method} {rest}");
        }
    }

    #[test]
    fn ids_are_what_the_reference_writes() {
        const ID: &str = "cmVjLWEvdHVzL29uZS5iaW4vNmViZWU2MDctY2RiZS00ZmJjLTgyMzgtMGY3YWMyOThkMDFm";
        let id = |encoded| Target { route: Route::Head, door: Door::Token, encoded }.id();
        let known = id(ID).unwrap();
        assert_eq!(known.to_string(), "rec-a/tus/one.bin/6ebee607-cdbe-4fbc-8238-0f7ac298d01f");
        assert_eq!(encode(&known), ID);
        for bad in ["bm9wZQ", "!", "", "_w"] {
            assert_eq!(id(bad).unwrap_err().told(), (400, "Invalid upload id".to_owned()), "{bad}");
        }
    }
}
