//! PostObject: an upload by an HTML form
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>). The form itself is
//! signed, by a policy in one of its fields; there is no other signature.

pub(super) mod form;
pub(super) mod stream;

use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use http::{Response, StatusCode, Uri};
use rowlock_sigv4::{FormFields, PostClaim, UploadedForm, encode_path, encode_value};
use rowlock_storage::{Context, NewObject, Uploaded, WriteCondition};
use rowlock_types::{BucketName, KeyRules, ObjectKey, Operation};
use time::OffsetDateTime;

pub(crate) use form::boundary_of;

use super::S3Service;
use super::body;
use super::checksum;
use super::error::S3Error;
use super::object_headers::Described;
use super::path::Named;
use super::response::{Ids, empty, set, xml};
use super::unsupported;
use super::xml::Xml;
use crate::gateway::RouteInfo;
use crate::request_info::request_info;
use crate::server::refuse_early;
use form::{Form, headers};
use stream::Source;

/// Answers a request that is a form. Never fails: every error becomes an S3 error.
pub(crate) async fn serve(
    s3: &S3Service,
    (parts, body): (&Parts, Body),
    boundary: Result<String, S3Error>,
    route: &RouteInfo,
    ids: &Ids,
) -> Response<Body> {
    let source = Source::new(body);
    let response = match handle(s3, parts, &source, boundary, route).await {
        Ok(mut response) => {
            ids.put(response.headers_mut());
            response
        }
        Err(error) => error.into_response(route.rest(), ids, false),
    };
    refuse_early(source.take(), response)
}

async fn handle(
    s3: &S3Service,
    parts: &Parts,
    source: &Source,
    boundary: Result<String, S3Error>,
    route: &RouteInfo,
) -> Result<Response<Body>, S3Error> {
    let named = Named::parse(route.rest()).filter(|named| named.key.is_empty());
    let named = named.ok_or_else(|| {
        S3Error::new(
            super::error::code::METHOD_NOT_ALLOWED,
            "The specified method is not allowed against this resource.",
        )
    })?;
    let bucket = BucketName::existing(&named.bucket)?;
    unsupported::check(&parts.headers, false, s3.tenant())?;
    let form = Form::read(source, boundary?).await?;
    let now = OffsetDateTime::now_utc();
    let claim = PostClaim::read(&form.fields)?
        .ok_or_else(|| S3Error::access_denied("Missing signature"))?;
    let (caller, policy) = s3.keyring().authenticate_form(&claim, now)?;
    policy.check(UploadedForm { bucket: bucket.as_str(), fields: &form.fields }, now)?;

    let fields = form.fields.clone();
    let answer = Answer::read(&fields)?;
    let headers = headers(&fields)?;
    unsupported::check(&headers, false, s3.tenant())?;
    let mut expected = body::said(&headers)?;
    expected.length = None;
    let key = key(&fields)?;
    let Described { content_type, cache_control, user_metadata, extra } =
        Described::read(&headers)?;
    let new = NewObject {
        bucket: bucket.clone(),
        key: key.clone(),
        content_type,
        cache_control,
        user_metadata,
        extra,
        content_length: None,
        condition: WriteCondition::None,
    };
    let context = Context {
        caller: Arc::new(caller),
        request: Arc::new(request_info(parts)),
        operation: Operation::S3Upload,
    };
    let upload = s3.storage().begin_upload(&context, new).await?;
    let file = form.into_stream(policy.length_range());
    let stored = upload.receive(file, expected.or_default_checksum()).await?;
    let url = format!("{}/{}", url_of(parts, route), encode_path(key.as_str()));
    Ok(answer.render(&bucket, &key, &stored, &url))
}

fn key(fields: &FormFields) -> Result<ObjectKey, S3Error> {
    const MISSING: &str = "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields.";
    match fields.get("key") {
        None => Err(S3Error::invalid_argument("key", "", MISSING)),
        Some("") => {
            Err(S3Error::invalid_argument("key", "", "User key must have a length greater than 0."))
        }
        Some(key) => Ok(ObjectKey::new(key, KeyRules::Utf8)?),
    }
}

/// The URL that the form was sent to, as far as can be told.
fn url_of(parts: &Parts, route: &RouteInfo) -> String {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    let host = text("host").unwrap_or_default();
    format!("{scheme}://{host}{}", route.raw_path.trim_end_matches('/'))
}

