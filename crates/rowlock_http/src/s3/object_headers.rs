//! The headers that travel with an object: read from a write, put into the answer of a read.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use rowlock_storage::{Object, part_checksum};
use rowlock_types::{ETag, ObjectMetadata, RowlockMetadata, UserMetadata};
use time::OffsetDateTime;

use super::encode::{header_in, http_date, metadata_in, metadata_out};
use super::error::{S3Error, code};
use super::query::Query;
use super::response::set;
use super::{checksum, tags};

const META: &str = "x-amz-meta-";
/// The most bytes that names and values of user metadata may have together
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>).
const MAX_USER_METADATA: usize = 2048;
const DEFAULT_TYPE: &str = "application/octet-stream";

/// What a write says about its object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) content_type: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) user_metadata: UserMetadata,
    pub(crate) extra: RowlockMetadata,
}

impl Described {
    /// Reads the headers of PutObject, CopyObject and CreateMultipartUpload.
    ///
    /// # Errors
    /// MetadataTooLarge, or what is wrong with tags.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, S3Error> {
        let text = |name: &str| {
            let text = headers.get(name).map(|value| header_in(value.as_bytes()));
            text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Ok(Self {
            content_type: text("content-type"),
            cache_control: text("cache-control"),
            user_metadata: user_metadata(headers)?,
            extra: RowlockMetadata {
                content_disposition: text("content-disposition"),
                content_encoding: text("content-encoding").and_then(|v| without_aws_chunked(&v)),
                content_language: text("content-language"),
                expires: text("expires"),
                website_redirect_location: text("x-amz-website-redirect-location"),
                tags: tags::of_header(headers)?.unwrap_or_default(),
                ..RowlockMetadata::default()
            },
        })
    }
}

/// `aws-chunked` is how the body came, not what the object is.
fn without_aws_chunked(value: &str) -> Option<String> {
    let tokens: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|token| !token.is_empty() && !token.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!tokens.is_empty()).then(|| tokens.join(", "))
}

/// Several headers of one name count as one with a list.
fn user_metadata(headers: &HeaderMap) -> Result<UserMetadata, S3Error> {
    let mut metadata = UserMetadata::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(META) else { continue };
        if name.is_empty() {
            continue;
        }
        let value = metadata_in(value.as_bytes());
        metadata
            .entry(name.to_owned())
            .and_modify(|known| {
                known.push(',');
                known.push_str(&value);
            })
            .or_insert(value);
    }
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_USER_METADATA {
        return Err(S3Error::new(
            code::METADATA_TOO_LARGE,
            "Your metadata headers exceed the maximum allowed metadata size",
        )
        .detail("Size", size.to_string())
        .detail("MaxSizeAllowed", MAX_USER_METADATA.to_string()));
    }
    Ok(metadata)
}

/// What an object's row says to a reader.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) size: u64,
    pub(crate) etag: &'a ETag,
    pub(crate) last_modified: OffsetDateTime,
    pub(crate) metadata: &'a ObjectMetadata,
    pub(crate) user_metadata: &'a UserMetadata,
}

impl<'a> From<&'a Object> for Facts<'a> {
    fn from(object: &'a Object) -> Self {
        let Object { size, ref etag, last_modified, ref metadata, ref user_metadata, .. } = *object;
        Self { size, etag, last_modified, metadata, user_metadata }
    }
}

/// Puts what identifies the object's state into an answer: all that a 304 may say.
pub(crate) fn put_validators(object: Facts<'_>, headers: &mut HeaderMap) {
    set(headers, "etag", object.etag.as_str());
    set(headers, "last-modified", &http_date(object.last_modified));
    if let Some(value) = &object.metadata.cache_control {
        set(headers, "cache-control", value);
    }
    if let Some(value) = object.metadata.rowlock.as_ref().and_then(|r| r.expires.as_ref()) {
        set(headers, "expires", value);
    }
}

/// Puts everything that a read tells about an object into its answer, but its length.
pub(crate) fn put(object: Facts<'_>, headers: &mut HeaderMap) {
    put_validators(object, headers);
    set(headers, "accept-ranges", "bytes");
    set(headers, "content-type", object.metadata.mimetype.as_deref().unwrap_or(DEFAULT_TYPE));
    if let Some(extra) = &object.metadata.rowlock {
        for (name, value) in [
            ("content-disposition", &extra.content_disposition),
            ("content-encoding", &extra.content_encoding),
            ("content-language", &extra.content_language),
            ("x-amz-website-redirect-location", &extra.website_redirect_location),
        ] {
            if let Some(value) = value {
                set(headers, name, value);
            }
        }
        if !extra.tags.is_empty() {
            set(headers, "x-amz-tagging-count", &extra.tags.len().to_string());
        }
    }
    put_user_metadata(object, headers);
}

/// Puts the checksum of what is read into an answer: of a part (counted from 1), or of the whole.
pub(crate) fn put_checksum(object: Facts<'_>, part: Option<u32>, headers: &mut HeaderMap) {
    let Some(extra) = &object.metadata.rowlock else { return };
    let Some(sum) = &extra.checksum else { return };
    match (part, &extra.parts) {
        (Some(number), Some(parts)) => {
            if let Some(own) = part_checksum(sum, parts, number) {
                checksum::put_part(headers, &own);
                set(headers, "x-amz-checksum-type", sum.kind.as_str());
            }
        }
        _ => checksum::put(headers, sum),
    }
}

