//! Tags in headers and documents
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>).

use http::HeaderMap;
use rowlock_storage::Tags;

use super::error::{S3Error, code};
use super::query::Query;
use super::xml::{Xml, parse};

/// The most tags of an object.
pub(crate) const OF_OBJECT: usize = 10;
/// The most tags of a bucket.
pub(crate) const OF_BUCKET: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;

/// Room for a bucket's tags, every character escaped.
pub(crate) const MAX_BODY: usize = 512 * 1024;

/// The tags that `x-amz-tagging` gives an object: a query string. `None` without the header.
///
/// # Errors
/// InvalidArgument, InvalidTag, or BadRequest for too many.
pub(crate) fn of_header(headers: &HeaderMap) -> Result<Option<Tags>, S3Error> {
    let Some(value) = headers.get("x-amz-tagging") else { return Ok(None) };
    let malformed = || {
        S3Error::invalid_argument(
            "x-amz-tagging",
            "",
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
        )
    };
    let text = value.to_str().map_err(|_| malformed())?;
    let query = Query::parse(text.trim()).map_err(|_| malformed())?;
    let mut tags = Tags::new();
    for (key, value) in query.pairs() {
        check(key, value)?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(malformed());
        }
    }
    check_count(&tags, OF_OBJECT)?;
    Ok(Some(tags))
}

/// Reads a `Tagging` document with at most `most` tags.
///
/// # Errors
/// MalformedXML, InvalidTag, or BadRequest for too many.
pub(crate) fn of_document(body: &[u8], most: usize) -> Result<Tags, S3Error> {
    let root = parse(body, "Tagging")?;
    let set = root.all("TagSet").next().ok_or_else(S3Error::malformed_xml)?;
    let mut tags = Tags::new();
    for tag in set.all("Tag") {
        let key = tag.verbatim("Key").ok_or_else(S3Error::malformed_xml)?;
        let value = tag.verbatim("Value").ok_or_else(S3Error::malformed_xml)?;
        check(key, value)?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(
                invalid("Cannot provide multiple Tags with the same key").detail("TagKey", key)
            );
        }
    }
    check_count(&tags, most)?;
    Ok(tags)
}

fn check_count(tags: &Tags, most: usize) -> Result<(), S3Error> {
    if tags.len() <= most {
        return Ok(());
    }
    let what = if most == OF_OBJECT { "Object" } else { "Bucket" };
    Err(S3Error::new(code::BAD_REQUEST, format!("{what} tags cannot be greater than {most}")))
}

/// Letters, digits and spaces of any language, and a few signs; the lengths are in characters.
fn check(key: &str, value: &str) -> Result<(), S3Error> {
    let fits = |text: &str| {
        text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "+-=._:/@".contains(c))
            && !text.chars().any(char::is_control)
    };
    if key.is_empty() || key.chars().count() > MAX_KEY || !fits(key) {
        return Err(invalid("The TagKey you have provided is invalid").detail("TagKey", key));
    }
    if value.chars().count() > MAX_VALUE || !fits(value) {
        return Err(invalid("The TagValue you have provided is invalid")
            .detail("TagKey", key)
            .detail("TagValue", value));
    }
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(invalid("System tags cannot be added/updated by requester"));
    }
    Ok(())
}

fn invalid(message: &'static str) -> S3Error {
    S3Error::new(code::INVALID_TAG, message)
}

/// The `Tagging` document.
pub(crate) fn render(tags: &Tags) -> Xml {
    let mut out = Xml::new("Tagging");
    out.open("TagSet");
    for (key, value) in tags {
        out.open("Tag").text("Key", key).text("Value", value).close();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn header(text: &str) -> Result<Option<Tags>, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-tagging", HeaderValue::from_str(text).unwrap());
        of_header(&headers).map_err(|error| error.code())
    }

    fn document(tags: &str, most: usize) -> Result<Tags, &'static str> {
        let body = format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
        of_document(body.as_bytes(), most).map_err(|error| error.code())
    }

    fn tag(key: &str, value: &str) -> String {
        format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
    }

    #[test]
    fn headers() {
        let tags = header("a=1&b+c=%C3%BC&d=").unwrap().unwrap();
        let pairs: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b c", "ü"), ("d", "")]);
        assert_eq!(header(""), Ok(Some(Tags::new())));
        assert_eq!(of_header(&HeaderMap::new()).unwrap(), None);
        assert_eq!(header("a=1&a=2"), Err("InvalidArgument"));
        assert_eq!(header("a=%ff"), Err("InvalidArgument"));
        assert_eq!(header("=1"), Err("InvalidTag"));
        let many = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join("&");
        assert_eq!(header(&many(10)).unwrap().unwrap().len(), 10);
        assert_eq!(header(&many(11)), Err("BadRequest"));
    }

    #[test]
    fn documents() {
        assert_eq!(document(&tag(" k ", "v"), 10).unwrap()[" k "], "v");
        assert_eq!(document("", 10), Ok(Tags::new()));
        assert_eq!(document(&(tag("a", "1") + &tag("a", "2")), 10), Err("InvalidTag"));
        assert_eq!(document("<Tag><Key>a</Key></Tag>", 10), Err("MalformedXML"));
        let many = |n: usize| (0..n).map(|i| tag(&format!("k{i}"), "v")).collect::<String>();
        assert_eq!(document(&many(11), OF_OBJECT), Err("BadRequest"));
        assert_eq!(document(&many(50), OF_BUCKET).unwrap().len(), 50);
        assert_eq!(document(&many(51), OF_BUCKET), Err("BadRequest"));
        assert_eq!(of_document(b"<Tagging/>", 10).unwrap_err().code(), "MalformedXML");
    }

    #[test]
    fn limits_count_characters() {
        for (key, value, fine) in [
            ("ü".repeat(128), String::new(), true),
            ("ü".repeat(129), String::new(), false),
            ("k".to_owned(), "ü".repeat(256), true),
            ("k".to_owned(), "ü".repeat(257), false),
            ("k+-=._:/@".to_owned(), "v +-=._:/@".to_owned(), true),
            ("k!".to_owned(), "v".to_owned(), false),
            ("k".to_owned(), "v;".to_owned(), false),
            ("aws:k".to_owned(), "v".to_owned(), false),
        ] {
            assert_eq!(check(&key, &value).is_ok(), fine, "{key} {value}");
        }
    }

    #[test]
    fn a_document() {
        let tags = Tags::from([("a".to_owned(), "1 < 2".to_owned())]);
        let text = render(&tags).finish();
        assert!(text.ends_with(
            "<TagSet><Tag><Key>a</Key><Value>1 &lt; 2</Value></Tag></TagSet></Tagging>"
        ));
        assert!(render(&Tags::new()).finish().ends_with("<TagSet></TagSet></Tagging>"));
    }
}
