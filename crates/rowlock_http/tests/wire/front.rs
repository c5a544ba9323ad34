use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use rowlock_auth::{AuthSettings, Authenticator};
use rowlock_http::gateway::{CorsOrigins, Gateway, GatewaySettings, RouteInfo, S3Service};
use rowlock_http::server::{ServerSettings, refuse_early};
use rowlock_http::system::HealthCheck;

use crate::support::{Server, header, status};

/// A front over an S3 service that answers what it was told of the route.
pub(crate) fn front(settings: GatewaySettings, healthy: bool) -> (Server, Arc<Authenticator>) {
    let authenticator = Arc::new(
        Authenticator::new(AuthSettings {
            jwt_secret: Some("a-secret-of-at-least-32-characters".to_owned()),
            publishable_key: Some("sb_publishable_1".to_owned()),
            ..AuthSettings::default()
        })
        .unwrap(),
    );
    let health: Arc<dyn HealthCheck> = Arc::new(move || std::future::ready(healthy));
    let s3: Arc<dyn S3Service> = Arc::new(|request: Request<Body>, route: RouteInfo| async move {
        let authorization = request.headers().get("authorization").cloned();
        let text = format!(
            "{} {} prefix={:?} hosts={:?} paths={:?} auth={}",
            request.uri(),
            route.rest(),
            route.prefix_stripped,
            route.signed.hosts,
            route.signed.paths,
            authorization.is_some(),
        );
        let (_, body) = request.into_parts();
        refuse_early(body, Response::new(Body::from(text)))
    });
    let gateway = Gateway::new(settings, Arc::clone(&authenticator), health, Some(s3));
    (Server::start(ServerSettings::default(), gateway.into_app()), authenticator)
}

async fn ask(server: &Server, request: &str) -> (String, String) {
    let mut client = server.connect().await;
    client.send(request.as_bytes()).await;
    if request.starts_with("HEAD") {
        return (client.read_to_end().await, String::new());
    }
    let (head, body) = client.answer().await;
    (head, String::from_utf8(body).unwrap())
}

async fn get(server: &Server, target: &str, lines: &str) -> (String, String) {
    ask(server, &format!("GET {target} HTTP/1.1\r\nHost: h:8000\r\n{lines}\r\n")).await
}

#[tokio::test]
async fn status_and_version_as_recorded() {
    let (server, _) = front(GatewaySettings::default(), true);
    for prefix in ["", "/storage/v1"] {
        let (head, body) = get(&server, &format!("{prefix}/status"), "").await;
        assert_eq!((status(&head), body.as_str()), (200, ""));
        assert_eq!(header(&head, "content-length"), Some("0"));
        assert_eq!(header(&head, "content-type"), None);
        let (head, body) = get(&server, &format!("{prefix}/version"), "").await;
        assert_eq!((status(&head), body.as_str()), (200, "0.0.0"));
        assert_eq!(header(&head, "content-type"), Some("text/plain; charset=utf-8"));
    }
}

