//! Conditional requests, with the precedence that S3 documents
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>, RFC 9110 section 13.2.2).

use http::HeaderMap;
use rowlock_storage::{DeleteCondition, WriteCondition};
use rowlock_types::ETag;
use time::OffsetDateTime;

use super::encode::parse_http_date;
use super::error::S3Error;

/// What the conditions of a read say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Proceed,
    /// 304, for reads.
    NotModified,
    /// 412.
    Failed,
}

/// The conditions of a read or of a copy's source.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_modified_since: Option<OffsetDateTime>,
    if_unmodified_since: Option<OffsetDateTime>,
}

impl Conditions {
    /// Those of GetObject and HeadObject.
    pub(crate) fn of_read(headers: &HeaderMap) -> Self {
        Self::from(headers, "")
    }

    /// Those of a copy's source (`x-amz-copy-source-if-…`).
    pub(crate) fn of_copy_source(headers: &HeaderMap) -> Self {
        Self::from(headers, "x-amz-copy-source-")
    }

    /// Dates that cannot be read count as absent (RFC 9110, section 13.1.3).
    fn from(headers: &HeaderMap, prefix: &str) -> Self {
        let text = |name: &str| -> Option<String> {
            let mut values = Vec::new();
            for value in headers.get_all(format!("{prefix}{name}")) {
                values.push(value.to_str().ok()?);
            }
            (!values.is_empty()).then(|| values.join(","))
        };
        let date = |name: &str| text(name).as_deref().and_then(parse_http_date);
        Self {
            if_match: text("if-match"),
            if_none_match: text("if-none-match"),
            if_modified_since: date("if-modified-since"),
            if_unmodified_since: date("if-unmodified-since"),
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn judge(&self, etag: &ETag, last_modified: OffsetDateTime) -> Verdict {
        self.judge_by(etag, last_modified).0
    }

    /// Judges an object by its entity tag and the time of its bytes (whole seconds count, since
    /// headers carry no more). `If-Match` overrules `If-Unmodified-Since`; `If-None-Match`
    /// overrules `If-Modified-Since`. Tells also which condition decided (empty: none).
    pub(crate) fn judge_by(
        &self,
        etag: &ETag,
        last_modified: OffsetDateTime,
    ) -> (Verdict, &'static str) {
        let modified = last_modified.unix_timestamp();
        match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) if !matches_tag(tags, etag) => return (Verdict::Failed, "If-Match"),
            (None, Some(since)) if modified > since.unix_timestamp() => {
                return (Verdict::Failed, "If-Unmodified-Since");
            }
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) if matches_tag(tags, etag) => (Verdict::NotModified, "If-None-Match"),
            (None, Some(since)) if modified <= since.unix_timestamp() => {
                (Verdict::NotModified, "If-Modified-Since")
            }
            _ => (Verdict::Proceed, ""),
        }
    }
}

/// Whether a list of entity tags (quoted or not, weak or not, or `*`) holds this one.
fn matches_tag(list: &str, etag: &ETag) -> bool {
    list.trim() == "*" || tags(list).any(|tag| tag == *etag)
}

fn tags(list: &str) -> impl Iterator<Item = ETag> {
    list.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(ETag::new)
}

/// The condition of a write: `If-None-Match: *` or `If-Match: "tag"`. Everything else that AWS
/// does not implement on writes is not implemented here either, rather than ignored
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>).
pub(crate) fn of_write(headers: &HeaderMap) -> Result<WriteCondition, S3Error> {
    let text = |name: &'static str| match headers.get(name).map(|v| v.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim())),
        Some(Err(_)) => Err(S3Error::invalid_argument(name, "", "the header is no ASCII text")),
    };
    for name in ["if-modified-since", "if-unmodified-since"] {
        if headers.contains_key(name) {
            return Err(S3Error::header_not_implemented(name));
        }
    }
    match (text("if-match")?, text("if-none-match")?) {
        (None, None) => Ok(WriteCondition::None),
        (None, Some("*")) => Ok(WriteCondition::Absent),
        (Some(tags_text), None) if tags_text != "*" => {
            let tags: Vec<ETag> = tags(tags_text).collect();
            if tags.is_empty() {
                return Err(S3Error::invalid_argument("If-Match", "", "the entity tag is empty"));
            }
            Ok(WriteCondition::Matches(tags))
        }
        (Some(_), _) => Err(S3Error::header_not_implemented("If-Match")),
        (None, Some(_)) => Err(S3Error::header_not_implemented("If-None-Match")),
    }
}

/// The condition of a delete: `If-Match: "tag"` or `*`. Times and sizes are conditions of
/// directory buckets only
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html>).
pub(crate) fn of_delete(headers: &HeaderMap) -> Result<Option<DeleteCondition>, S3Error> {
    for name in ["if-none-match", "if-modified-since", "if-unmodified-since"] {
        if headers.contains_key(name) {
            return Err(S3Error::header_not_implemented(name));
        }
    }
    let Some(value) = headers.get("if-match") else { return Ok(None) };
    of_deleted_tag(value.to_str().unwrap_or_default()).map(Some)
}

