//! ListObjectVersions
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>) of a bucket
//! that never had versions: every object is its own latest version, with the id `null`.

use axum::body::Body;
use http::Response;
use rowlock_storage::{ListEntry, ListPage, ListQuery};

use super::S3Service;
use super::checksum;
use super::encode::{iso, listed};
use super::error::S3Error;
use super::listing::Parameters;
use super::request::S3Request;
use super::response::xml;
use super::xml::Xml;

const VERSION: &str = "null";

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let parameters = Parameters::read(request)?;
    let marker = request.query.get("key-marker").unwrap_or_default();
    let version = request.query.get("version-id-marker").unwrap_or_default();
    if marker.is_empty() && !version.is_empty() {
        return Err(S3Error::invalid_argument(
            "version-id-marker",
            version,
            "A version-id marker cannot be specified without a key marker.",
        ));
    }
    let query = ListQuery {
        bucket: request.bucket()?,
        prefix: parameters.prefix.clone(),
        delimiter: parameters.delimiter.clone(),
        after: marker.to_owned(),
        max_keys: parameters.max_keys,
    };
    let page = s3.storage().list_objects(&request.context(), &query).await?;
    Ok(xml(render(&request.bucket, &parameters, (marker, version), &page, s3.tenant())))
}

fn render(
    bucket: &str,
    parameters: &Parameters,
    (marker, version): (&str, &str),
    page: &ListPage,
    tenant: &str,
) -> Xml {
    let (url, truncated) = (parameters.url, page.truncated && parameters.max_keys > 0);
    let mut out = Xml::new("ListVersionsResult");
    out.text("Name", bucket)
        .text("KeyMarker", &listed(marker, url))
        .text("VersionIdMarker", version);
    parameters.write(&mut out);
    out.value("IsTruncated", truncated);
    if let Some(last) = page.entries.last().filter(|_| truncated) {
        out.text("NextKeyMarker", &listed(last.name(), url)).text("NextVersionIdMarker", VERSION);
    }
    for entry in &page.entries {
        let ListEntry::Object { key, size, etag, last_modified, owner, checksum } = entry else {
            continue;
        };
        out.open("Version")
            .text("Key", &listed(key, url))
            .text("VersionId", VERSION)
            .value("IsLatest", true)
            .text("LastModified", &iso(*last_modified))
            .text("ETag", etag.as_str());
        checksum::write_kind(&mut out, checksum.as_ref());
        out.value("Size", size);
        out.open("Owner").text("ID", owner.as_deref().unwrap_or(tenant)).close();
        out.text("StorageClass", "STANDARD").close();
    }
    for entry in &page.entries {
        if let ListEntry::Prefix(prefix) = entry {
            out.open("CommonPrefixes").text("Prefix", &listed(prefix, url)).close();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::listing::tests::page;
    use super::*;

    #[test]
    fn every_object_is_its_latest_version() {
        let parameters = Parameters {
            prefix: "k".to_owned(),
            delimiter: "/".to_owned(),
            max_keys: 2,
            url: false,
        };
        let text = render("b", &parameters, ("j", "null"), &page(true), "stub").finish();
        for part in [
            "<Name>b</Name><KeyMarker>j</KeyMarker><VersionIdMarker>null</VersionIdMarker>",
            "<NextKeyMarker>k/ü/</NextKeyMarker><NextVersionIdMarker>null</NextVersionIdMarker>",
            "<Version><Key>k/a&amp;b.txt</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>",
            "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType><Size>5</Size><Owner><ID>me</ID></Owner><StorageClass>STANDARD</StorageClass></Version>",
            "<CommonPrefixes><Prefix>k/ü/</Prefix></CommonPrefixes>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let text = render("b", &parameters, ("", ""), &page(false), "stub").finish();
        assert!(!text.contains("NextKeyMarker"), "{text}");
    }
}
