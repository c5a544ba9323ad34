use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Response, StatusCode, header};
use rowlock_auth::Authenticator;
use serde_json::json;

use super::answer::json;

/// Asks what the server needs whether it answers. Closures that tell no more than whether all is
/// well implement it.
pub trait HealthCheck: Send + Sync + 'static {
    /// What is wrong, a sentence each; empty when all is well. Must come to an end by itself.
    fn problems(&self) -> BoxFuture<'static, Vec<String>>;
}

impl<T, F> HealthCheck for T
where
    T: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    fn problems(&self) -> BoxFuture<'static, Vec<String>> {
        let answer = self();
        Box::pin(async move { if answer.await { Vec::new() } else { vec![String::new()] } })
    }
}

/// `GET /health`: for every valid token, always 200; what counts is the body. The service role is
/// told what is wrong.
pub(crate) async fn health(
    headers: &HeaderMap,
    authenticator: &Authenticator,
    check: &dyn HealthCheck,
) -> Response<Body> {
    let caller = match authenticator.verify(bearer(headers)) {
        Ok(caller) => caller,
        Err(refusal) => {
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
    };
    let mut problems = check.problems().await;
    let mut body = json!({ "healthy": problems.is_empty() });
    problems.retain(|problem| !problem.is_empty());
    if caller.is_service && !problems.is_empty() {
        body["problems"] = problems.into();
    }
    json(StatusCode::OK, &body)
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