/// Metadata that no header can carry is counted (`x-amz-missing-meta`).
fn put_user_metadata(object: Facts<'_>, headers: &mut HeaderMap) {
    let mut missing = 0;
    for (name, value) in object.user_metadata {
        let name = HeaderName::from_bytes(format!("{META}{name}").as_bytes());
        let value = HeaderValue::from_str(&metadata_out(value));
        match (name, value) {
            (Ok(name), Ok(value)) => {
                headers.insert(name, value);
            }
            _ => missing += 1,
        }
    }
    if missing > 0 {
        set(headers, "x-amz-missing-meta", &missing.to_string());
    }
}

/// The headers that a GET may replace by `response-…` parameters; all requests here are signed,
/// which AWS demands for them.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
    ("response-content-language", "content-language"),
    ("response-content-type", "content-type"),
    ("response-expires", "expires"),
];

/// Applies `response-…` parameters.
///
/// # Errors
/// InvalidArgument for a value that no header can carry.
pub(crate) fn put_overrides(query: &Query, headers: &mut HeaderMap) -> Result<(), S3Error> {
    for (parameter, name) in OVERRIDES {
        if let Some(value) = query.filled(parameter) {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
                S3Error::invalid_argument(parameter, value, "Header value cannot be represented")
            })?;
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(())
}

/// Puts the length of a body that is sent, or of the object on a HEAD.
pub(crate) fn put_length(headers: &mut HeaderMap, length: u64) {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use time::macros::datetime;

    fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = name.parse::<HeaderName>().unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    /// A row of ten bytes that nothing special is known about.
    #[derive(Debug)]
    pub(crate) struct Row {
        pub(crate) etag: ETag,
        pub(crate) metadata: ObjectMetadata,
        pub(crate) user_metadata: UserMetadata,
    }

    impl Row {
        pub(crate) fn new() -> Self {
            Self {
                etag: ETag::new("abc"),
                metadata: ObjectMetadata::default(),
                user_metadata: UserMetadata::new(),
            }
        }

        pub(crate) fn facts(&self) -> Facts<'_> {
            Facts {
                size: 10,
                etag: &self.etag,
                last_modified: datetime!(2026-11-24 02:04:02.635 UTC),
                metadata: &self.metadata,
                user_metadata: &self.user_metadata,
            }
        }
    }

    #[test]
    fn reads_what_a_write_says() {
        let described = Described::read(&headers(&[
            ("content-type", b"text/plain"),
            ("content-encoding", b"aws-chunked, gzip,AWS-CHUNKED"),
            ("x-amz-meta-colour", "röt".as_bytes()),
            ("x-amz-meta-list", b"a"),
            ("x-amz-meta-list", b"b"),
            ("expires", b"soon"),
        ]))
        .unwrap();
        assert_eq!(described.content_type.as_deref(), Some("text/plain"));
        assert_eq!(described.extra.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(described.extra.expires.as_deref(), Some("soon"));
        assert_eq!(described.user_metadata["colour"], "röt");
        assert_eq!(described.user_metadata["list"], "a,b");
        let chunked = Described::read(&headers(&[("content-encoding", b"aws-chunked")])).unwrap();
        assert_eq!(chunked, Described::default());
    }

    #[test]
    fn user_metadata_has_a_limit() {
        let fits = "v".repeat(2047);
        assert!(Described::read(&headers(&[("x-amz-meta-n", fits.as_bytes())])).is_ok());
        let long = "v".repeat(2048);
        let error = Described::read(&headers(&[("x-amz-meta-n", long.as_bytes())])).unwrap_err();
        assert_eq!(error.code(), "MetadataTooLarge");
    }

    #[test]
    fn answers_tell_what_the_row_says() {
        let mut object = Row::new();
        object.metadata.cache_control = Some("max-age=60".to_owned());
        object.metadata.rowlock = Some(RowlockMetadata {
            content_disposition: Some("inline".to_owned()),
            expires: Some("soon".to_owned()),
            ..RowlockMetadata::default()
        });
        object.user_metadata.insert("colour".to_owned(), "röt".to_owned());
        object.user_metadata.insert("not a header".to_owned(), "x".to_owned());
        let mut out = HeaderMap::new();
        put(object.facts(), &mut out);
        for (name, value) in [
            ("etag", "\"abc\""),
            ("last-modified", "Tue, 24 Nov 2026 02:04:02 GMT"),
            ("accept-ranges", "bytes"),
            ("content-type", "application/octet-stream"),
            ("cache-control", "max-age=60"),
            ("content-disposition", "inline"),
            ("expires", "soon"),
            ("x-amz-meta-colour", "=?UTF-8?B?csO2dA==?="),
            ("x-amz-missing-meta", "1"),
        ] {
            assert_eq!(out[name], value, "{name}");
        }
    }

    #[test]
    fn overrides_replace_headers() {
        let mut out = HeaderMap::new();
        put(Row::new().facts(), &mut out);
        let query = Query::parse("response-content-type=a%2Fb&response-expires=never").unwrap();
        put_overrides(&query, &mut out).unwrap();
        assert_eq!(out["content-type"], "a/b");
        assert_eq!(out["expires"], "never");
        let query = Query::parse("response-content-type=a%0Ab").unwrap();
        assert!(put_overrides(&query, &mut out).is_err());
    }
}