#[tokio::test]
async fn health_needs_a_token_and_says_so_in_the_recorded_words() {
    let (server, authenticator) = front(GatewaySettings::default(), true);
    let (head, body) = get(&server, "/health", "").await;
    assert_eq!(status(&head), 400);
    assert_eq!(header(&head, "content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(
        body,
        r#"{"statusCode":"403","code":"AccessDenied","error":"Unauthorized","message":"Invalid Compact JWS"}"#
    );
    let anon = authenticator.anon_key().unwrap();
    for lines in [
        format!("Authorization: Bearer {anon}\r\n"),
        format!("apikey: {anon}\r\n"),
        "apikey: sb_publishable_1\r\n".to_owned(),
    ] {
        let (head, body) = get(&server, "/storage/v1/health", &lines).await;
        assert_eq!((status(&head), body.as_str()), (200, r#"{"healthy":true}"#), "{lines}");
    }
    for lines in ["apikey: sb_publishable_2\r\n", "Authorization: Bearer x\r\n"] {
        assert_eq!(status(&get(&server, "/health", lines).await.0), 400, "{lines}");
    }
}

#[tokio::test]
async fn health_is_200_also_when_the_database_is_not() {
    let (server, authenticator) = front(GatewaySettings::default(), false);
    let lines = format!("Authorization: Bearer {}\r\n", authenticator.anon_key().unwrap());
    let (head, body) = get(&server, "/health", &lines).await;
    assert_eq!((status(&head), body.as_str()), (200, r#"{"healthy":false}"#));
}

#[tokio::test]
async fn unknown_routes_as_recorded() {
    let (server, _) = front(GatewaySettings::default(), true);
    for target in ["/nope", "/storage/v1/nope"] {
        let (head, body) = get(&server, target, "").await;
        assert_eq!(status(&head), 404);
        assert_eq!(header(&head, "content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(
            body,
            r#"{"message":"Route GET:/nope not found","error":"Not Found","statusCode":404}"#
        );
    }
    let post = "POST /object/a/b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let (head, body) = ask(&server, post).await;
    assert_eq!(status(&head), 404);
    assert!(body.contains("Route POST:/object/a/b not found"), "{body}");
    for target in ["/%73tatus", "/status/", "//status", "/storage/v1", "/storage/v1status"] {
        assert_eq!(status(&get(&server, target, "").await.0), 404, "{target}");
    }
}

#[tokio::test]
async fn heads_have_the_length_and_no_body() {
    let (server, _) = front(GatewaySettings::default(), true);
    let (answer, _) =
        ask(&server, "HEAD /nope HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 404);
    assert_eq!(header(&answer, "content-length"), Some("77"));
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let (answer, _) =
        ask(&server, "HEAD /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), 200);
}

#[tokio::test]
async fn every_answer_may_be_read_by_scripts() {
    let (server, _) = front(GatewaySettings::default(), true);
    for target in ["/status", "/nope", "/health", "/s3/b"] {
        let (head, _) = get(&server, target, "Origin: https://a\r\n").await;
        assert_eq!(header(&head, "access-control-allow-origin"), Some("*"), "{target}");
        let exposed = header(&head, "access-control-expose-headers").unwrap();
        assert!(exposed.contains("ETag") && exposed.contains("Tus-Resumable"), "{target}");
    }
    let settings = GatewaySettings {
        cors_origins: CorsOrigins::parse("https://a"),
        ..GatewaySettings::default()
    };
    let (server, _) = front(settings, true);
    let (head, _) = get(&server, "/nope", "Origin: https://a\r\n").await;
    assert_eq!(header(&head, "access-control-allow-origin"), Some("https://a"));
    let (head, _) = get(&server, "/nope", "Origin: https://b\r\n").await;
    assert_eq!(header(&head, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn preflights_are_answered_on_every_route() {
    let (server, _) = front(GatewaySettings::default(), true);
    for target in ["/s3/b/k", "/storage/v1/object/a/b", "/upload/resumable", "/nope"] {
        let request = format!(
            "OPTIONS {target} HTTP/1.1\r\nHost: h\r\nOrigin: https://a\r\n\
             Access-Control-Request-Method: PUT\r\n\
             Access-Control-Request-Headers: authorization,x-amz-meta-a\r\n\r\n"
        );
        let (head, _) = ask(&server, &request).await;
        assert_eq!(status(&head), 204, "{target}");
        assert_eq!(header(&head, "access-control-allow-origin"), Some("*"));
        let allowed = header(&head, "access-control-allow-headers");
        assert_eq!(allowed, Some("authorization,x-amz-meta-a"));
        let methods = header(&head, "access-control-allow-methods").unwrap();
        for method in ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"] {
            assert!(methods.split(", ").any(|m| m == method), "{method}");
        }
        assert!(header(&head, "access-control-max-age").is_some());
    }
}

#[tokio::test]
async fn s3_is_told_where_its_request_came_in() {
    let (server, _) = front(GatewaySettings::default(), true);
    let (_, told) = get(&server, "/storage/v1/s3/b/a%2Fb?x=%20", "").await;
    assert_eq!(
        told,
        "/storage/v1/s3/b/a%2Fb?x=%20 /b/a%2Fb prefix=Some(\"/storage/v1\") hosts=[\"h:8000\"] \
         paths=[\"/storage/v1/s3/b/a%2Fb\", \"/s3/b/a%2Fb\", \"/b/a%2Fb\"] auth=false"
    );
    let (_, told) = get(&server, "/s3", "Authorization: \r\n").await;
    assert_eq!(
        told,
        "/s3  prefix=None hosts=[\"h:8000\"] paths=[\"/s3\", \"/storage/v1/s3\", \"/\"] auth=false"
    );
    let (_, told) = get(&server, "http://other:81/s3/b", "apikey: sb_publishable_1\r\n").await;
    assert_eq!(
        told,
        "/s3/b /b prefix=None hosts=[\"other:81\"] paths=[\"/s3/b\", \"/storage/v1/s3/b\", \"/b\"] auth=true"
    );
}

#[tokio::test]
async fn targets_for_proxies_are_refused() {
    let (server, _) = front(GatewaySettings::default(), true);
    for line in ["OPTIONS *", "CONNECT h:80", "GET ftp://h/s3/b"] {
        let (head, _) = ask(&server, &format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        assert_eq!(status(&head), 400, "{line}");
    }
}

#[tokio::test]
async fn without_s3_there_is_no_route() {
    let authenticator = Arc::new(Authenticator::new(AuthSettings::default()).unwrap());
    let health: Arc<dyn HealthCheck> = Arc::new(|| std::future::ready(true));
    let gateway = Gateway::new(GatewaySettings::default(), authenticator, health, None);
    let server = Server::start(ServerSettings::default(), gateway.into_app());
    assert_eq!(status(&get(&server, "/s3/b", "").await.0), 404);
}
