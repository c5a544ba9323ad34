//! Multipart forms (RFC 7578): texts first, then the file, whatever its field is called.

use futures_util::StreamExt;
use http::{HeaderMap, header};
use multer::{Field, Multipart};
use rowlock_storage::{BodyError, UploadStream};

use crate::rest::body::{BodyFault, RequestBody};
use crate::rest::error::RestError;

/// How many fields may come before the file.
const MOST_FIELDS: usize = 10;

/// The largest text field in bytes: user metadata may be that large.
const MOST_TEXT: usize = 1024 * 1024 + 1;

/// A form whose file is about to be read.
pub(crate) struct Form {
    texts: Vec<(String, String)>,
    /// The file's content type, as the form has it.
    pub(crate) content_type: Option<String>,
    /// The file's bytes. What follows it in the form is not looked at.
    pub(crate) file: UploadStream,
}

impl Form {
    /// A text field that came before the file.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The boundary of a form; nothing where the body is no form.
///
/// # Errors
/// InvalidRequest for a form without a good boundary.
pub(crate) fn boundary(headers: &HeaderMap) -> Result<Option<String>, RestError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(kind) = kind.filter(|kind| is_form(kind)) else { return Ok(None) };
    multer::parse_boundary(kind).map(Some).map_err(|error| invalid(&error))
}

fn is_form(kind: &str) -> bool {
    let bare = kind.split(';').next().unwrap_or("").trim();
    bare.eq_ignore_ascii_case("multipart/form-data")
}

/// Reads a form up to its first file.
///
/// # Errors
/// InvalidRequest for a broken form or one without a file.
pub(crate) async fn read(body: &mut RequestBody, boundary: String) -> Result<Form, RestError> {
    let mut parts: Multipart<'static> = Multipart::new(body.take(), boundary);
    let mut texts = Vec::new();
    while let Some(field) = parts.next_field().await.map_err(|error| invalid(&error))? {
        if is_file(&field) {
            let content_type = field.content_type().map(ToString::to_string);
            return Ok(Form { texts, content_type, file: stream(field) });
        }
        if texts.len() == MOST_FIELDS {
            return Err(RestError::invalid("reach fields limit"));
        }
        let name = field.name().unwrap_or_default().to_owned();
        texts.push((name, text(field).await?));
    }
    Err(RestError::new(400, "InvalidRequest", "No content provided"))
}

/// A part with a file name is a file, as is one that says it is bytes.
fn is_file(field: &Field<'_>) -> bool {
    field.file_name().is_some()
        || field.content_type().is_some_and(|kind| kind.essence_str() == "application/octet-stream")
}

async fn text(mut field: Field<'static>) -> Result<String, RestError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| invalid(&error))? {
        if bytes.len() + chunk.len() > MOST_TEXT {
            return Err(RestError::entity_too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| RestError::invalid("a field of the form is no UTF-8"))
}

fn stream(field: Field<'static>) -> UploadStream {
    field.map(|chunk| chunk.map_err(|error| BodyError(Box::new(invalid(&error))))).boxed()
}

/// What is wrong with a form: its own fault, or that of the body that brought it.
fn invalid(error: &multer::Error) -> RestError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(fault) = at.downcast_ref::<BodyFault>() {
            return (*fault).into();
        }
        cause = at.source();
    }
    RestError::invalid(format!("body is no multipart form: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    async fn form(text: &'static str) -> Result<Form, RestError> {
        let mut body = RequestBody::new(Body::from(text), &HeaderMap::new());
        read(&mut body, "B".to_owned()).await
    }

    async fn file(form: Form) -> Result<Vec<u8>, BodyError> {
        let mut bytes = Vec::new();
        let mut file = form.file;
        while let Some(chunk) = file.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn the_first_file_wins() {
        let form = form(
            "--B\r\nContent-Disposition: form-data; name=\"cacheControl\"\r\n\r\n60\r\n\
             --B\r\nContent-Disposition: form-data; name=\"\"; filename=\"f\"\r\nContent-Type: text/plain\r\n\r\none\r\n\
             --B\r\nContent-Disposition: form-data; name=\"x\"; filename=\"g\"\r\n\r\ntwo\r\n--B--\r\n",
        )
        .await
        .unwrap();
        assert_eq!(form.text("cacheControl"), Some("60"));
        assert_eq!(form.content_type.as_deref(), Some("text/plain"));
        assert_eq!(file(form).await.unwrap(), b"one");
    }

    #[tokio::test]
    async fn a_field_may_have_no_name() {
        let form =
            form("--B\r\nContent-Disposition: form-data; filename=\"f\"\r\n\r\none\r\n--B--\r\n")
                .await
                .unwrap();
        assert_eq!(form.content_type, None);
        assert_eq!(file(form).await.unwrap(), b"one");
    }

    #[tokio::test]
    async fn broken_forms_are_refused() {
        for text in [
            "",
            "--B--\r\n",
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n60\r\n--B--\r\n",
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n60",
            "no form at all",
        ] {
            assert_eq!(form(text).await.err().unwrap().code(), "InvalidRequest", "{text}");
        }
        let cut = "--B\r\nContent-Disposition: form-data; filename=\"f\"\r\n\r\non";
        assert!(file(form(cut).await.unwrap()).await.is_err());
    }

    #[tokio::test]
    async fn fields_are_counted() {
        let field = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        let end = "--B\r\nContent-Disposition: form-data; filename=\"f\"\r\n\r\none\r\n--B--\r\n";
        for (count, fine) in [(10, true), (11, false)] {
            let text = format!("{}{end}", field.repeat(count));
            let mut body = RequestBody::new(Body::from(text), &HeaderMap::new());
            assert_eq!(read(&mut body, "B".to_owned()).await.is_ok(), fine, "{count}");
        }
    }

    #[test]
    fn boundaries() {
        let of = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", kind.parse().unwrap());
            boundary(&headers)
        };
        assert_eq!(of("multipart/form-data; boundary=BB").unwrap().as_deref(), Some("BB"));
        assert_eq!(of("text/plain").unwrap(), None);
        assert!(of("multipart/form-data").is_err());
    }
}
