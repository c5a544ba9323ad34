use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Response, StatusCode, header};
use rowlock_auth::Authenticator;
use serde_json::json;

use super::answer::json;

/// Asks the database whether it answers. Closures of this shape implement it.
pub trait HealthCheck: Send + Sync + 'static {
    /// True when it does. Must come to an end by itself.
    fn is_healthy(&self) -> BoxFuture<'static, bool>;
}

impl<T, F> HealthCheck for T
where
    T: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    fn is_healthy(&self) -> BoxFuture<'static, bool> {
        Box::pin(self())
    }
}

/// `GET /health`: for every valid token, always 200; what counts is the body.
pub(crate) async fn health(
    headers: &HeaderMap,
    authenticator: &Authenticator,
    check: &dyn HealthCheck,
) -> Response<Body> {
    if let Err(refusal) = authenticator.verify(bearer(headers)) {
        return json(
            StatusCode::BAD_REQUEST,
            &json!({
                "statusCode": "403",
                "code": "AccessDenied",
                "error": "Unauthorized",
                "message": refusal.to_string(),
            }),
        );
    }
    json(StatusCode::OK, &json!({ "healthy": check.is_healthy().await }))
}

/// The token of `Authorization: Bearer …`; empty when there is none.
fn bearer(headers: &HeaderMap) -> &str {
    const SCHEME: &str = "bearer ";
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match value.and_then(|value| value.split_at_checked(SCHEME.len())) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) => token.trim(),
        _ => "",
    }
}
