//! The credentials that AWS's own chain finds: in a profile, a container, an instance, and for a web
//! identity. The chain reads its environment: each test has a child of its own with one made for it.

use crate::access::listener;
use crate::servers::{open, settings};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rowlock_blobs_s3::{Credentials, Problem, S3Settings};
use std::convert::Infallible;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;

const CHILD: &str = "ROWLOCK_TEST_AMBIENT_PORT";
const FAR: &str = "2099-01-01T00:00:00Z";

/// What the child does: it looks at the service twice. Returns whether this is the child.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
async fn in_child() -> bool {
    let Ok(port) = std::env::var(CHILD) else { return false };
    let port = port.parse().unwrap();
    let store = open(S3Settings { credentials: Credentials::Ambient, ..settings(port) }).await;
    for _ in 0..2 {
        let problem: Option<Problem> = store.problem().await;
        println!("problem: {problem:?}");
    }
    true
}

/// Runs a test's child with nothing but these of AWS's variables. Returns what it printed, and the
/// keys that its requests were signed with.
async fn child(test: &str, variables: &[(&str, String)]) -> (String, Vec<String>) {
    let (port, seen) = listener().await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("ambient::{test}"), "--nocapture"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        child.env_remove(name);
    }
    child.env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    child.env(CHILD, port.to_string());
    child.envs(variables.iter().map(|(name, value)| (name, value)));
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let key = |authorization: &str| {
        let from = authorization.split_once("Credential=").unwrap().1;
        from.split_once('/').unwrap().0.to_owned()
    };
    let keys = seen.lock().unwrap().iter().map(|(_, _, signed)| key(signed)).collect();
    (said, keys)
}

/// That the child's requests were signed with these keys, and went well.
async fn signs_with(test: &str, variables: &[(&str, String)], keys: [&str; 2]) {
    let (said, signed) = child(test, variables).await;
    assert_eq!(said.matches("problem: None").count(), 2, "{said}");
    assert_eq!(signed, keys, "{said}");
}

#[derive(Clone)]
struct Asked {
    request: String,
    /// `Authorization`, or the token of the instance's service.
    token: String,
    body: String,
}

