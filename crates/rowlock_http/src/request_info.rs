//! What policies see of a request.

use std::sync::Arc;

use http::request::Parts;
use rowlock_types::RequestInfo;

use crate::gateway::RequestId;

/// The raw path and query, and all headers, as the reference has them.
pub(crate) fn request_info(parts: &Parts) -> RequestInfo {
    let mut headers = serde_json::Map::with_capacity(parts.headers.keys_len());
    for name in parts.headers.keys() {
        let values: Vec<_> = parts
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        headers.insert(name.as_str().to_owned(), values.join(", ").into());
    }
    let id = parts.extensions.get::<RequestId>();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    RequestInfo {
        method: Arc::from(parts.method.as_str()),
        path: Arc::from(path),
        headers: Arc::from(serde_json::Value::Object(headers).to_string()),
        id: Arc::from(id.map_or("", RequestId::as_str)),
    }
}

#[cfg(test)]
mod tests {
    use super::request_info;
    use http::{HeaderValue, Request};

    #[test]
    fn policies_see_the_request() {
        let (parts, ()) = Request::builder()
            .method("PUT")
            .uri("/s3/b/k%20k?x=1")
            .header("X-A", "1")
            .header("x-a", "2")
            .header("x-b", HeaderValue::from_bytes(b"\xff").unwrap())
            .body(())
            .unwrap()
            .into_parts();
        let info = request_info(&parts);
        assert_eq!((&*info.method, &*info.path), ("PUT", "/s3/b/k%20k?x=1"));
        assert_eq!(&*info.headers, "{\"x-a\":\"1, 2\",\"x-b\":\"\u{fffd}\"}");
    }
}
