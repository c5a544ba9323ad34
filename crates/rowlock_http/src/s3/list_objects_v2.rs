//! ListObjectsV2 (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>).

use axum::body::Body;
use http::Response;
use rowlock_storage::{ListPage, ListQuery};

use super::S3Service;
use super::encode::listed;
use super::error::S3Error;
use super::listing::{Parameters, decode_token, encode_token, write_entries};
use super::request::S3Request;
use super::response::xml;
use super::xml::Xml;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let parameters = Parameters::read(request)?;
    let token = match request.query.get("continuation-token") {
        None => None,
        Some(token) => Some((token, decode_token(token)?)),
    };
    let start_after = request.query.filled("start-after");
    let after = token.as_ref().map(|(_, last)| last.as_str()).or(start_after);
    let query = ListQuery {
        bucket: request.bucket()?,
        prefix: parameters.prefix.clone(),
        delimiter: parameters.delimiter.clone(),
        after: after.unwrap_or_default().to_owned(),
        max_keys: parameters.max_keys,
    };
    let page = s3.storage().list_objects(&request.context(), &query).await?;
    let with_owner =
        request.query.get("fetch-owner").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let asked = Asked {
        bucket: &request.bucket,
        parameters: &parameters,
        token: token.as_ref().map(|(token, _)| *token),
        start_after,
        owner: with_owner.then(|| s3.tenant()),
    };
    Ok(xml(render(&asked, &page)))
}

struct Asked<'a> {
    bucket: &'a str,
    parameters: &'a Parameters,
    token: Option<&'a str>,
    start_after: Option<&'a str>,
    owner: Option<&'a str>,
}

fn render(asked: &Asked<'_>, page: &ListPage) -> Xml {
    let Parameters { max_keys, url, .. } = *asked.parameters;
    let truncated = page.truncated && max_keys > 0;
    let mut out = Xml::new("ListBucketResult");
    out.text("Name", asked.bucket);
    asked.parameters.write(&mut out);
    out.value("KeyCount", page.entries.len()).value("IsTruncated", truncated);
    out.optional("ContinuationToken", asked.token);
    if let Some(last) = page.entries.last().filter(|_| truncated) {
        out.text("NextContinuationToken", &encode_token(last.name()));
    }
    out.optional("StartAfter", asked.start_after.map(|text| listed(text, url)).as_deref());
    write_entries(&mut out, page, url, asked.owner);
    out
}

#[cfg(test)]
mod tests {
    use super::super::listing::tests::page;
    use super::*;

    #[test]
    fn a_page() {
        let parameters = Parameters {
            prefix: String::new(),
            delimiter: "/".to_owned(),
            max_keys: 2,
            url: false,
        };
        let mut asked = Asked {
            bucket: "b",
            parameters: &parameters,
            token: None,
            start_after: None,
            owner: None,
        };
        let text = render(&asked, &page(true)).finish();
        let next = encode_token("k/ü/");
        assert!(text.contains(&format!("<Name>b</Name><Prefix/><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken><Contents>")), "{text}");
        assert!(!text.contains("<Owner>"), "{text}");
        asked.token = Some("t");
        asked.start_after = Some("s");
        asked.owner = Some("stub");
        let text = render(&asked, &page(false)).finish();
        for part in [
            "<ContinuationToken>t</ContinuationToken>",
            "<StartAfter>s</StartAfter>",
            "<Owner><ID>me</ID></Owner>",
            "<IsTruncated>false</IsTruncated>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("NextContinuationToken"), "{text}");
    }
}
