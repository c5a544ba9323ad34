//! ListObjects, the first version
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html>).

use axum::body::Body;
use http::Response;
use rowlock_storage::{ListPage, ListQuery};

use super::S3Service;
use super::encode::listed;
use super::error::S3Error;
use super::listing::{Parameters, write_entries};
use super::request::S3Request;
use super::response::xml;
use super::xml::Xml;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let parameters = Parameters::read(request)?;
    let marker = request.query.get("marker").unwrap_or_default();
    let query = ListQuery {
        bucket: request.bucket()?,
        prefix: parameters.prefix.clone(),
        delimiter: parameters.delimiter.clone(),
        after: marker.to_owned(),
        max_keys: parameters.max_keys,
    };
    let page = s3.storage().list_objects(&request.context(), &query).await?;
    Ok(xml(render(&request.bucket, &parameters, marker, &page, s3.tenant())))
}

fn render(
    bucket: &str,
    parameters: &Parameters,
    marker: &str,
    page: &ListPage,
    tenant: &str,
) -> Xml {
    let truncated = page.truncated && parameters.max_keys > 0;
    let mut out = Xml::new("ListBucketResult");
    out.text("Name", bucket);
    out.text("Marker", &listed(marker, parameters.url));
    parameters.write(&mut out);
    out.value("IsTruncated", truncated);
    // Without a delimiter the last key is the marker, and AWS leaves this element out.
    if let Some(last) =
        page.entries.last().filter(|_| truncated && !parameters.delimiter.is_empty())
    {
        out.text("NextMarker", &listed(last.name(), parameters.url));
    }
    write_entries(&mut out, page, parameters.url, Some(tenant));
    out
}

#[cfg(test)]
mod tests {
    use super::super::listing::tests::page;
    use super::*;

    fn parameters(delimiter: &str, url: bool) -> Parameters {
        Parameters { prefix: "k".to_owned(), delimiter: delimiter.to_owned(), max_keys: 2, url }
    }

    #[test]
    fn next_marker_only_with_a_delimiter() {
        let text = render("b", &parameters("/", false), "", &page(true), "stub").finish();
        assert!(text.contains("<Name>b</Name><Marker/><Prefix>k</Prefix><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter><IsTruncated>true</IsTruncated><NextMarker>k/ü/</NextMarker>"), "{text}");
        let text = render("b", &parameters("", false), "m", &page(true), "stub").finish();
        assert!(text.contains("<Marker>m</Marker>") && !text.contains("NextMarker"), "{text}");
        let text = render("b", &parameters("/", true), "", &page(true), "stub").finish();
        assert!(text.contains("<NextMarker>k/%C3%BC/</NextMarker>"), "{text}");
        let text = render("b", &parameters("/", false), "", &page(false), "stub").finish();
        assert!(text.contains("<IsTruncated>false</IsTruncated>") && !text.contains("NextMarker"));
    }
}
