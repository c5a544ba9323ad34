use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// `GET /status`: the process is up; nothing more.
pub(crate) fn status() -> Response<Body> {
    Response::new(Body::empty())
}

/// `GET /version`.
pub(crate) fn version(version: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(version.to_owned()));
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    response
}

/// The answer where no route is, in the form of the framework that the reference uses.
pub(crate) fn route_not_found(method: &Method, path: &str, query: Option<&str>) -> Response<Body> {
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    json(
        StatusCode::NOT_FOUND,
        &json!({
            "message": format!("Route {method}:{path}{mark}{query} not found"),
            "error": "Not Found",
            "statusCode": 404,
        }),
    )
}

/// The answer to a head that is too long.
pub(crate) fn head_too_long() -> Response<Body> {
    json(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        &json!({
            "statusCode": "431",
            "code": "InvalidRequest",
            "error": "Request Header Fields Too Large",
            "message": "the request target and headers are too long",
        }),
    )
}

/// The answer to a request target that is neither a path nor a URL.
pub(crate) fn bad_target() -> Response<Body> {
    json(
        StatusCode::BAD_REQUEST,
        &json!({
            "statusCode": "400",
            "code": "InvalidRequest",
            "error": "Bad Request",
            "message": "the request target must be a path or a URL",
        }),
    )
}

/// An answer in JSON, its members in the order given.
pub(super) fn json(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}
