//! ListParts (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html>).

use axum::body::Body;
use http::Response;
use rowlock_storage::ListPartsPage;

use crate::s3::S3Service;
use crate::s3::checksum;
use crate::s3::encode::{iso, listed};
use crate::s3::error::S3Error;
use crate::s3::request::S3Request;
use crate::s3::response::xml;
use crate::s3::xml::Xml;

const MAX_PARTS: usize = 1000;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let (bucket, key, upload) = (request.bucket()?, request.key()?, request.upload_id()?);
    let max = request.query.count("max-parts", MAX_PARTS, MAX_PARTS)?;
    let after = request.query.count("part-number-marker", 0, i32::MAX as usize)?;
    let after = u32::try_from(after).unwrap_or(u32::MAX);
    let url = request.query.url_encoding()?;
    let page =
        s3.storage().list_parts(&request.context(), &bucket, &key, &upload, after, max).await?;
    let mut out = Xml::new("ListPartsResult");
    out.text("Bucket", bucket.as_str())
        .text("Key", &listed(key.as_str(), url))
        .text("UploadId", upload.as_str());
    if url {
        out.text("EncodingType", "url");
    }
    write(&mut out, &page, after, max, s3.tenant());
    Ok(xml(out))
}

/// An upload without an owner belongs to the tenant.
fn write(out: &mut Xml, page: &ListPartsPage, after: u32, max: usize, tenant: &str) {
    let owner = page.owner.as_deref().unwrap_or(tenant);
    out.open("Initiator").text("ID", owner).close();
    out.open("Owner").text("ID", owner).close();
    out.text("StorageClass", "STANDARD").value("PartNumberMarker", after);
    if let Some(last) = page.parts.last() {
        out.value("NextPartNumberMarker", last.number);
    }
    out.value("MaxParts", max).value("IsTruncated", page.truncated && max > 0);
    if let Some(wanted) = page.checksum {
        checksum::write_wanted(out, wanted);
    }
    for part in &page.parts {
        out.open("Part")
            .value("PartNumber", part.number)
            .text("LastModified", &iso(part.last_modified))
            .text("ETag", part.etag.as_str())
            .value("Size", part.size);
        checksum::write_part(out, part.checksum.as_ref());
        out.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_digest::{Algorithm, Checksum};
    use rowlock_storage::{Part, WantedChecksum};
    use rowlock_types::{ChecksumType, ETag};
    use time::macros::datetime;

    #[test]
    fn a_page() {
        let page = ListPartsPage {
            parts: vec![Part {
                number: 3,
                etag: ETag::new("abc"),
                size: 5,
                last_modified: datetime!(2026-11-24 02:04:02.635 UTC),
                checksum: Checksum::parse(Algorithm::Crc32, "y/Q5Jg==").ok(),
            }],
            truncated: true,
            owner: None,
            checksum: Some(WantedChecksum {
                algorithm: Algorithm::Crc32,
                kind: ChecksumType::Composite,
            }),
        };
        let mut out = Xml::bare();
        write(&mut out, &page, 2, 1, "stub");
        let text = out.finish();
        assert!(text.ends_with("<Initiator><ID>stub</ID></Initiator><Owner><ID>stub</ID></Owner><StorageClass>STANDARD</StorageClass><PartNumberMarker>2</PartNumberMarker><NextPartNumberMarker>3</NextPartNumberMarker><MaxParts>1</MaxParts><IsTruncated>true</IsTruncated><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType><Part><PartNumber>3</PartNumber><LastModified>2026-11-24T02:04:02.635Z</LastModified><ETag>\"abc\"</ETag><Size>5</Size><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part>"), "{text}");
    }
}
