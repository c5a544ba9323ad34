//! The headers of the protocol's core (<https://tus.io/protocols/resumable-upload>, "Headers").

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::error::TusError;

/// The one version that there is.
pub(super) const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
/// The content type of everything that brings bytes.
pub(super) const OFFSET_TYPE: &str = "application/offset+octet-stream";

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Longer texts than this are no number that anybody means.
const MOST_DIGITS: usize = 19;

/// The method that a request means: `X-HTTP-Method-Override` counts where a client cannot send
/// every method. A preflight is one whatever else it says.
pub(super) fn method(method: &Method, headers: &HeaderMap) -> Method {
    let said = headers.get(METHOD_OVERRIDE).and_then(|value| value.to_str().ok());
    match said.map(|text| Method::from_bytes(text.trim().to_ascii_uppercase().as_bytes())) {
        Some(Ok(said)) if method != Method::OPTIONS => said,
        _ => method.clone(),
    }
}

/// That the client speaks this version, and that no header of its own is malformed.
///
/// # Errors
/// 412 for another version or none, 400 for a malformed header.
pub(super) fn check(headers: &HeaderMap, is_patch: bool) -> Result<(), TusError> {
    match headers.get(TUS_RESUMABLE) {
        None => {
            return Err(TusError::new(412, "Tus-Resumable Required\n").with(TUS_VERSION, VERSION));
        }
        Some(version) if version != VERSION => {
            let other = TusError::new(412, "Tus-Resumable: only version 1.0.0 is spoken here\n");
            return Err(other.with(TUS_VERSION, VERSION));
        }
        Some(_) => {}
    }
    length(headers, &UPLOAD_OFFSET)?;
    length(headers, &UPLOAD_LENGTH)?;
    deferred(headers)?;
    let kind = headers.get(header::CONTENT_TYPE);
    match (is_patch, kind) {
        (true, None) => Err(TusError::new(403, "Content-Type header required\n")),
        (true, Some(kind)) if kind != OFFSET_TYPE => Err(TusError::invalid(&header::CONTENT_TYPE)),
        _ => Ok(()),
    }
}

/// Whether the body of a creation is the beginning of the upload.
pub(super) fn brings_bytes(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == OFFSET_TYPE)
}

/// A number of bytes. A header that comes twice is malformed: which one would count?
///
/// # Errors
/// 400 for what is none.
pub(super) fn length(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, TusError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = (digits && text.len() <= MOST_DIGITS).then(|| text.parse().ok()).flatten();
    match number.filter(|number| i64::try_from(*number).is_ok()) {
        Some(number) if values.next().is_none() => Ok(Some(number)),
        _ => Err(TusError::invalid(name)),
    }
}

/// Whether the client will tell the length later.
///
/// # Errors
/// 400 for another value than `1`.
pub(super) fn deferred(headers: &HeaderMap) -> Result<bool, TusError> {
    match headers.get(UPLOAD_DEFER_LENGTH) {
        None => Ok(false),
        Some(value) if value == "1" => Ok(true),
        Some(_) => Err(TusError::invalid(&UPLOAD_DEFER_LENGTH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        list.iter().map(pair).collect()
    }

    fn refusal(list: &[(&'static str, &str)], method: Method) -> Option<(u16, String)> {
        check(&headers(list), method == Method::PATCH).err().map(|error| error.told())
    }

    const GOOD: (&str, &str) = ("tus-resumable", "1.0.0");

    #[test]
    fn requests_say_their_version() {
        let told = |status, text: &str| Some((status, text.to_owned()));
        assert_eq!(refusal(&[], Method::HEAD), told(412, "Tus-Resumable Required\n"));
        assert_eq!(refusal(&[("tus-resumable", "0.2.2")], Method::HEAD).unwrap().0, 412);
        assert_eq!(refusal(&[GOOD], Method::HEAD), None);
        assert_eq!(refusal(&[GOOD], Method::PATCH), told(403, "Content-Type header required\n"));
        let kind = |kind| refusal(&[GOOD, ("content-type", kind)], Method::PATCH);
        assert_eq!(kind(OFFSET_TYPE), None);
        assert_eq!(kind("text/plain"), told(400, "Invalid content-type\n"));
        assert_eq!(refusal(&[GOOD, ("content-type", "text/plain")], Method::POST), None);
        let offset = [GOOD, ("upload-offset", "-1")];
        assert_eq!(refusal(&offset, Method::HEAD), told(400, "Invalid upload-offset\n"));
        let length = [GOOD, ("upload-length", "ten")];
        assert_eq!(refusal(&length, Method::POST), told(400, "Invalid upload-length\n"));
        let defer = [GOOD, ("upload-defer-length", "2")];
        assert_eq!(refusal(&defer, Method::POST), told(400, "Invalid upload-defer-length\n"));
    }

    #[test]
    fn numbers_are_whole_and_fit() {
        let read = |text: &str| length(&headers(&[("upload-offset", text)]), &UPLOAD_OFFSET).ok();
        assert_eq!(read("0"), Some(Some(0)));
        assert_eq!(read("9223372036854775807"), Some(Some(i64::MAX as u64)));
        for bad in ["", " ", "+1", "1.0", "1e3", "0x10", "9223372036854775808", "1, 2", "١"] {
            let mut map = HeaderMap::new();
            map.insert("upload-offset", HeaderValue::from_bytes(bad.as_bytes()).unwrap());
            assert!(length(&map, &UPLOAD_OFFSET).is_err(), "{bad}");
        }
        let mut twice = headers(&[("upload-offset", "1")]);
        twice.append("upload-offset", HeaderValue::from_static("1"));
        assert!(length(&twice, &UPLOAD_OFFSET).is_err());
        assert_eq!(length(&HeaderMap::new(), &UPLOAD_OFFSET).ok(), Some(None));
    }

    #[test]
    fn methods_can_be_named_in_a_header() {
        let named = |real, said| method(&real, &headers(&[("x-http-method-override", said)]));
        assert_eq!(named(Method::POST, "PATCH"), Method::PATCH);
        assert_eq!(named(Method::POST, "delete"), Method::DELETE);
        assert_eq!(named(Method::POST, "b ad"), Method::POST);
        assert_eq!(named(Method::OPTIONS, "PATCH"), Method::OPTIONS);
        assert_eq!(method(&Method::HEAD, &HeaderMap::new()), Method::HEAD);
    }
}
