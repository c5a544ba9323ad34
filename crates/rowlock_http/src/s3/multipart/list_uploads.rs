//! ListMultipartUploads
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>).

use axum::body::Body;
use http::Response;
use rowlock_storage::{ListUploadsPage, ListUploadsQuery, UploadsEntry};

use crate::s3::S3Service;
use crate::s3::checksum;
use crate::s3::encode::{iso, listed};
use crate::s3::error::S3Error;
use crate::s3::request::S3Request;
use crate::s3::response::xml;
use crate::s3::xml::Xml;

const MAX_UPLOADS: usize = 1000;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let text = |name: &str| request.query.get(name).unwrap_or_default().to_owned();
    let query = ListUploadsQuery {
        bucket: request.bucket()?,
        prefix: text("prefix"),
        delimiter: text("delimiter"),
        key_marker: text("key-marker"),
        upload_id_marker: text("upload-id-marker"),
        max_uploads: request.query.count("max-uploads", MAX_UPLOADS, MAX_UPLOADS)?,
    };
    let url = request.query.url_encoding()?;
    let page = s3.storage().list_uploads(&request.context(), &query).await?;
    Ok(xml(render(&query, url, &page, s3.tenant())))
}

/// `Bucket` is AWS's name, `Name` and `KeyCount` are the reference's: both kinds of reader find
/// theirs. An upload without an owner belongs to the tenant.
fn render(query: &ListUploadsQuery, url: bool, page: &ListUploadsPage, tenant: &str) -> Xml {
    let truncated = page.truncated && query.max_uploads > 0;
    let mut out = Xml::new("ListMultipartUploadsResult");
    out.text("Bucket", query.bucket.as_str())
        .text("Name", query.bucket.as_str())
        .text("KeyMarker", &listed(&query.key_marker, url))
        .text("UploadIdMarker", &query.upload_id_marker);
    match page.entries.last().filter(|_| truncated) {
        Some(UploadsEntry::Upload(last)) => {
            out.text("NextKeyMarker", &listed(&last.key, url))
                .text("NextUploadIdMarker", &last.upload_id);
        }
        Some(UploadsEntry::Prefix(last)) => {
            out.text("NextKeyMarker", &listed(last, url)).text("NextUploadIdMarker", "");
        }
        None => {}
    }
    out.text("Prefix", &listed(&query.prefix, url));
    if !query.delimiter.is_empty() {
        out.text("Delimiter", &listed(&query.delimiter, url));
    }
    if url {
        out.text("EncodingType", "url");
    }
    out.value("MaxUploads", query.max_uploads)
        .value("KeyCount", page.entries.len())
        .value("IsTruncated", truncated);
    for entry in &page.entries {
        let UploadsEntry::Upload(upload) = entry else { continue };
        let owner = upload.owner.as_deref().unwrap_or(tenant);
        out.open("Upload")
            .text("Key", &listed(&upload.key, url))
            .text("UploadId", &upload.upload_id);
        out.open("Initiator").text("ID", owner).close();
        out.open("Owner").text("ID", owner).close();
        out.text("StorageClass", "STANDARD").text("Initiated", &iso(upload.initiated));
        checksum::write_wanted(&mut out, upload.checksum);
        out.close();
    }
    for entry in &page.entries {
        if let UploadsEntry::Prefix(prefix) = entry {
            out.open("CommonPrefixes").text("Prefix", &listed(prefix, url)).close();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_storage::UploadSummary;
    use rowlock_types::BucketName;
    use time::macros::datetime;

    #[test]
    fn a_page() {
        let query = ListUploadsQuery {
            bucket: BucketName::existing("b").unwrap(),
            prefix: "p".to_owned(),
            delimiter: "/".to_owned(),
            key_marker: String::new(),
            upload_id_marker: String::new(),
            max_uploads: 2,
        };
        let upload = UploadSummary {
            key: "p a".to_owned(),
            upload_id: "u1".to_owned(),
            initiated: datetime!(2026-11-24 02:04:02.635 UTC),
            owner: Some("me".to_owned()),
            checksum: rowlock_storage::DEFAULT_CHECKSUM,
        };
        let mut page = ListUploadsPage {
            entries: vec![UploadsEntry::Prefix("p/".to_owned()), UploadsEntry::Upload(upload)],
            truncated: true,
        };
        let text = render(&query, true, &page, "stub").finish();
        for part in [
            "<Bucket>b</Bucket>",
            "<NextKeyMarker>p%20a</NextKeyMarker><NextUploadIdMarker>u1</NextUploadIdMarker>",
            "<IsTruncated>true</IsTruncated>",
            "<Upload><Key>p%20a</Key><UploadId>u1</UploadId><Initiator><ID>me</ID></Initiator>",
            "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType></Upload>",
            "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        page.truncated = false;
        assert!(!render(&query, true, &page, "stub").finish().contains("NextKeyMarker"));
    }
}
