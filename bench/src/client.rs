//! A small S3 client: one kept connection, requests signed by header, bodies never hashed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rowlock_sigv4::{PayloadMode, Signer, encode_path};
use time::OffsetDateTime;
use tokio::net::TcpStream;

use crate::Result;

/// An endpoint with the credentials to use there.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The endpoint as the user named it.
    pub(crate) url: String,
    authority: String,
    path: String,
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
    region: String,
    bucket: String,
}

impl Target {
    /// Reads the URL; only plain HTTP is measured, as TLS would measure the client.
    pub(crate) fn new(
        url: &str,
        access_key: &str,
        secret_key: &str,
        session_token: Option<&str>,
        region: &str,
        bucket: &str,
    ) -> Result<Self> {
        let (authority, path) = split(url)?;
        Ok(Self {
            url: url.to_owned(),
            authority,
            path,
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            session_token: session_token.map(str::to_owned),
            region: region.to_owned(),
            bucket: bucket.to_owned(),
        })
    }

    /// Makes the bucket. One that exists, or that these credentials may not make, is taken as given.
    pub(crate) async fn create_bucket(&self) -> Result<()> {
        let mut connection = self.connect().await?;
        let answer =
            connection.send(self.request(&Method::PUT, "", "", Repeat::nothing())?).await?;
        let status = answer.status();
        drain(answer).await?;
        match status {
            StatusCode::OK | StatusCode::CONFLICT | StatusCode::FORBIDDEN => Ok(()),
            other => Err(format!("{}: CreateBucket answered {other}", self.url).into()),
        }
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.authority).await
    }

    /// A signed request for `key` (empty: the bucket itself).
    pub(crate) fn request(
        &self,
        method: &Method,
        key: &str,
        query: &str,
        body: Repeat,
    ) -> Result<Request<Repeat>> {
        self.request_with(method, (key, query), PayloadMode::Unsigned, &[], body)
    }

    /// The same with headers of its own, which are signed too.
    pub(crate) fn request_with(
        &self,
        method: &Method,
        (key, query): (&str, &str),
        payload: PayloadMode,
        headers: &[(&str, &[u8])],
        body: Repeat,
    ) -> Result<Request<Repeat>> {
        let key = if key.is_empty() { String::new() } else { format!("/{key}") };
        let path = format!("{}{}", self.path, encode_path(&format!("/{}{key}", self.bucket)));
        let signed = Signer {
            access_key: &self.access_key,
            secret: &self.secret_key,
            session_token: self.session_token.as_deref(),
            region: &self.region,
        }
        .sign(
            &rowlock_sigv4::Request {
                method: method.as_str(),
                paths: &[&path],
                hosts: &[&self.authority],
                query,
                headers,
            },
            payload,
            OffsetDateTime::now_utc(),
        );
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let mut request =
            Request::builder().method(method).uri(target).header("host", &self.authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        Ok(request.body(body)?)
    }
}

/// Host with port, and path without a slash at its end; only plain HTTP is measured.
pub(crate) fn split(url: &str) -> Result<(String, String)> {
    let parsed = url::Url::parse(url)?;
    if parsed.scheme() != "http" {
        return Err(format!("{url}: only http:// endpoints are measured").into());
    }
    let host = parsed.host_str().ok_or("the endpoint has no host")?;
    let authority = format!("{host}:{}", parsed.port_or_known_default().unwrap_or(80));
    Ok((authority, parsed.path().trim_end_matches('/').to_owned()))
}

/// One connection; requests go one after the other.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Repeat>,
}

impl Connection {
    /// Connects to a host and port.
    pub(crate) async fn open(authority: &str) -> Result<Self> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) =
            Builder::new().max_buf_size(1 << 20).handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // A connection that breaks fails the request that waits for it.
            let _ = driver.await;
        });
        Ok(Self { sender })
    }

    pub(crate) async fn send(&mut self, request: Request<Repeat>) -> Result<Response<Incoming>> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Sends, demands success, and returns the number of bytes in the answer's body.
    pub(crate) async fn expect(&mut self, request: Request<Repeat>) -> Result<u64> {
        let answer = self.send(request).await?;
        let status = answer.status();
        if !status.is_success() {
            let text = answer.into_body().collect().await?.to_bytes();
            let text = String::from_utf8_lossy(&text[..text.len().min(300)]).into_owned();
            return Err(format!("answered {status}: {text}").into());
        }
        drain(answer).await
    }
}

/// Reads the body to its end; returns its length.
pub(crate) async fn drain(answer: Response<Incoming>) -> Result<u64> {
    let mut body = answer.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            length += data.len() as u64;
        }
    }
    Ok(length)
}

/// A body of known length that sends one block again and again, without copying it, and then what
/// ends it.
#[derive(Debug, Clone)]
pub(crate) struct Repeat {
    block: Bytes,
    left: u64,
    end: Bytes,
}

impl Repeat {
    pub(crate) fn nothing() -> Self {
        Self { block: Bytes::new(), left: 0, end: Bytes::new() }
    }

    /// The whole of `data`.
    pub(crate) fn whole(data: Bytes) -> Self {
        Self { left: data.len() as u64, block: data, end: Bytes::new() }
    }

    /// `length` bytes made of `block`.
    pub(crate) fn of(block: Bytes, length: u64) -> Self {
        Self { block, left: length, end: Bytes::new() }
    }

    /// The same with `end` behind it.
    pub(crate) fn then(self, end: Bytes) -> Self {
        Self { end, ..self }
    }
}

impl Body for Repeat {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            let end = std::mem::take(&mut self.end);
            return Poll::Ready((!end.is_empty()).then(|| Ok(Frame::data(end))));
        }
        let length = self.left.min(self.block.len() as u64);
        self.left -= length;
        let data = self.block.slice(..length as usize);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.end.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left + self.end.len() as u64)
    }
}

/// Bytes that no file system or proxy can squeeze.
pub(crate) fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    Bytes::from(out)
}
