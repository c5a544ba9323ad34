//! What the two lists of objects share.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rowlock_storage::{ListEntry, ListPage};

use super::checksum;
use super::encode::{iso, listed, percent_decode};
use super::error::S3Error;
use super::request::S3Request;
use super::xml::Xml;

/// The most entries of a page.
pub(crate) const MAX_KEYS: usize = 1000;

/// What both lists read from the query.
#[derive(Debug)]
pub(crate) struct Parameters {
    pub(crate) prefix: String,
    pub(crate) delimiter: String,
    pub(crate) max_keys: usize,
    pub(crate) url: bool,
}

impl Parameters {
    pub(crate) fn read(request: &S3Request) -> Result<Self, S3Error> {
        let text = |name: &str| request.query.get(name).unwrap_or_default().to_owned();
        Ok(Self {
            prefix: text("prefix"),
            delimiter: text("delimiter"),
            max_keys: request.query.count("max-keys", MAX_KEYS, MAX_KEYS)?,
            url: request.query.url_encoding()?,
        })
    }

    /// Writes what every page repeats of its request.
    pub(crate) fn write(&self, out: &mut Xml) {
        out.text("Prefix", &listed(&self.prefix, self.url)).value("MaxKeys", self.max_keys);
        if !self.delimiter.is_empty() {
            out.text("Delimiter", &listed(&self.delimiter, self.url));
        }
        if self.url {
            out.text("EncodingType", "url");
        }
    }
}

/// Writes the entries: objects first, then folded prefixes. `owner`: the tenant's id where the
/// owner of each object is asked for; an object without an owner belongs to the tenant.
pub(crate) fn write_entries(out: &mut Xml, page: &ListPage, url: bool, owner: Option<&str>) {
    for entry in &page.entries {
        let ListEntry::Object { key, size, etag, last_modified, owner: own, checksum } = entry
        else {
            continue;
        };
        out.open("Contents")
            .text("Key", &listed(key, url))
            .text("LastModified", &iso(*last_modified))
            .text("ETag", etag.as_str());
        checksum::write_kind(out, checksum.as_ref());
        out.value("Size", size);
        if let Some(tenant) = owner {
            out.open("Owner").text("ID", own.as_deref().unwrap_or(tenant)).close();
        }
        out.text("StorageClass", "STANDARD").close();
    }
    for entry in &page.entries {
        if let ListEntry::Prefix(prefix) = entry {
            out.open("CommonPrefixes").text("Prefix", &listed(prefix, url)).close();
        }
    }
}

/// A continuation token: base64 of `l:<last name>`, which the reference reads too. A name with a
/// line end, which no new name has, is percent-encoded behind `u:`.
pub(crate) fn encode_token(last: &str) -> String {
    if last.contains(['\n', '\r']) {
        STANDARD.encode(format!("u:{}", listed(last, true)))
    } else {
        STANDARD.encode(format!("l:{last}"))
    }
}

/// Reads a token of ours or of the reference (`l:`, `o:`, `c:`, `a:` lines; only the first tells
/// where an S3 list goes on).
///
/// # Errors
/// InvalidArgument for anything else.
pub(crate) fn decode_token(token: &str) -> Result<String, S3Error> {
    let invalid = || {
        S3Error::invalid_argument(
            "continuation-token",
            token,
            "The continuation token provided is incorrect",
        )
    };
    let bytes = STANDARD.decode(token).map_err(|_| invalid())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    let mut last = None;
    for line in text.split('\n') {
        match line.split_once(':') {
            Some(("l", name)) => last = Some(name.to_owned()),
            Some(("u", name)) => last = Some(percent_decode(name).ok_or_else(invalid)?),
            Some(("o" | "c" | "a", _)) => {}
            _ => return Err(invalid()),
        }
    }
    // No name holds a NUL, and the database takes none.
    last.filter(|name| !name.contains('\0')).ok_or_else(invalid)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rowlock_types::{ChecksumType, ETag, StoredChecksum};
    use time::macros::datetime;

    pub(crate) fn page(truncated: bool) -> ListPage {
        ListPage {
            entries: vec![
                ListEntry::Object {
                    key: "k/a&b.txt".to_owned(),
                    size: 5,
                    etag: ETag::new("abc"),
                    last_modified: datetime!(2026-11-24 02:04:02.635 UTC),
                    owner: Some("me".to_owned()),
                    checksum: Some(StoredChecksum {
                        algorithm: "CRC32".to_owned(),
                        value: "y/Q5Jg==-2".to_owned(),
                        kind: ChecksumType::Composite,
                    }),
                },
                ListEntry::Prefix("k/ü/".to_owned()),
            ],
            truncated,
        }
    }

    #[test]
    fn tokens_read_back_and_are_the_references() {
        assert_eq!(encode_token("k/crc.txt"), "bDprL2NyYy50eHQ=");
        for name in ["a", "k/ü", "a:b", "a\nb", "l:x"] {
            assert_eq!(decode_token(&encode_token(name)).unwrap(), name);
        }
        // One of the reference's, with its order.
        assert_eq!(decode_token("bDprL21kNWJhZC50eHQKbzphc2M=").unwrap(), "k/md5bad.txt");
        let encoded = ["x:y", "o:asc", "l:a\0", "u:%00"].map(|text| STANDARD.encode(text));
        for bad in ["garbage", "", "bDo"].into_iter().chain(encoded.iter().map(String::as_str)) {
            assert_eq!(decode_token(bad).unwrap_err().code(), "InvalidArgument", "{bad}");
        }
    }

    #[test]
    fn entries() {
        let mut out = Xml::bare();
        write_entries(&mut out, &page(false), false, None);
        let object = "<Contents><Key>k/a&amp;b.txt</Key><LastModified>2026-11-24T02:04:02.635Z</LastModified><ETag>\"abc\"</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents>";
        let prefix = "<CommonPrefixes><Prefix>k/ü/</Prefix></CommonPrefixes>";
        let declaration = Xml::bare().finish();
        assert_eq!(out.finish(), format!("{declaration}{object}{prefix}"));
        let mut out = Xml::bare();
        write_entries(&mut out, &page(false), true, Some("stub"));
        let text = out.finish();
        assert!(text.contains("<Key>k/a%26b.txt</Key>"), "{text}");
        assert!(text.contains("<Owner><ID>me</ID></Owner>"), "{text}");
        assert!(text.contains("<Prefix>k/%C3%BC/</Prefix>"), "{text}");
    }
}
