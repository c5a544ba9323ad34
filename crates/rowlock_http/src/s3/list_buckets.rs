//! ListBuckets (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html>).

use axum::body::Body;
use http::Response;
use rowlock_storage::Bucket;

use super::S3Service;
use super::encode::iso;
use super::error::S3Error;
use super::listing::{decode_token, encode_token};
use super::request::S3Request;
use super::response::xml;
use super::xml::Xml;

const MAX_BUCKETS: usize = 10_000;

pub(crate) async fn handle(s3: &S3Service, request: &S3Request) -> Result<Response<Body>, S3Error> {
    let query = &request.query;
    let max = query.count("max-buckets", usize::MAX, MAX_BUCKETS)?;
    if query.filled("max-buckets").is_some() && max == 0 {
        return Err(S3Error::invalid_argument(
            "max-buckets",
            "0",
            "Argument max-buckets must be an integer between 1 and 10000",
        ));
    }
    let after = query.filled("continuation-token").map(decode_token).transpose()?;
    let prefix = query.get("prefix").unwrap_or_default();
    let elsewhere = query.filled("bucket-region").is_some_and(|region| region != s3.region());
    let buckets: Vec<Bucket> = s3
        .storage()
        .list_buckets(&request.context())
        .await?
        .into_iter()
        .filter(|bucket| !elsewhere && bucket.name.as_str().starts_with(prefix))
        .filter(|bucket| after.as_deref().is_none_or(|after| bucket.name.as_str() > after))
        .collect();
    Ok(xml(render(&buckets, max, prefix, s3.tenant())))
}

fn render(buckets: &[Bucket], max: usize, prefix: &str, owner: &str) -> Xml {
    let mut buckets: Vec<&Bucket> = buckets.iter().collect();
    buckets.sort_by(|a, b| a.name.cmp(&b.name));
    let more = buckets.len() > max;
    buckets.truncate(max);
    let mut out = Xml::new("ListAllMyBucketsResult");
    out.open("Owner").text("ID", owner).close();
    if buckets.is_empty() {
        out.text("Buckets", "");
    } else {
        out.open("Buckets");
        for bucket in &buckets {
            out.open("Bucket")
                .text("Name", bucket.name.as_str())
                .text("CreationDate", &iso(bucket.created_at))
                .close();
        }
        out.close();
    }
    if !prefix.is_empty() {
        out.text("Prefix", prefix);
    }
    if let Some(last) = buckets.last().filter(|_| more) {
        out.text("ContinuationToken", &encode_token(last.name.as_str()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_types::BucketName;
    use time::macros::datetime;

    #[test]
    fn pages_by_name() {
        let bucket = |name: &str| Bucket {
            name: BucketName::existing(name).unwrap(),
            created_at: datetime!(2026-11-24 02:04:02.635 UTC),
            public: false,
        };
        let buckets = [bucket("b"), bucket("a"), bucket("c")];
        let page = render(&buckets, 2, "", "stub").finish();
        let (a, b) = (page.find("<Name>a</Name>").unwrap(), page.find("<Name>b</Name>").unwrap());
        assert!(a < b && !page.contains("<Name>c</Name>"), "{page}");
        assert!(page.contains("<CreationDate>2026-11-24T02:04:02.635Z</CreationDate>"));
        assert!(page.contains(&format!("<ContinuationToken>{}<", encode_token("b"))), "{page}");
        assert!(render(&[], 2, "", "stub").finish().contains("<Buckets/>"));
        assert!(!render(&buckets, 3, "", "stub").finish().contains("ContinuationToken"));
    }
}