/// One of AWS's services, by what it answers.
async fn stand_in(
    answer: impl Fn(&Asked, usize) -> (u16, String) + Clone + Send + Sync + 'static,
) -> (u16, Arc<Mutex<Vec<Asked>>>) {
    let all = Arc::<Mutex<Vec<Asked>>>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shared = Arc::clone(&all);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (all, answer) = (Arc::clone(&shared), answer.clone());
            tokio::spawn(async move {
                let service = service_fn(|request: Request<hyper::body::Incoming>| {
                    let (all, answer) = (Arc::clone(&all), answer.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let token = ["x-aws-ec2-metadata-token", "authorization"]
                            .iter()
                            .find_map(|name| head.headers.get(*name)?.to_str().ok());
                        let asked = Asked {
                            request: format!("{} {}", head.method, head.uri.path()),
                            token: token.unwrap_or_default().to_owned(),
                            body: String::from_utf8(body.to_vec()).unwrap(),
                        };
                        let mut all = all.lock().unwrap();
                        let (status, body) = answer(&asked, all.len());
                        all.push(asked);
                        let response = Response::builder()
                            .status(status)
                            .header("x-aws-ec2-metadata-token-ttl-seconds", "21600");
                        Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap())
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, all)
}

/// What a container's agent answers (Amazon ECS developer guide, "Task IAM role").
fn of_container(key: &str, until: &str) -> String {
    format!(
        r#"{{"AccessKeyId":"{key}","SecretAccessKey":"secret","Token":"token","Expiration":"{until}"}}"#
    )
}

fn container(port: u16) -> [(&'static str, String); 2] {
    [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://127.0.0.1:{port}/credentials")),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let me in".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_credentials_are_found() {
    if in_child().await {
        return;
    }
    let test = "a_containers_credentials_are_found";
    let (port, asked) = stand_in(|_, _| (200, of_container("ASIAROLE", FAR))).await;
    signs_with(test, &container(port), ["ASIAROLE"; 2]).await;
    let tokens: Vec<_> = asked.lock().unwrap().iter().map(|asked| asked.token.clone()).collect();
    assert_eq!(tokens, ["let me in"]);
    // And without any, nothing is sent.
    let (said, signed) = child(test, &[]).await;
    assert_eq!(said.matches("problem: Some(NoAccessKey)").count(), 2, "{said}");
    assert_eq!(signed, Vec::<String>::new());
}

/// Each is asked for once more when it is about to end.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_end_are_asked_for_again() {
    if in_child().await {
        return;
    }
    let (port, asked) = stand_in(|_, before| {
        let soon = DateTime::from(SystemTime::now() + Duration::from_secs(5));
        let until =
            if before == 0 { soon.fmt(DateTimeFormat::DateTime).unwrap() } else { FAR.into() };
        (200, of_container(["ASIAFIRST", "ASIASECOND"][before.min(1)], &until))
    })
    .await;
    let test = "credentials_that_end_are_asked_for_again";
    signs_with(test, &container(port), ["ASIAFIRST", "ASIASECOND"]).await;
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profiles_credentials_are_found() {
    if in_child().await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, heading: &str| {
        let path = folder.path().join(name);
        let text = format!(
            "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = d\n\n\
             [{heading}]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = o\n"
        );
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let test = "a_profiles_credentials_are_found";
    let shared = ("AWS_SHARED_CREDENTIALS_FILE", file("credentials", "other"));
    let config = ("AWS_CONFIG_FILE", file("config", "profile other"));
    for from in [shared, config] {
        signs_with(test, std::slice::from_ref(&from), ["AKIADEFAULT"; 2]).await;
        let profile = ("AWS_PROFILE", "other".to_owned());
        signs_with(test, &[from, profile], ["AKIAOTHER"; 2]).await;
    }
}

/// As in a Kubernetes pod with a service account (STS API reference, "AssumeRoleWithWebIdentity").
#[tokio::test(flavor = "multi_thread")]
async fn a_web_identitys_credentials_are_found() {
    if in_child().await {
        return;
    }
    let (port, asked) = stand_in(|_, _| {
        let answer = format!(
            "<AssumeRoleWithWebIdentityResponse \
               xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
             <Credentials><AccessKeyId>ASIAWEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{FAR}</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        );
        (200, answer)
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "the-pods-token").unwrap();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap().to_owned()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/storage".to_owned()),
        ("AWS_ENDPOINT_URL_STS", format!("http://127.0.0.1:{port}")),
    ];
    signs_with("a_web_identitys_credentials_are_found", &variables, ["ASIAWEB"; 2]).await;
    let asked = asked.lock().unwrap();
    let [asked] = &asked[..] else { panic!("asked {} times", asked.len()) };
    assert!(asked.body.contains("Action=AssumeRoleWithWebIdentity"), "{}", asked.body);
    assert!(asked.body.contains("WebIdentityToken=the-pods-token"), "{}", asked.body);
    assert!(asked.body.contains("role%2Fstorage"), "{}", asked.body);
}

/// The instance's metadata service in its second version (EC2 user guide, "Use IMDSv2").
#[tokio::test(flavor = "multi_thread")]
async fn an_instances_credentials_are_found() {
    if in_child().await {
        return;
    }
    const ROLES: &str = "GET /latest/meta-data/iam/security-credentials";
    let (port, asked) = stand_in(|asked, _| match asked.request.trim_end_matches('/') {
        "PUT /latest/api/token" => (200, "a-token".to_owned()),
        ROLES => (200, "the-role".to_owned()),
        request if request == format!("{ROLES}/the-role") => {
            let key = of_container("ASIAINSTANCE", FAR);
            let more =
                r#""Code":"Success","Type":"AWS-HMAC","LastUpdated":"2026-01-01T00:00:00Z","#;
            (200, key.replacen('{', &format!("{{{more}"), 1))
        }
        _ => (404, String::new()),
    })
    .await;
    let variables = [
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://127.0.0.1:{port}")),
    ];
    signs_with("an_instances_credentials_are_found", &variables, ["ASIAINSTANCE"; 2]).await;
    let asked = asked.lock().unwrap();
    let with_token = |asked: &Asked| asked.request.starts_with("PUT") || asked.token == "a-token";
    assert!(asked.iter().all(with_token), "asked without the token");
}
