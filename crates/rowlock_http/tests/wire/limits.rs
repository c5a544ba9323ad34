use std::time::Duration;

use rowlock_http::server::{Drained, ServerSettings};
use tokio::io::AsyncWriteExt;

use crate::support::{Seen, Server, eventually, header, status, tiny_app};

/// Short for a test, long for a busy machine's scheduler.
const SHORT: Duration = Duration::from_millis(400);

fn server(settings: ServerSettings) -> (Server, Seen) {
    let seen = Seen::default();
    (Server::start(settings, tiny_app(seen.clone())), seen)
}

#[tokio::test]
async fn a_slow_head_is_cut_with_408() {
    let (server, seen) = server(ServerSettings { header_timeout: SHORT, ..Default::default() });
    let mut client = server.connect().await;
    client.send(b"GET /a HTTP/1.1\r\nHost: h\r\n").await;
    // Drops of bytes don't buy more time.
    let dripping = async {
        while client.stream.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, dripping).await.unwrap();
    assert_eq!(status(&client.read_to_end().await), 408);
    assert_eq!(seen.requests(), [""; 0]);
}

#[tokio::test]
async fn silent_connections_are_closed_without_an_answer() {
    let settings = ServerSettings {
        header_timeout: SHORT,
        keep_alive_timeout: SHORT,
        ..ServerSettings::default()
    };
    let (server, _) = server(settings);
    assert_eq!(server.exchange(b"").await, "");
    let mut client = server.connect().await;
    client.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&client.answer().await.0), 200);
    assert_eq!(client.read_to_end().await, "");
}

#[tokio::test]
async fn a_running_request_is_not_idle() {
    let settings = ServerSettings {
        header_timeout: SHORT,
        keep_alive_timeout: SHORT,
        ..ServerSettings::default()
    };
    let (server, _) = server(settings);
    let mut client = server.connect().await;
    client.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.answer().await.1, b"slow");
}

#[tokio::test]
async fn a_body_may_be_slow_but_not_silent() {
    let (server, _) = server(ServerSettings { body_idle_timeout: SHORT * 3, ..Default::default() });
    let mut client = server.connect().await;
    client.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n").await;
    for byte in b"slowl" {
        tokio::time::sleep(SHORT).await;
        client.send(&[*byte]).await;
    }
    // Longer than the limit in all, and fine.
    assert_eq!(client.answer().await.1, b"slowl");
    client.send(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nsi").await;
    let answer = client.read_to_end().await;
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(answer.ends_with("stalled"), "{answer}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let (server, seen) = server(ServerSettings { send_timeout: SHORT, ..Default::default() });
    let mut client = server.connect().await;
    client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
    eventually(|| !seen.requests().is_empty()).await;
    tokio::time::sleep(SHORT * 3).await;
    let answer = client.read_to_end().await;
    assert_eq!(status(&answer), 200);
    assert!(answer.len() < 8 * 1024 * 1024, "{}", answer.len());
}

#[tokio::test]
async fn a_client_that_takes_the_end_slowly_is_not_idle() {
    let settings = ServerSettings { keep_alive_timeout: SHORT, ..ServerSettings::default() };
    let (server, _) = server(settings);
    let mut client = server.connect().await;
    client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
    // Its handler and its body are done with; the bytes wait.
    tokio::time::sleep(SHORT * 3).await;
    assert_eq!(client.answer().await.1.len(), 8 * 1024 * 1024);
    client.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&client.answer().await.0), 200);
    assert_eq!(client.read_to_end().await, "");
}

#[tokio::test]
async fn a_hundred_megabytes_refused_are_answered_before_they_are_sent() {
    let (server, _) = server(ServerSettings::default());
    for framing in ["Content-Length: 104857600", "Transfer-Encoding: chunked"] {
        let mut client = server.connect().await;
        client
            .send(format!("PUT /refuse HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n").as_bytes())
            .await;
        let mut piece = vec![b'x'; 1024 * 1024];
        if framing.starts_with('T') {
            piece = [b"100000\r\n", &piece[..], b"\r\n"].concat();
        }
        // As a simple client does: all of it, or until it breaks.
        for _ in 0..100 {
            if client.stream.write_all(&piece).await.is_err() {
                break;
            }
        }
        let answer = client.read_to_end().await;
        assert_eq!(status(&answer), 403, "{framing}");
        assert!(answer.ends_with("refused"), "{answer}");
        assert_eq!(header(&answer, "connection"), Some("close"));
    }
}

#[tokio::test]
async fn a_megabyte_refused_is_taken_to_its_end() {
    let (server, _) = server(ServerSettings::default());
    let mut client = server.connect().await;
    client.send(b"PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n").await;
    client.send(&vec![b'x'; 1_000_000]).await;
    assert_eq!(status(&client.answer().await.0), 403);
}

