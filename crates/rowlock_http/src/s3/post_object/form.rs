//! The form: its fields, and the file that ends it.

use futures_util::{StreamExt, stream};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use multer::{Constraints, Field, Multipart};
use rowlock_sigv4::FormFields;
use rowlock_storage::{BodyError, UploadStream};

use super::stream::Source;
use crate::s3::body_fault::BodyFault;
use crate::s3::error::{S3Error, code};
use crate::s3::tags;

/// The most bytes of all fields before the file.
const MAX_FIELDS: usize = 20 * 1024;

/// The boundary of a form's parts, where a request is a form and signed as one.
pub(crate) fn boundary_of(parts: &Parts) -> Option<Result<String, S3Error>> {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let kind = text(header::CONTENT_TYPE)?;
    let signed = text(header::AUTHORIZATION).is_some_and(|value| value.starts_with("AWS"));
    let is_form = kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data");
    let plain = parts.uri.query().unwrap_or_default().is_empty();
    if parts.method != Method::POST || !is_form || signed || !plain {
        return None;
    }
    Some(multer::parse_boundary(kind).map_err(|_| malformed()))
}

fn malformed() -> S3Error {
    S3Error::new(
        code::MALFORMED_POST_REQUEST,
        "The body of your POST request is not well-formed multipart/form-data.",
    )
}

/// A form whose file has begun.
pub(crate) struct Form {
    pub(crate) fields: FormFields,
    parser: Multipart<'static>,
    file: Field<'static>,
}

impl Form {
    /// Reads everything before the file's bytes. The file's name goes into the key.
    pub(crate) async fn read(source: &Source, boundary: String) -> Result<Self, S3Error> {
        let constraints = Constraints::new();
        let mut parser = Multipart::with_constraints(source.stream(), boundary, constraints);
        let mut fields = FormFields::default();
        let mut size = 0;
        loop {
            let field = parser.next_field().await.map_err(|error| of_parser(&error))?;
            let Some(mut field) = field else {
                return Err(S3Error::invalid_argument(
                    "file",
                    "0",
                    "POST requires exactly one file upload per request.",
                ));
            };
            source.found();
            let name = field.name().ok_or_else(malformed)?.to_owned();
            if name.eq_ignore_ascii_case("file") {
                source.file_begins();
                let file_name = field.file_name().unwrap_or_default();
                // Old browsers send the whole path.
                fields.insert_file_name(file_name.rsplit(['/', '\\']).next().unwrap_or_default());
                return Ok(Self { fields, parser, file: field });
            }
            size += name.len();
            let mut value = Vec::new();
            while let Some(piece) = field.chunk().await.map_err(|error| of_parser(&error))? {
                source.found();
                size += piece.len();
                if size > MAX_FIELDS {
                    return Err(BodyFault::FormTooLarge.into());
                }
                value.extend_from_slice(&piece);
            }
            let value = String::from_utf8(value).map_err(|_| malformed())?;
            fields.push(&name, value)?;
        }
    }

    /// The file's bytes; what follows it is read and forgotten. A file outside the range (bytes)
    /// ends in an error, so that nothing of it is stored.
    pub(crate) fn into_stream(self, range: Option<(u64, u64)>) -> UploadStream {
        struct Reading {
            parser: Multipart<'static>,
            file: Option<Field<'static>>,
            size: u64,
        }
        let (least, most) = range.unwrap_or((0, u64::MAX));
        let start = Reading { parser: self.parser, file: Some(self.file), size: 0 };
        let failed = |fault: BodyFault| BodyError(Box::new(fault));
        stream::try_unfold(start, move |mut reading| async move {
            let Some(file) = &mut reading.file else { return Ok(None) };
            if let Some(piece) = file.chunk().await.map_err(|e| failed(fault_in(&e)))? {
                reading.size += piece.len() as u64;
                if reading.size > most {
                    return Err(failed(BodyFault::FileTooLarge { most }));
                }
                return Ok(Some((piece, reading)));
            }
            reading.file = None;
            if reading.size < least {
                return Err(failed(BodyFault::FileTooSmall { least, size: reading.size }));
            }
            while let Some(mut field) =
                reading.parser.next_field().await.map_err(|e| failed(fault_in(&e)))?
            {
                while field.chunk().await.map_err(|e| failed(fault_in(&e)))?.is_some() {}
            }
            Ok(None)
        })
        .boxed()
    }
}

