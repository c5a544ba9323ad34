//! GetObjectAttributes
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html>).

use axum::body::Body;
use http::{HeaderMap, Response};
use rowlock_storage::part_checksum;
use rowlock_types::{RowlockMetadata, StoredParts};

use super::S3Service;
use super::checksum;
use super::encode::http_date;
use super::error::S3Error;
use super::get_object::find;
use super::object_headers::Facts;
use super::request::S3Request;
use super::response::{set, xml};
use super::xml::Xml;

const HEADER: &str = "x-amz-object-attributes";
const NAMES: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];
const MAX_PARTS: u32 = 1000;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let asked = Asked::read(&request.headers)?;
    let object = find(s3, request).await?;
    let mut response = xml(render(&asked, Facts::from(&object)));
    set(response.headers_mut(), "last-modified", &http_date(object.last_modified));
    Ok(response)
}

#[derive(Debug)]
struct Asked {
    names: Vec<&'static str>,
    max_parts: u32,
    after: u32,
}

impl Asked {
    fn read(headers: &HeaderMap) -> Result<Self, S3Error> {
        let mut names = Vec::new();
        for value in headers.get_all(HEADER) {
            let text = value.to_str().unwrap_or("?");
            for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                match NAMES.into_iter().find(|known| *known == name) {
                    Some(known) => names.push(known),
                    None => {
                        return Err(S3Error::invalid_argument(
                            HEADER,
                            name,
                            "Invalid attribute name specified.",
                        ));
                    }
                }
            }
        }
        if names.is_empty() {
            return Err(S3Error::invalid_argument(
                HEADER,
                "",
                "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
            ));
        }
        let number = |name: &'static str, default: u32| match headers.get(name) {
            None => Ok(default),
            Some(value) => {
                let text = value.to_str().unwrap_or("?").trim();
                let number = text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok());
                number.ok_or_else(|| {
                    S3Error::invalid_argument(
                        name,
                        text,
                        format!("Argument {name} must be an integer between 0 and 2147483647"),
                    )
                })
            }
        };
        let max_parts = number("x-amz-max-parts", MAX_PARTS)?.min(MAX_PARTS);
        Ok(Self { names, max_parts, after: number("x-amz-part-number-marker", 0)? })
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(&name)
    }
}

/// Unlike everywhere else, the entity tag has no quotes here.
fn render(asked: &Asked, object: Facts<'_>) -> Xml {
    let mut out = Xml::new("GetObjectAttributesResponse");
    let extra = object.metadata.rowlock.as_ref();
    let sum = extra.and_then(|extra| extra.checksum.as_ref());
    if asked.has("ETag") {
        out.text("ETag", object.etag.bare());
    }
    if let Some(sum) = sum.filter(|_| asked.has("Checksum")) {
        out.open("Checksum");
        checksum::write(&mut out, Some(sum));
        out.close();
    }
    if let (true, Some(extra)) = (asked.has("ObjectParts"), extra)
        && let Some(parts) = &extra.parts
    {
        write_parts(&mut out, asked, extra, parts);
    }
    if asked.has("StorageClass") {
        out.text("StorageClass", "STANDARD");
    }
    if asked.has("ObjectSize") {
        out.value("ObjectSize", object.size);
    }
    out
}

/// As AWS has it, the parts themselves are told only where they have checksums.
fn write_parts(out: &mut Xml, asked: &Asked, extra: &RowlockMetadata, parts: &StoredParts) {
    let count = parts.count();
    out.open("ObjectParts").value("PartsCount", count);
    let sum = extra.checksum.as_ref().filter(|_| parts.checksums().is_some());
    if let Some(sum) = sum {
        let last = asked.after.saturating_add(asked.max_parts).min(count);
        out.value("PartNumberMarker", asked.after)
            .value("NextPartNumberMarker", last)
            .value("MaxParts", asked.max_parts)
            .value("IsTruncated", last < count && asked.max_parts > 0);
        for number in asked.after.saturating_add(1)..=last {
            let Some(range) = parts.range(number) else { break };
            out.open("Part");
            out.value("PartNumber", number).value("Size", range.end - range.start);
            checksum::write_part(out, part_checksum(sum, parts, number).as_ref());
            out.close();
        }
    }
    out.close();
}

#[cfg(test)]
mod tests {
    use super::super::object_headers::tests::Row;
    use super::*;
    use http::HeaderValue;
    use rowlock_types::{ChecksumType, StoredChecksum};

    fn asked(pairs: &[(&'static str, &str)]) -> Result<Asked, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        Asked::read(&headers).map_err(|error| error.code())
    }

    fn row() -> Row {
        let mut row = Row::new();
        row.metadata.rowlock = Some(RowlockMetadata {
            checksum: Some(StoredChecksum {
                algorithm: "CRC32".to_owned(),
                value: "y/Q5Jg==-3".to_owned(),
                kind: ChecksumType::Composite,
            }),
            // Three checksums of four zero bytes.
            parts: Some(StoredParts::new([4, 4, 2], Some("A".repeat(16)))),
            ..RowlockMetadata::default()
        });
        row
    }

    #[test]
    fn only_what_is_asked_for() {
        let asked = asked(&[(HEADER, "ETag, ObjectSize"), (HEADER, "StorageClass")]).unwrap();
        let text = render(&asked, row().facts()).finish();
        assert!(text.ends_with("<ETag>abc</ETag><StorageClass>STANDARD</StorageClass><ObjectSize>10</ObjectSize></GetObjectAttributesResponse>"), "{text}");
    }

    #[test]
    fn parts_come_in_pages() {
        let pairs = [
            (HEADER, "ObjectParts,Checksum"),
            ("x-amz-max-parts", "1"),
            ("x-amz-part-number-marker", "1"),
        ];
        let text = render(&asked(&pairs).unwrap(), row().facts()).finish();
        for part in [
            "<Checksum><ChecksumCRC32>y/Q5Jg==-3</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType></Checksum>",
            "<PartsCount>3</PartsCount><PartNumberMarker>1</PartNumberMarker><NextPartNumberMarker>2</NextPartNumberMarker><MaxParts>1</MaxParts><IsTruncated>true</IsTruncated>",
            "<Part><PartNumber>2</PartNumber><Size>4</Size><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.matches("<Part>").count(), 1);
        let past = [(HEADER, "ObjectParts"), ("x-amz-part-number-marker", "2147483647")];
        let text = render(&asked(&past).unwrap(), row().facts()).finish();
        assert!(text.contains("<IsTruncated>false</IsTruncated>") && !text.contains("<Part>"));
    }

    #[test]
    fn an_object_in_one_piece_has_no_parts() {
        let text = render(&asked(&[(HEADER, "ObjectParts")]).unwrap(), Row::new().facts()).finish();
        assert!(!text.contains("ObjectParts>"), "{text}");
    }

    #[test]
    fn bad_requests() {
        assert_eq!(asked(&[]).err(), Some("InvalidArgument"));
        assert_eq!(asked(&[(HEADER, " , ")]).err(), Some("InvalidArgument"));
        assert_eq!(asked(&[(HEADER, "Size")]).err(), Some("InvalidArgument"));
        let bad = asked(&[(HEADER, "ETag"), ("x-amz-max-parts", "-1")]);
        assert_eq!(bad.err(), Some("InvalidArgument"));
    }
}
