use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use percent_encoding::percent_decode_str;

use super::request_id::RequestId;
use super::route::without_prefix;

/// The name by which log filters know these lines.
const TARGET: &str = "rowlock::access";
const REDACTED: &str = "redacted";
/// Query parameters that are secrets, in lower case.
const SECRETS: [&str; 5] =
    ["token", "apikey", "x-amz-credential", "x-amz-signature", "x-amz-security-token"];
/// What monitors ask for all day.
const UNLOGGED: [&str; 3] = ["/status", "/health", "/version"];

/// One request's line in the log, written when the answer is out or the client is gone.
#[derive(Debug)]
pub(super) struct AccessRecord {
    method: Method,
    target: String,
    request_id: RequestId,
    peer: SocketAddr,
    begun: Instant,
    status: Option<u16>,
    sent: u64,
    complete: bool,
}

impl AccessRecord {
    /// Begins a line; nothing when this request is not logged.
    pub(super) fn begin(
        request: &Request<Body>,
        request_id: &RequestId,
        peer: SocketAddr,
    ) -> Option<Self> {
        if UNLOGGED.contains(&without_prefix(request.uri().path()))
            || !tracing::enabled!(target: TARGET, tracing::Level::ERROR)
        {
            return None;
        }
        Some(Self {
            method: request.method().clone(),
            target: redact(request.uri().path(), request.uri().query()),
            request_id: request_id.clone(),
            peer,
            begun: Instant::now(),
            status: None,
            sent: 0,
            complete: false,
        })
    }

    /// Follows an answer to its end.
    pub(super) fn watch(mut self, response: Response<Body>) -> Response<Body> {
        self.status = Some(response.status().as_u16());
        let declared = response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let expected = response.body().size_hint().exact().or(declared);
        self.complete = self.method == Method::HEAD || response.body().is_end_stream();
        if self.complete {
            return response;
        }
        response.map(|body| Body::new(WatchedBody { body, expected, record: self }))
    }
}

impl Drop for AccessRecord {
    fn drop(&mut self) {
        let status = self.status.unwrap_or_default();
        let aborted = !self.complete;
        // The level has to be known when compiling, hence a macro.
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: TARGET,
                    $level,
                    method = %self.method,
                    path = self.target,
                    status,
                    duration_ms = self.begun.elapsed().as_secs_f64() * 1e3,
                    bytes = self.sent,
                    request_id = %self.request_id,
                    peer = %self.peer.ip(),
                    aborted,
                    "request"
                )
            };
        }
        match status {
            500.. => line!(tracing::Level::ERROR),
            400.. => line!(tracing::Level::WARN),
            _ if aborted => line!(tracing::Level::WARN),
            _ => line!(tracing::Level::INFO),
        }
    }
}

struct WatchedBody {
    body: Body,
    expected: Option<u64>,
    record: AccessRecord,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            None => this.record.complete = true,
            Some(Err(_)) => {}
            Some(Ok(frame)) => {
                this.record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                // A body of known length is not asked again after its last byte.
                if this.body.is_end_stream() || this.expected == Some(this.record.sent) {
                    this.record.complete = true;
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Path and query, without the values that are secrets.
fn redact(path: &str, query: Option<&str>) -> String {
    let Some(query) = query else { return path.to_owned() };
    let pairs = query.split('&').map(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let decoded = percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
        if SECRETS.contains(&decoded.as_str()) {
            format!("{name}={REDACTED}")
        } else {
            pair.to_owned()
        }
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn secrets_in_queries_are_left_out() {
        assert_eq!(redact("/a", None), "/a");
        assert_eq!(redact("/a", Some("")), "/a?");
        assert_eq!(
            redact(
                "/s3/b",
                Some("X-Amz-Signature=a&x=1&X-Amz-Credential=b&X-Amz-Date=c&token=d=e")
            ),
            "/s3/b?X-Amz-Signature=redacted&x=1&X-Amz-Credential=redacted&X-Amz-Date=c&token=redacted"
        );
        assert_eq!(
            redact("/", Some("x-amz-security-toke%6E=secret&apikey=secret&TOKEN=secret&tokens=1")),
            "/?x-amz-security-toke%6E=redacted&apikey=redacted&TOKEN=redacted&tokens=1"
        );
    }
}
