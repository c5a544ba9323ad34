use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rowlock_http::gateway::{ForwardingSettings, GatewaySettings, PublicUrl};
use rowlock_http::server::ServerSettings;

use crate::front::front;
use crate::support::{Client, Seen, Server, eventually, header, status, tiny_app};

/// An nginx of our own in front of a server; stopped with the test.
struct Nginx {
    address: SocketAddr,
    process: Child,
    folder: tempfile::TempDir,
}

impl Nginx {
    async fn before(backend: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Free a moment ago; nginx cannot be told to choose.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"))
            .collect();
        let config = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;
             events {{ worker_connections 256; }}
             http {{
               access_log off; client_max_body_size 0; {temporary}
               upstream storage {{ server {backend}; keepalive 4; }}
               proxy_http_version 1.1;
               proxy_set_header Connection '';
               server {{
                 listen {address};
                 location / {{ proxy_pass http://storage; }}
                 location /streamed/ {{
                   proxy_pass http://storage/;
                   proxy_request_buffering off;
                 }}
                 location /storage/v1/ {{
                   proxy_pass http://storage/;
                   proxy_set_header X-Forwarded-Host $http_host;
                   proxy_set_header X-Forwarded-Port 8443;
                   proxy_set_header X-Forwarded-Prefix /storage/v1;
                 }}
               }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let process = Command::new(program())
            .args(["-e", "stderr", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .expect("these tests need nginx (apt-get install nginx)");
        let nginx = Self { address, process, folder };
        eventually(|| std::net::TcpStream::connect(address).is_ok()).await;
        nginx
    }

    async fn connect(&self) -> Client {
        Client::to(self.address).await
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Debian installs it where only root's PATH looks.
fn program() -> PathBuf {
    let usual = PathBuf::from("/usr/sbin/nginx");
    if usual.exists() { usual } else { PathBuf::from("nginx") }
}

async fn tiny() -> (Server, Seen, Nginx) {
    let seen = Seen::default();
    let server = Server::start(ServerSettings::default(), tiny_app(seen.clone()));
    let nginx = Nginx::before(server.address).await;
    (server, seen, nginx)
}

#[tokio::test]
async fn bodies_pass_through_nginx_in_every_framing() {
    let (_server, _, nginx) = tiny().await;
    let body: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let mut client = nginx.connect().await;
    for path in ["/a", "/streamed/a", "/a"] {
        let head =
            format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send(head.as_bytes()).await;
        client.send(&body).await;
        assert!(whole(client.answer().await) == body, "{path}");
        let head = format!("PUT {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(head.as_bytes()).await;
        for piece in body.chunks(70_001) {
            client.send(format!("{:x}\r\n", piece.len()).as_bytes()).await;
            client.send(piece).await;
            client.send(b"\r\n").await;
        }
        client.send(b"0\r\n\r\n").await;
        assert!(whole(client.answer().await) == body, "{path} in chunks");
    }
}

/// Requests that two servers in a row could read differently: whatever nginx makes of them, the
/// hidden second request never reaches the app.
#[tokio::test]
async fn nothing_is_smuggled_behind_nginx() {
    let (_server, seen, nginx) = tiny().await;
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let length = hidden.len();
    for head in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("Content-Length: {length}\r\nTransfer-Encoding : chunked\r\n\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: xchunked\r\n\r\n"),
        format!("Content-Length: {length}\r\n Transfer-Encoding: chunked\r\n\r\n"),
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n"),
        format!("Content-Length: {length}\r\nX: a\nTransfer-Encoding: chunked\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x};\n{hidden}\r\n0\r\n\r\n"),
    ] {
        for path in ["/a", "/streamed/a"] {
            let mut client = nginx.connect().await;
            let bytes =
                format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{head}{hidden}");
            client.send(bytes.as_bytes()).await;
            client.read_to_end().await;
            let requests = seen.requests();
            assert!(!requests.iter().any(|r| r.contains("smuggled")), "{head:?}: {requests:?}");
        }
    }
    // The server is whole after all this.
    let mut client = nginx.connect().await;
    client.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.1, b"ok");
}

#[tokio::test]
async fn an_early_refusal_comes_through_nginx() {
    let (_server, _, nginx) = tiny().await;
    for path in ["/streamed/refuse", "/refuse"] {
        for round in 0..5 {
            let mut client = nginx.connect().await;
            let head =
                format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n");
            client.send(head.as_bytes()).await;
            for _ in 0..20 {
                let piece = vec![b'x'; 1_000_000];
                if tokio::io::AsyncWriteExt::write_all(&mut client.stream, &piece).await.is_err() {
                    break;
                }
            }
            let (head, _) = client.answer().await;
            assert_eq!(status(&head), 403, "{path} {round}: {head} {}", nginx.log());
        }
    }
}

#[tokio::test]
async fn the_signed_host_and_path_are_found_behind_nginx() {
    let settings = GatewaySettings {
        forwarding: ForwardingSettings {
            public_url: Some(PublicUrl::parse("http://localhost:8000").unwrap()),
            allow_forwarded_path: true,
            ..ForwardingSettings::default()
        },
        ..GatewaySettings::default()
    };
    let (server, _) = front(settings, true);
    let nginx = Nginx::before(server.address).await;
    let mut client = nginx.connect().await;
    client.send(b"GET /storage/v1/s3/b/k HTTP/1.1\r\nHost: signed.example\r\n\r\n").await;
    let (head, body) = client.answer().await;
    let told = String::from_utf8(body).unwrap();
    assert!(told.contains("prefix=None"), "{told}");
    assert!(told.contains(r#"paths=["/s3/b/k", "/storage/v1/s3/b/k", "/b/k"]"#), "{told}");
    let hosts = r#"hosts=["localhost:8000", "signed.example:8443", "signed.example", "storage"]"#;
    assert!(told.contains(hosts), "{told}");
    assert_eq!(header(&head, "access-control-allow-origin"), Some("*"));
}

fn whole((head, body): (String, Vec<u8>)) -> Vec<u8> {
    assert_eq!(status(&head), 200, "{head}");
    body
}
