use crate::error::{EndpointError, PostError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Idle connections are closed before most servers close them.
const IDLE: Duration = Duration::from_secs(4);

/// How much of an answer is read so that its connection can be used again, and for how long.
const ANSWER_BYTES: usize = 64 * 1024;
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// The id by which receivers know what they had already (Standard Webhooks).
const ID: HeaderName = HeaderName::from_static("webhook-id");

/// Where things are posted to.
#[derive(Clone)]
pub struct EndpointSettings {
    /// An `http://` or `https://` URL. A user name and password in it are sent as Basic
    /// authorization where there is no key.
    pub url: Url,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// How long connecting, sending and the head of the answer may take in all.
    pub limit: Duration,
    /// How many connections are kept.
    pub connections: usize,
}

impl std::fmt::Debug for EndpointSettings {
    // The URL may hold a secret as well.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointSettings").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// An address that things are posted to. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    authorization: Option<HeaderValue>,
    limit: Duration,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Prepares the way to an address; nothing is asked of it yet.
    ///
    /// # Errors
    /// When the settings name none, or TLS can't be set up.
    pub fn new(settings: &EndpointSettings) -> Result<Self, EndpointError> {
        let mut url = settings.url.clone();
        let authorization = authorization(&url, settings.key.as_deref())?;
        if url.host_str().is_none() || url.set_username("").is_err() {
            return Err(EndpointError::Url);
        }
        let _ = url.set_password(None);
        url.set_fragment(None);
        let uri: Uri = url.as_str().parse().map_err(|_| EndpointError::Url)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.limit));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(settings.connections)
            .build(https);
        Ok(Self { client, uri, authorization, limit: settings.limit })
    }

    /// Posts a JSON body. `id` lets the receiver know a repetition.
    ///
    /// # Errors
    /// Why it was not taken, or not known to be.
    pub async fn post(&self, id: Option<&str>, body: Bytes) -> Result<(), PostError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("Rowlock/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        if let Some(value) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(ID, value);
        }
        let end = Instant::now() + self.limit;
        let answer = timeout_at(end, self.client.request(request)).await;
        let answer = answer.map_err(|_| PostError::Late(self.limit))?;
        let answer = answer.map_err(|error| PostError::of(&error))?;
        let status = answer.status();
        let end = end.min(Instant::now() + ANSWER_TIME);
        // What the body says does not matter: whatever is wrong with it costs the connection alone.
        let _ = timeout_at(end, drain(answer.into_body())).await;
        if status.is_success() { Ok(()) } else { Err(PostError::Status(status.as_u16())) }
    }
}

/// Reads an answer to its end, if that is near.
async fn drain(mut body: impl BodyExt<Data = Bytes> + Unpin) {
    let mut left = ANSWER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let size = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn authorization(url: &Url, key: Option<&str>) -> Result<Option<HeaderValue>, EndpointError> {
    let text = match key {
        Some(key) => format!("Bearer {key}"),
        None if url.username().is_empty() && url.password().is_none() => return Ok(None),
        None => {
            let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
            pair.push(b':');
            pair.extend(percent_decode_str(url.password().unwrap_or_default()));
            format!("Basic {}", STANDARD.encode(pair))
        }
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| EndpointError::Key)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// TLS as the system trusts it.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificates that this system trusts could not be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn endpoint(url: &str, key: Option<&str>, limit: Duration) -> Endpoint {
        let url = Url::parse(url).unwrap();
        let settings = EndpointSettings { url, key: key.map(Into::into), limit, connections: 1 };
        Endpoint::new(&settings).unwrap()
    }

    /// A receiver that gives one answer on one connection, and returns what it was sent.
    async fn receiver(answer: &'static [u8]) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://u%40:p@{}/hook?x=1#f", listener.local_addr().unwrap());
        let sent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut sent = Vec::new();
            while !sent.ends_with(b"{}") {
                let mut some = [0; 1024];
                let read = stream.read(&mut some).await.unwrap();
                assert_ne!(read, 0, "closed early");
                sent.extend_from_slice(&some[..read]);
            }
            if stream.write_all(answer).await.is_ok() && answer.ends_with(b"hang") {
                // Until the other side has enough.
                let _ = stream.read(&mut [0; 1]).await;
            }
            String::from_utf8(sent).unwrap().to_ascii_lowercase()
        });
        (url, sent)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn any_2xx_is_taken_and_nothing_else() {
        for (answer, wanted) in [
            (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], Ok(())),
            (b"HTTP/1.1 299 Odd\r\ncontent-length: 2\r\n\r\nok", Ok(())),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\ncut", Ok(())),
            (b"HTTP/1.1 307 Elsewhere\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", Err(307)),
            (b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", Err(500)),
        ] {
            let (url, sent) = receiver(answer).await;
            let posted = endpoint(&url, Some("secret"), LONG).post(Some("7"), "{}".into()).await;
            assert_eq!(posted, wanted.map_err(PostError::Status));
            let sent = sent.await.unwrap();
            assert!(sent.starts_with("post /hook?x=1 http/1.1\r\n"), "{sent}");
            for header in [
                "authorization: bearer secret",
                "content-type: application/json",
                "webhook-id: 7",
                "content-length: 2",
            ] {
                assert!(sent.contains(&format!("\r\n{header}\r\n")), "{header}: {sent}");
            }
        }
    }

    #[tokio::test]
    async fn without_a_key_the_urls_user_is_sent() {
        let (url, sent) = receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        endpoint(&url, None, LONG).post(None, "{}".into()).await.unwrap();
        let sent = sent.await.unwrap();
        let basic = STANDARD.encode("u@:p").to_ascii_lowercase();
        assert!(sent.contains(&format!("\r\nauthorization: basic {basic}\r\n")), "{sent}");
        assert!(!sent.contains("webhook-id"), "{sent}");
    }

    #[tokio::test]
    async fn a_receiver_that_never_answers_ends_in_time() {
        let (url, _sent) = receiver(b"HTTP/1.1 200 hang").await;
        let limit = Duration::from_millis(300);
        let late = endpoint(&url, None, limit).post(None, "{}".into()).await.unwrap_err();
        assert_eq!(late, PostError::Late(limit));
        assert_eq!(late.to_string(), "no answer within 0.3 s");
    }

    #[tokio::test]
    async fn a_body_without_end_is_not_waited_for() {
        let (url, _sent) =
            receiver(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhang").await;
        endpoint(&url, None, LONG).post(None, "{}".into()).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_there_is_told_without_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/secret", listener.local_addr().unwrap());
        drop(listener);
        let error = endpoint(&url, None, LONG).post(None, "{}".into()).await.unwrap_err();
        let PostError::Connection(text) = &error else { panic!("{error:?}") };
        assert!(text.contains("refused") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn keys_that_no_header_carries_are_refused() {
        let url = Url::parse("https://a.example").unwrap();
        let key = Some("a\nb".to_owned());
        let settings = EndpointSettings { url, key, limit: LONG, connections: 1 };
        assert!(matches!(Endpoint::new(&settings), Err(EndpointError::Key)));
        assert!(!format!("{settings:?}").contains("example"));
    }
}
