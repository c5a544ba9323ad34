use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderName, Request, Response};
use rowlock_auth::{AuthSettings, Authenticator};
use rowlock_http::gateway::{Gateway, GatewaySettings, RouteInfo, S3Service};
use rowlock_http::server::ServerSettings;
use rowlock_http::system::HealthCheck;
use tracing::subscriber::DefaultGuard;

use crate::support::{Server, eventually, status};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects the log of this thread, on which all of a test runs.
    fn collect() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        let text = self.text();
        text.lines().filter(|l| l.contains("rowlock::access")).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn server() -> Server {
    let authenticator = Arc::new(Authenticator::new(AuthSettings::default()).unwrap());
    let health: Arc<dyn HealthCheck> = Arc::new(|| std::future::ready(true));
    let s3: Arc<dyn S3Service> = Arc::new(|_: Request<Body>, route: RouteInfo| async move {
        match route.rest() {
            "/never" => std::future::pending().await,
            "/big" => Response::new(Body::from(vec![b'x'; 8 * 1024 * 1024])),
            _ => Response::new(Body::from(route.request_id.to_string())),
        }
    });
    let settings = GatewaySettings {
        request_id_header: Some(HeaderName::from_static("x-request-id")),
        ..GatewaySettings::default()
    };
    let gateway = Gateway::new(settings, authenticator, health, Some(s3));
    Server::start(ServerSettings::default(), gateway.into_app())
}

#[tokio::test]
async fn one_line_a_request_without_secrets() {
    let (log, _guard) = Log::collect();
    let server = server();
    let mut client = server.connect().await;
    client
        .send(
            b"GET /s3/b/k?X-Amz-Signature=hush1&x=1&token=hush2&X-Amz-Security-Token=hush3&apikey=hush4 \
              HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer hush5\r\napikey: hush6\r\n\
              x-request-id: mine-1\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.1, b"mine-1");
    client.send(b"HEAD /nope HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&client.read_to_end().await), 404);
    eventually(|| log.lines().len() == 2).await;
    let lines = log.lines();
    for part in [
        "INFO",
        "method=GET",
        "status=200",
        "bytes=6",
        "request_id=mine-1",
        "aborted=false",
        "X-Amz-Signature=redacted&x=1&token=redacted&X-Amz-Security-Token=redacted&apikey=redacted",
    ] {
        assert!(lines[0].contains(part), "{part} in {}", lines[0]);
    }
    for part in ["WARN", "method=HEAD", "status=404", "aborted=false"] {
        assert!(lines[1].contains(part), "{part} in {}", lines[1]);
    }
    assert!(!log.text().contains("hush"), "{}", log.text());
}

#[tokio::test]
async fn clients_that_leave_are_named_and_monitors_are_not() {
    let (log, _guard) = Log::collect();
    let server = server();
    for target in ["/status", "/storage/v1/status", "/version", "/health"] {
        let mut client = server.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await;
        client.answer().await;
    }
    let mut client = server.connect().await;
    client.send(b"GET /s3/never HTTP/1.1\r\nHost: h\r\n\r\n").await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    drop(client);
    eventually(|| log.lines().len() == 1).await;
    let mut client = server.connect().await;
    client.send(b"GET /s3/big HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.stream.readable().await.unwrap();
    drop(client);
    eventually(|| log.lines().len() == 2).await;
    let lines = log.lines();
    for part in ["WARN", "path=\"/s3/never\"", "status=0", "aborted=true"] {
        assert!(lines[0].contains(part), "{part} in {}", lines[0]);
    }
    for part in ["path=\"/s3/big\"", "status=200"] {
        assert!(lines[1].contains(part), "{part} in {}", lines[1]);
    }
}
