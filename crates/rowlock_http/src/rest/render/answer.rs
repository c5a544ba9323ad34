//! The answer with a rendered image, and its headers.

use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};
use rowlock_storage::OpenedObject;
use rowlock_storage::images::{Format, Options};
use rowlock_types::ETag;

use super::accept::takes_webp;
use super::wish::Wish;
use crate::rest::RestService;
use crate::rest::context::RestRequest;
use crate::rest::error::RestError;
use crate::rest::object::{cache, headers};
use crate::rest::response::{empty, set};

/// What a browser that opens an SVG as a document may do with it: show it.
const NO_SCRIPTS: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";
const DISGUISED: &str = "the file is an SVG and was not stored as one";

/// Renders an object that the caller may read, unless the client has the very same already.
///
/// # Errors
/// InvalidRequest for what is no image that can be rendered, SlowDown where too many are, or what
/// the store says.
pub(super) async fn answer(
    rest: &RestService,
    request: &RestRequest,
    opened: &OpenedObject,
    wish: &Wish,
) -> Result<Response<Body>, RestError> {
    let options = wish.options(takes_webp(&request.headers));
    let (object, etag) = (&opened.object, entity_tag(opened, &options));
    let current = cache::is_current(&request.headers, &etag, object.last_modified);
    let mut response = empty(if current { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    let out = response.headers_mut();
    headers::put_validators(object, &etag, request, rest.settings(), out);
    headers::put_robots(object, out);
    if wish.follows_accept() {
        out.insert(header::VARY, HeaderValue::from_static("Accept"));
    }
    if current {
        return Ok(response);
    }
    let told = wish.told();
    if !told.is_empty() {
        set(out, header::HeaderName::from_static("x-transformations"), &told);
    }
    headers::put_disposition(request, out);
    let image = rest.storage().render(opened, &options).await?;
    if image.format == Format::Svg {
        // Bytes that were stored as something else do not become a document by being rendered.
        if headers::content_type(object).split(';').next() != Some(Format::Svg.content_type()) {
            return Err(RestError::new(400, "InvalidRequest", DISGUISED));
        }
        out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(NO_SCRIPTS));
    }
    set(out, header::CONTENT_TYPE, image.format.content_type());
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(image.bytes.len()));
    if request.method != Method::HEAD {
        *response.body_mut() = Body::from(image.bytes);
    }
    Ok(response)
}

/// A tag that changes with the object, with what is made of it, and with this server's version,
/// whose encoders may be other ones.
fn entity_tag(opened: &OpenedObject, options: &Options) -> ETag {
    let version = env!("CARGO_PKG_VERSION");
    let object = (&opened.version, opened.object.etag.as_str());
    let text = format!("{:?}", (version, object, options));
    ETag::new(&hex::encode(rowlock_digest::md5(text.as_bytes())))
}