/// What the parser says, in the body's words.
fn fault_in(error: &multer::Error) -> BodyFault {
    match error {
        multer::Error::StreamReadFailed(inner) => match inner.downcast_ref::<BodyFault>() {
            Some(BodyFault::Stalled) => BodyFault::Stalled,
            Some(BodyFault::FormTooLarge) => BodyFault::FormTooLarge,
            _ => BodyFault::Broken,
        },
        multer::Error::IncompleteFieldData { .. } | multer::Error::IncompleteStream => {
            BodyFault::Broken
        }
        _ => BodyFault::MalformedForm,
    }
}

fn of_parser(error: &multer::Error) -> S3Error {
    fault_in(error).into()
}

/// Fields that are the signature, or speak of the answer, and not of the object.
const NO_HEADERS: [&str; 12] = [
    "key",
    "policy",
    "bucket",
    "redirect",
    "success_action_redirect",
    "success_action_status",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
    "submit",
];

/// The fields as the headers that they stand for.
pub(super) fn headers(fields: &FormFields) -> Result<HeaderMap, S3Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter() {
        let unfit = || S3Error::invalid_argument("form field", name, "the field is no header");
        let (name, value) = match name {
            "acl" => ("x-amz-acl", value.to_owned()),
            "tagging" => ("x-amz-tagging", as_header(value)?),
            "cache-control"
            | "content-type"
            | "content-disposition"
            | "content-encoding"
            | "content-language"
            | "content-md5"
            | "expires" => (name, value.to_owned()),
            name if name.starts_with("x-amz-") && !NO_HEADERS.contains(&name) => {
                (name, value.to_owned())
            }
            _ => continue,
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| unfit())?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The form's tags are a document; the header's are a query.
fn as_header(document: &str) -> Result<String, S3Error> {
    let tags = tags::of_document(document.as_bytes(), tags::OF_OBJECT)?;
    let encode = rowlock_sigv4::encode_value;
    let pairs: Vec<String> =
        tags.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    Ok(pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::Request;

    const BOUNDARY: &str = "XX";

    fn part(name: &str, more: &str, value: &str) -> String {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{value}\r\n")
    }

    fn form(parts: &[String]) -> Body {
        Body::from(parts.concat() + "--XX--\r\n")
    }

    async fn read(body: Body) -> Result<Form, &'static str> {
        let source = Source::new(body);
        Form::read(&source, BOUNDARY.to_owned()).await.map_err(|error| error.code())
    }

    async fn collect(form: Form, range: Option<(u64, u64)>) -> Result<Vec<u8>, &'static str> {
        let mut stream = form.into_stream(range);
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => all.extend_from_slice(&piece),
                Err(error) => {
                    return Err(S3Error::from(rowlock_storage::Error::Body(error)).code());
                }
            }
        }
        Ok(all)
    }

    fn file(value: &str) -> String {
        part("file", "; filename=\"C:\\\\x\\\\me.txt\"\r\nContent-Type: text/plain", value)
    }

    #[tokio::test]
    async fn fields_and_file() {
        let parts = [
            part("key", "", "u/${filename}"),
            part("X-Amz-Meta-A", "", "ü"),
            file("a\r\n--X\r\nb"),
            part("ignored", "", "x"),
        ];
        let form = read(form(&parts)).await.unwrap();
        assert_eq!(form.fields.get("key"), Some("u/me.txt"));
        assert_eq!(headers(&form.fields).unwrap()["x-amz-meta-a"].as_bytes(), "ü".as_bytes());
        assert_eq!(collect(form, None).await.unwrap(), b"a\r\n--X\r\nb");
    }

    #[tokio::test]
    async fn sizes_of_the_file() {
        for (range, wanted) in [
            ((0, 5), Ok(b"12345".to_vec())),
            ((5, 5), Ok(b"12345".to_vec())),
            ((0, 4), Err("EntityTooLarge")),
            ((6, 9), Err("EntityTooSmall")),
        ] {
            let form = read(form(&[part("key", "", "k"), file("12345")])).await.unwrap();
            assert_eq!(collect(form, Some(range)).await, wanted, "{range:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_form() {
        let large = part("a", "", &"x".repeat(MAX_FIELDS));
        for (body, code) in [
            (form(&[part("key", "", "k")]), "InvalidArgument"),
            (form(&[large, file("x")]), "MaxPostPreDataLengthExceededError"),
            (form(&[part("a", "", "1"), part("A", "", "2"), file("x")]), "InvalidArgument"),
            (Body::from("no form"), "IncompleteBody"),
            (Body::from("--XX\r\nA: b\r\n\r\nx\r\n--XX--\r\n"), "MalformedPOSTRequest"),
            (
                Body::from(format!("--XX\r\n{}", "y: z\r\n".repeat(50_000))),
                "MaxPostPreDataLengthExceededError",
            ),
        ] {
            assert_eq!(read(body).await.err(), Some(code));
        }
        let cut = part("key", "", "k") + &file("12345");
        let form = read(Body::from(cut)).await.unwrap();
        assert_eq!(collect(form, None).await, Err("IncompleteBody"));
    }

    #[tokio::test]
    async fn a_fast_client_may_send_many_fields_and_a_large_file() {
        let large = "0123456789abcdef".repeat(64 * 1024);
        let mut parts: Vec<String> = (0..30).map(|n| part(&format!("a{n}"), "", "x")).collect();
        parts.push(file(&large));
        let whole = bytes::Bytes::from(parts.concat() + "--XX--\r\n");
        for length in [100, 16 * 1024, 64 * 1024] {
            let pieces: Vec<_> = whole.chunks(length).map(bytes::Bytes::copy_from_slice).collect();
            let pieces =
                futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
            let form = read(Body::from_stream(pieces)).await.unwrap();
            assert_eq!(form.fields.get("a29"), Some("x"));
            assert!(collect(form, None).await.unwrap() == large.as_bytes(), "pieces of {length}");
        }
    }

    #[tokio::test]
    async fn a_form_that_never_gets_to_its_file_is_given_up() {
        let endless = futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b'x'; 1024]))
        });
        let head = bytes::Bytes::from_static(b"--XX\r\nContent-Disposition: ");
        let body = futures_util::stream::once(async { Ok(head) }).chain(endless);
        let code = read(Body::from_stream(body)).await.err();
        assert_eq!(code, Some("MaxPostPreDataLengthExceededError"));
    }

    #[test]
    fn which_requests_are_forms() {
        let of = |method: &str, uri: &str, kind: &str, authorization: Option<&str>| {
            let mut request =
                Request::builder().method(method).uri(uri).header("content-type", kind);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            boundary_of(&parts).map(|boundary| boundary.map_err(|error| error.code()))
        };
        let kind = "multipart/form-data; boundary=XX";
        assert_eq!(of("POST", "/s3/b", kind, None), Some(Ok("XX".to_owned())));
        assert_eq!(of("POST", "/s3/b", kind, Some("Bearer x")), Some(Ok("XX".to_owned())));
        assert_eq!(
            of("POST", "/s3/b", "multipart/form-data", None),
            Some(Err("MalformedPOSTRequest"))
        );
        assert_eq!(of("POST", "/s3/b", kind, Some("AWS4-HMAC-SHA256 x")), None);
        assert_eq!(of("POST", "/s3/b?delete", kind, None), None);
        assert_eq!(of("PUT", "/s3/b", kind, None), None);
        assert_eq!(of("POST", "/s3/b", "application/xml", None), None);
    }

    #[test]
    fn tags_become_a_header() {
        let mut fields = FormFields::default();
        let document =
            "<Tagging><TagSet><Tag><Key>a b</Key><Value>ü</Value></Tag></TagSet></Tagging>";
        fields.push("tagging", document.to_owned()).unwrap();
        fields.push("x-amz-signature", "secret".to_owned()).unwrap();
        let headers = headers(&fields).unwrap();
        assert_eq!(headers.len(), 1);
        assert_eq!(tags::of_header(&headers).unwrap().unwrap()["a b"], "ü");
    }
}