#[tokio::test]
async fn continue_is_said_only_to_those_who_are_read() {
    let (server, _) = server(ServerSettings::default());
    let expect = |path: &str| {
        format!(
            "PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = server.connect().await;
    client.send(expect("/a").as_bytes()).await;
    assert_eq!(status(&client.answer().await.0), 100);
    client.send(b"hi").await;
    assert_eq!(client.answer().await.1, b"hi");

    let answer = server.exchange(expect("/refuse").as_bytes()).await;
    assert_eq!(status(&answer), 403);
    assert!(!answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn a_connection_ends_where_continue_was_expected_of_no_body() {
    let (server, _) = server(ServerSettings::default());
    let put =
        |expect: &str| format!("PUT /a HTTP/1.1\r\nHost: h\r\n{expect}Content-Length: 0\r\n\r\n");
    let closes = |head: &str| head.to_ascii_lowercase().contains("connection: close");
    let mut client = server.connect().await;
    client.send(put("").as_bytes()).await;
    assert!(!closes(&client.answer().await.0));
    client.send(put("Expect: 100-continue\r\n").as_bytes()).await;
    let (head, _) = client.answer().await;
    assert_eq!(status(&head), 200, "{head}");
    assert!(closes(&head), "{head}");
}

#[tokio::test]
async fn the_handler_of_a_client_that_left_is_dropped() {
    let (server, seen) = server(ServerSettings::default());
    let mut client = server.connect().await;
    client.send(b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n").await;
    eventually(|| seen.requests().len() == 1).await;
    drop(client);
    eventually(|| seen.requests().last().is_some_and(|last| last == "dropped")).await;
}

#[tokio::test]
async fn a_panic_costs_one_answer() {
    let (server, _) = server(ServerSettings::default());
    assert_eq!(status(&server.exchange(b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n").await), 500);
    let mut client = server.connect().await;
    client.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&client.answer().await.0), 200);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let (server, seen) = server(ServerSettings::default());
    for head in ["Content-Length: 9\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n9\r\n"] {
        let mut client = server.connect().await;
        client.send(format!("PUT /a HTTP/1.1\r\nHost: h\r\n{head}half").as_bytes()).await;
        client.stream.shutdown().await.unwrap();
        client.read_to_end().await;
    }
    let errors = || seen.requests().iter().filter(|line| line.starts_with("error")).count();
    eventually(|| errors() == 2).await;
}

#[tokio::test]
async fn connections_above_the_cap_wait() {
    let (server, seen) = server(ServerSettings { max_connections: 1, ..Default::default() });
    let mut first = server.connect().await;
    first.send(b"GET /a HTTP/1.1\r\nHost: h\r\n").await;
    let mut second = server.connect().await;
    second.send(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n").await;
    tokio::time::sleep(SHORT).await;
    assert!(seen.requests().is_empty());
    // Who has been answered makes room.
    first.send(b"\r\n").await;
    let (head, _) = first.answer().await;
    assert_eq!(header(&head, "connection"), Some("close"));
    assert_eq!(status(&second.answer().await.0), 200);
    assert_eq!(seen.requests(), ["GET /a", "GET /b"]);
}

#[tokio::test]
async fn a_stop_lets_running_requests_finish_and_closes_idle_connections() {
    let (server, seen) = server(ServerSettings::default());
    let address = server.address;
    let mut idle = server.connect().await;
    idle.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    idle.answer().await;
    let mut running = server.connect().await;
    running.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    eventually(|| seen.requests().len() == 2).await;
    let ended = server.begin_stop();
    assert_eq!(idle.read_to_end().await, "");
    let (head, body) = running.answer().await;
    assert_eq!(body, b"slow");
    assert_eq!(header(&head, "connection"), Some("close"));
    assert_eq!(ended.await.unwrap(), Drained::All);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_stop_cuts_what_outlasts_its_grace() {
    let (server, seen) = server(ServerSettings { shutdown_grace: SHORT, ..Default::default() });
    let mut client = server.connect().await;
    client.send(b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n").await;
    eventually(|| seen.requests().len() == 1).await;
    assert_eq!(server.begin_stop().await.unwrap(), Drained::Cut);
    assert_eq!(client.read_to_end().await, "");
    assert_eq!(seen.requests().last().map(String::as_str), Some("dropped"));
}

#[tokio::test]
async fn both_loopbacks_share_a_port() {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    let listen = vec![
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
    ];
    let listeners = rowlock_http::server::bind(&ServerSettings { listen, ..Default::default() });
    let addresses = listeners.unwrap().addresses().to_vec();
    assert_ne!(addresses[0].port(), 0);
    assert!(addresses.iter().all(|address| address.port() == addresses[0].port()));
    // A machine without IPv6 has the first only.
    assert!(!addresses.is_empty() && addresses.len() <= 2);
}

#[tokio::test]
async fn a_refusal_tells_whether_the_connection_goes_on_whatever_was_read_by_then() {
    let (server, _) = server(ServerSettings::default());
    for (path, close) in [("/let-go", Some("close")), ("/read-and-refuse", None)] {
        for framing in ["Content-Length: 6", "Transfer-Encoding: chunked"] {
            let mut client = server.connect().await;
            let (first, rest) = match framing {
                "Content-Length: 6" => ("abc", "def"),
                _ => ("3\r\nabc\r\n", "3\r\ndef\r\n0\r\n\r\n"),
            };
            let head = format!("PUT {path} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{first}");
            client.send(head.as_bytes()).await;
            if close.is_none() {
                client.send(rest.as_bytes()).await;
            }
            let (head, _) = client.answer().await;
            assert_eq!((status(&head), header(&head, "connection")), (403, close), "{head}");
        }
    }
}
