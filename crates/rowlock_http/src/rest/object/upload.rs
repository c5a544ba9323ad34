//! `POST` and `PUT /object/{bucket}/{key}`: an object in a raw body, or as the first file of a
//! form.

use axum::body::Body;
use http::{Response, header};
use rowlock_storage::{
    Context, Expected, FOLDER_PLACEHOLDER, NewObject, OwnMetadata, Stored, Upload, UploadStream,
    WriteCondition,
};
use rowlock_types::{BucketName, ObjectKey, RowlockMetadata, UserMetadata};
use serde_json::json;

use super::form::{self, Form};
use super::metadata;
use crate::rest::RestService;
use crate::rest::body::RequestBody;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::response;

pub(crate) async fn handle(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
    replaces: bool,
) -> Result<Response<Body>, RestError> {
    let replaces = replaces || request.upsert();
    let target = Target {
        context: request.context(),
        bucket: request.bucket()?,
        key: request.key()?,
        condition: if replaces { WriteCondition::None } else { WriteCondition::Create },
    };
    let stored = receive(rest, request, body, target).await?;
    response::json(&json!({
        "Key": format!("{}/{}", request.bucket, request.key),
        "Id": stored.id.to_string(),
    }))
}

/// Where an upload goes, and as whom.
pub(crate) struct Target {
    pub(crate) context: Context,
    pub(crate) bucket: BucketName,
    pub(crate) key: ObjectKey,
    pub(crate) condition: WriteCondition,
}

/// Stores the body of a request, whichever form it has.
///
/// # Errors
/// What stops the upload: early where it can be known before the bytes come.
pub(crate) async fn receive(
    rest: &RestService,
    request: &RestRequest,
    body: &mut RequestBody,
    target: Target,
) -> Result<Stored, RestError> {
    match form::boundary(&request.headers)? {
        Some(boundary) => {
            let form = form::read(body, boundary).await?;
            let described = Described::of_form(request, &form)?;
            let upload = begin(rest, target, described).await?;
            Ok(upload.store(form.file, Expected::default()).await?)
        }
        None => {
            let upload = begin(rest, target, Described::of_raw(request, body)?).await?;
            let expected = Expected { length: body.length(), ..Expected::default() };
            let stream: UploadStream = body.open();
            Ok(upload.store(stream, expected).await?)
        }
    }
}

async fn begin(
    rest: &RestService,
    target: Target,
    described: Described,
) -> Result<Upload, RestError> {
    let Described { content_type, cache_control, content_length, own } = described;
    // Folders that SDKs and dashboards make are empty; more would be hidden data.
    let is_folder = target.key.as_str().rsplit('/').next() == Some(FOLDER_PLACEHOLDER);
    if is_folder && content_length.is_some_and(|length| length > 0) {
        return Err(RestError::entity_too_large());
    }
    let new = NewObject {
        bucket: target.bucket,
        key: target.key,
        content_type,
        cache_control,
        user_metadata: UserMetadata::new(),
        extra: RowlockMetadata::default(),
        content_length,
        condition: target.condition,
    };
    let upload = rest.storage().begin_upload_with(&target.context, new, own).await?;
    Ok(if is_folder { upload.at_most(0) } else { upload })
}

/// What a request says about the object that it brings.
struct Described {
    content_type: Option<String>,
    cache_control: Option<String>,
    content_length: Option<u64>,
    own: OwnMetadata,
}

impl Described {
    /// `Cache-Control` is stored as it came.
    fn of_raw(request: &RestRequest, body: &RequestBody) -> Result<Self, RestError> {
        let filled = |name| request.header(name).filter(|text| !text.is_empty());
        Ok(Self {
            content_type: filled(header::CONTENT_TYPE.as_str()).map(str::to_owned),
            cache_control: filled(header::CACHE_CONTROL.as_str()).map(str::to_owned),
            content_length: body.length(),
            own: OwnMetadata {
                user_metadata: metadata::of_header(request.header("x-metadata"))?,
                robots: filled("x-robots-tag").map(str::to_owned),
            },
        })
    }

    /// A form's `cacheControl` is seconds.
    fn of_form(request: &RestRequest, form: &Form) -> Result<Self, RestError> {
        let metadata = match form.text("metadata") {
            Some(text) => metadata::of_text(text)?,
            None => metadata::of_header(request.header("x-metadata"))?,
        };
        let seconds = for_header("cacheControl", form.text("cacheControl"))?;
        let kind = for_header("contentType", form.text("contentType"))?;
        Ok(Self {
            content_type: kind.map(str::to_owned).or(form.content_type.clone()),
            cache_control: seconds.map(|seconds| format!("max-age={seconds}")),
            content_length: None,
            own: OwnMetadata {
                user_metadata: metadata,
                robots: request.header("x-robots-tag").map(str::to_owned),
            },
        })
    }
}

/// A field whose text later becomes a header, of an answer or of a request to an S3 service.
///
/// # Errors
/// InvalidRequest for what no header can carry.
fn for_header<'a>(name: &str, text: Option<&'a str>) -> Result<Option<&'a str>, RestError> {
    match text.filter(|text| http::HeaderValue::from_str(text).is_err()) {
        Some(_) => Err(RestError::invalid(format!("body/{name} is no text of a header"))),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::for_header;

    #[test]
    fn fields_that_no_header_can_carry_are_refused() {
        assert_eq!(for_header("f", None).unwrap(), None);
        assert_eq!(for_header("f", Some("text/plain; a=b")).unwrap(), Some("text/plain; a=b"));
        for bad in ["a\r\nb: c", "\0"] {
            assert_eq!(for_header("f", Some(bad)).unwrap_err().code(), "InvalidRequest", "{bad:?}");
        }
    }
}