/// How the form wants to be answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Redirect(String),
    Status(StatusCode),
}

impl Answer {
    /// A redirect wins; one that is no URL of the web, and a status that AWS does not give, count
    /// as absent.
    fn read(fields: &FormFields) -> Result<Self, S3Error> {
        let redirect = fields.get("success_action_redirect").or(fields.get("redirect"));
        let of_the_web = |url: &&str| {
            let scheme =
                url.parse::<Uri>().ok().and_then(|uri| uri.scheme_str().map(str::to_owned));
            matches!(scheme.as_deref(), Some("http" | "https"))
        };
        if let Some(url) = redirect.filter(of_the_web) {
            return Ok(Self::Redirect(url.to_owned()));
        }
        Ok(Self::Status(match fields.get("success_action_status") {
            Some("200") => StatusCode::OK,
            Some("201") => StatusCode::CREATED,
            _ => StatusCode::NO_CONTENT,
        }))
    }

    fn render(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        stored: &Uploaded,
        url: &str,
    ) -> Response<Body> {
        let mut response = match self {
            Self::Redirect(target) => {
                let mut response = empty(StatusCode::SEE_OTHER);
                let sign = if target.contains('?') { '&' } else { '?' };
                let query = format!(
                    "bucket={}&key={}&etag={}",
                    encode_value(bucket.as_str()),
                    encode_value(key.as_str()),
                    encode_value(stored.etag.as_str())
                );
                set(response.headers_mut(), "location", &format!("{target}{sign}{query}"));
                response
            }
            Self::Status(StatusCode::CREATED) => {
                let mut out = Xml::bare();
                out.open("PostResponse")
                    .text("Location", url)
                    .text("Bucket", bucket.as_str())
                    .text("Key", key.as_str())
                    .text("ETag", stored.etag.as_str());
                let mut response = xml(out);
                *response.status_mut() = StatusCode::CREATED;
                set(response.headers_mut(), "location", url);
                response
            }
            Self::Status(status) => {
                let mut response = empty(*status);
                set(response.headers_mut(), "location", url);
                response
            }
        };
        set(response.headers_mut(), "etag", stored.etag.as_str());
        if let Some(sum) = &stored.checksum {
            checksum::put(response.headers_mut(), sum);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_types::{ETag, Version};

    fn answer(pairs: &[(&str, &str)]) -> Answer {
        let mut fields = FormFields::default();
        for (name, value) in pairs {
            fields.push(name, (*value).to_owned()).unwrap();
        }
        Answer::read(&fields).unwrap()
    }

    fn render(answer: &Answer) -> Response<Body> {
        let key = ObjectKey::new("a b", KeyRules::Utf8).unwrap();
        let stored = Uploaded {
            etag: ETag::new("abc"),
            size: 1,
            version: Version::random(),
            last_modified: OffsetDateTime::UNIX_EPOCH,
            checksum: None,
        };
        answer.render(&BucketName::existing("b").unwrap(), &key, &stored, "http://h/s3/b/a%20b")
    }

    #[test]
    fn statuses() {
        for (status, wanted) in [("200", 200), ("201", 201), ("204", 204), ("404", 204)] {
            let response = render(&answer(&[("success_action_status", status)]));
            assert_eq!(response.status(), wanted);
            assert_eq!(response.headers()["etag"], "\"abc\"");
            assert_eq!(response.headers()["location"], "http://h/s3/b/a%20b");
        }
        assert_eq!(render(&answer(&[])).status(), 204);
    }

    #[test]
    fn redirects() {
        let to = |url: &str| {
            let both = [("success_action_redirect", url), ("success_action_status", "201")];
            let response = render(&answer(&both));
            let location = response.headers()["location"].to_str().unwrap().to_owned();
            (response.status().as_u16(), location)
        };
        let query = "bucket=b&key=a%20b&etag=%22abc%22";
        assert_eq!(to("https://h/done"), (303, format!("https://h/done?{query}")));
        assert_eq!(to("http://h/done?a=1"), (303, format!("http://h/done?a=1&{query}")));
        assert_eq!(to("javascript:alert(1)").0, 201);
        assert_eq!(answer(&[("redirect", "http://h/")]), Answer::Redirect("http://h/".to_owned()));
    }
}
