//! What resumable uploads are told of a request, and what of an answer a page may read.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Request, Response};
use rowlock_auth::{AuthSettings, Authenticator};
use rowlock_http::gateway::{
    CorsOrigins, ForwardingSettings, Gateway, GatewaySettings, PublicUrl, TusRoute, TusService,
};
use rowlock_http::server::{ServerSettings, refuse_early};
use rowlock_http::system::HealthCheck;

use crate::support::{Server, header, status};

/// A gateway over a service that answers what it was told.
fn front(settings: GatewaySettings) -> Server {
    let keys = AuthSettings {
        jwt_secret: Some("a-secret-of-at-least-32-characters".to_owned()),
        publishable_key: Some("sb_publishable_1".to_owned()),
        ..AuthSettings::default()
    };
    let authenticator = Arc::new(Authenticator::new(keys).unwrap());
    let health: Arc<dyn HealthCheck> = Arc::new(|| std::future::ready(true));
    let tus: Arc<dyn TusService> = Arc::new(|request: Request<Body>, at: TusRoute| async move {
        let token = request.headers().contains_key("authorization");
        let text = format!("{} {:?} {} token={token}", request.method(), at.rest, at.url);
        let mut response = Response::new(Body::from(text));
        response.headers_mut().insert("tus-resumable", HeaderValue::from_static("1.0.0"));
        refuse_early(request.into_body(), response)
    });
    let gateway = Gateway::new(settings, authenticator, health, None)
        .with_tus("/upload/resumable".to_owned(), tus);
    Server::start(ServerSettings::default(), gateway.into_app())
}

async fn ask(server: &Server, line: &str, headers: &str) -> (String, String) {
    let mut client = server.connect().await;
    client.send(format!("{line} HTTP/1.1\r\nHost: h:8000\r\n{headers}\r\n").as_bytes()).await;
    let (head, body) = client.answer().await;
    (head, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn uploads_are_told_where_they_are() {
    let server = front(GatewaySettings::default());
    for (line, headers, wanted) in [
        ("POST /upload/resumable", "", "POST \"\" http://h:8000/upload/resumable token=false"),
        (
            "PATCH /storage/v1/upload/resumable/sign/abc",
            "apikey: sb_publishable_1\r\n",
            "PATCH \"/sign/abc\" http://h:8000/storage/v1/upload/resumable token=true",
        ),
        (
            "POST http://other/upload/resumable/",
            "X-Forwarded-Host: api.example\r\nX-Forwarded-Proto: https\r\n",
            "POST \"/\" https://api.example/upload/resumable token=false",
        ),
        (
            "OPTIONS /upload/resumable",
            "",
            "OPTIONS \"\" http://h:8000/upload/resumable token=false",
        ),
    ] {
        assert_eq!(ask(&server, line, headers).await.1, wanted, "{line}");
    }
    for elsewhere in ["/upload/resumables", "/upload", "/s3/upload/resumable"] {
        assert_eq!(status(&ask(&server, &format!("GET {elsewhere}"), "").await.0), 404);
    }
}

#[tokio::test]
async fn the_public_url_is_what_clients_are_sent_to() {
    let server = front(GatewaySettings {
        forwarding: ForwardingSettings {
            public_url: Some(PublicUrl::parse("https://x.example").unwrap()),
            allow_forwarded_path: true,
            ..ForwardingSettings::default()
        },
        ..GatewaySettings::default()
    });
    let headers = "X-Forwarded-Host: inner\r\nX-Forwarded-Prefix: /storage/v1\r\n";
    let (_, told) = ask(&server, "POST /upload/resumable", headers).await;
    assert_eq!(told, "POST \"\" https://x.example/storage/v1/upload/resumable token=false");
}

#[tokio::test]
async fn pages_may_read_what_the_protocol_says() {
    let server = front(GatewaySettings {
        cors_origins: CorsOrigins::parse("https://a"),
        ..GatewaySettings::default()
    });
    let (head, _) = ask(&server, "PATCH /upload/resumable/abc", "Origin: https://a\r\n").await;
    assert_eq!(header(&head, "access-control-allow-origin"), Some("https://a"));
    let exposed = header(&head, "access-control-expose-headers").unwrap();
    for name in ["Location", "Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires"]
    {
        assert!(exposed.split(", ").any(|e| e == name), "{name}");
    }
    let (head, _) = ask(&server, "OPTIONS /upload/resumable", "Origin: https://b\r\n").await;
    assert_eq!(header(&head, "access-control-allow-origin"), None);
}