/// The same from an entity tag, or `*`.
pub(crate) fn of_deleted_tag(text: &str) -> Result<DeleteCondition, S3Error> {
    if text.trim() == "*" {
        return Ok(DeleteCondition::Exists);
    }
    let tags: Vec<ETag> = tags(text).collect();
    if tags.is_empty() {
        return Err(S3Error::invalid_argument("If-Match", text, "the entity tag is empty"));
    }
    Ok(DeleteCondition::Matches(tags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use time::macros::datetime;

    const BEFORE: &str = "Tue, 24 Nov 2026 02:04:01 GMT";
    const SAME: &str = "Tue, 24 Nov 2026 02:04:02 GMT";
    const AFTER: &str = "Tue, 24 Nov 2026 02:04:03 GMT";

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    fn judge(pairs: &[(&str, &str)]) -> Verdict {
        let modified = datetime!(2026-11-24 02:04:02.635 UTC);
        Conditions::of_read(&headers(pairs)).judge(&ETag::new("abc"), modified)
    }

    #[test]
    fn reads() {
        use Verdict::{Failed, NotModified, Proceed};
        let decided = |pairs: &[(&str, &str)]| {
            let modified = datetime!(2026-11-24 02:04:02.635 UTC);
            Conditions::of_read(&headers(pairs)).judge_by(&ETag::new("abc"), modified).1
        };
        let both = [("if-match", "\"zzz\""), ("if-unmodified-since", AFTER)];
        assert_eq!((decided(&both), decided(&both[1..])), ("If-Match", ""));
        assert_eq!(decided(&[("if-unmodified-since", BEFORE)]), "If-Unmodified-Since");
        for (pairs, verdict) in [
            (&[][..], Proceed),
            (&[("if-match", "\"abc\"")], Proceed),
            (&[("if-match", "abc")], Proceed),
            (&[("if-match", "*")], Proceed),
            (&[("if-match", "\"x\", \"abc\"")], Proceed),
            (&[("if-match", "\"zzz\"")], Failed),
            (&[("if-none-match", "\"abc\"")], NotModified),
            (&[("if-none-match", "W/\"abc\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"zzz\"")], Proceed),
            (&[("if-modified-since", BEFORE)], Proceed),
            (&[("if-modified-since", SAME)], NotModified),
            (&[("if-modified-since", AFTER)], NotModified),
            (&[("if-modified-since", "never")], Proceed),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", SAME)], Proceed),
            (&[("if-unmodified-since", AFTER)], Proceed),
            (&[("if-match", "\"abc\""), ("if-unmodified-since", BEFORE)], Proceed),
            (&[("if-match", "\"zzz\""), ("if-unmodified-since", AFTER)], Failed),
            (&[("if-none-match", "\"abc\""), ("if-modified-since", BEFORE)], NotModified),
            (&[("if-none-match", "\"zzz\""), ("if-modified-since", AFTER)], Proceed),
            (&[("if-match", "\"abc\""), ("if-none-match", "\"abc\"")], NotModified),
            (&[("if-match", "\"zzz\""), ("if-none-match", "\"abc\"")], Failed),
        ] {
            assert_eq!(judge(pairs), verdict, "{pairs:?}");
        }
    }

    #[test]
    fn copy_sources_have_their_own_headers() {
        let pairs = headers(&[("if-match", "\"zzz\""), ("x-amz-copy-source-if-match", "\"abc\"")]);
        let modified = datetime!(2026-11-24 02:04:02 UTC);
        let verdict = Conditions::of_copy_source(&pairs).judge(&ETag::new("abc"), modified);
        assert_eq!(verdict, Verdict::Proceed);
    }

    #[test]
    fn deletes() {
        let of = |pairs: &[(&str, &str)]| of_delete(&headers(pairs)).map_err(|e| e.code());
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("if-match", "*")]), Ok(Some(DeleteCondition::Exists)));
        let tag = DeleteCondition::Matches(vec![ETag::new("abc")]);
        assert_eq!(of(&[("if-match", "abc")]), Ok(Some(tag)));
        assert_eq!(of(&[("if-match", "")]), Err("InvalidArgument"));
        assert_eq!(of(&[("if-none-match", "*")]), Err("NotImplemented"));
    }

    #[test]
    fn writes() {
        let of = |pairs: &[(&str, &str)]| of_write(&headers(pairs));
        assert_eq!(of(&[]).unwrap(), WriteCondition::None);
        assert_eq!(of(&[("if-none-match", "*")]).unwrap(), WriteCondition::Absent);
        assert_eq!(
            of(&[("if-match", "\"abc\"")]).unwrap(),
            WriteCondition::Matches(vec![ETag::new("abc")])
        );
        for bad in [
            &[("if-none-match", "\"abc\"")][..],
            &[("if-match", "*")],
            &[("if-match", "\"a\""), ("if-none-match", "*")],
            &[("if-modified-since", SAME)],
            &[("if-unmodified-since", SAME)],
        ] {
            assert_eq!(of(bad).unwrap_err().code(), "NotImplemented", "{bad:?}");
        }
    }
}
