use rowlock_http::server::ServerSettings;

use crate::support::{Seen, Server, header, status, tiny_app};

fn server() -> (Server, Seen) {
    let seen = Seen::default();
    (Server::start(ServerSettings::default(), tiny_app(seen.clone())), seen)
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// Sends a bad request with a second one hidden behind it, whole and then in single bytes: the
/// answer is one 400, the connection closes, and nothing reaches the app.
async fn refused(bad: &str) {
    let (server, seen) = server();
    let bytes = format!("{bad}{SMUGGLED}");
    let answer = server.exchange(bytes.as_bytes()).await;
    assert_eq!(status(&answer), 400, "{bad:?}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{bad:?}: {answer}");
    assert_eq!(header(&answer, "connection"), Some("close"), "{bad:?}");

    let mut client = server.connect().await;
    client.stream.set_nodelay(true).unwrap();
    for byte in bytes.as_bytes() {
        // The server closes before all of it is sent.
        if tokio::io::AsyncWriteExt::write_all(&mut client.stream, &[*byte]).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let answer = client.read_to_end().await;
    assert_eq!(status(&answer), 400, "in pieces: {bad:?}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "in pieces: {bad:?}: {answer}");
    assert_eq!(seen.requests(), [""; 0], "{bad:?}");
}

#[tokio::test]
async fn transfer_encoding_beside_content_length() {
    refused("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    refused("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn doubtful_content_lengths() {
    for lines in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1\r\ncontent-length: 1",
        "Content-Length: 1, 2",
        "Content-Length: +1",
        "Content-Length: -1",
        "Content-Length: 0x1",
        "Content-Length: 1a",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
    ] {
        refused(&format!("POST /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\nx")).await;
    }
}

#[tokio::test]
async fn transfer_encodings_other_than_chunked() {
    for value in [
        "gzip",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "xchunked",
        "chunked;q=1",
        "",
    ] {
        refused(&format!(
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {value}\r\n\r\n0\r\n\r\n"
        ))
        .await;
    }
    refused("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    refused("POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn bare_line_feeds() {
    refused("GET /a HTTP/1.1\nHost: h\r\n\r\n").await;
    refused("GET /a HTTP/1.1\r\nHost: h\n\r\n").await;
    refused("GET /a HTTP/1.1\r\nHost: h\nX: y\r\n\r\n").await;
    refused("GET /a HTTP/1.1\r\nHost: h\r\n\n").await;
    refused("\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    refused("GET /a HTTP/1.1\nHost: h\n\n").await;
}

#[tokio::test]
async fn doubtful_headers() {
    for line in [
        "X: a\r\n b",
        "X: a\r\n\tb",
        " X: a",
        "X : a",
        "X\t: a",
        "X: a\0b",
        "X: a\x01",
        "X: a\x7f",
        "X: a\rb",
        "\0: a",
        ": a",
        "no colon",
        "Host: other",
    ] {
        refused(&format!("GET /a HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n")).await;
    }
    refused("GET /a HTTP/1.1\r\n\r\n").await;
    refused("GET /a HTTP/1.1\r\n Host: h\r\n\r\n").await;
}

#[tokio::test]
async fn doubtful_request_lines() {
    for line in [
        "GET  /a HTTP/1.1",
        "GET /a  HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /a HTTP/1.1 ",
        "GET\t/a HTTP/1.1",
        "G\0ET /a HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /a HTTP/1.2",
        "GET /a HTTP/2.0",
        "GET /a",
    ] {
        refused(&format!("{line}\r\nHost: h\r\n\r\n")).await;
    }
}

/// A breach inside a body comes after its request was passed on: the body fails, the answer is
/// the handler's, and what follows is never read as a request.
#[tokio::test]
async fn broken_chunks() {
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3 ;x\0\r\nabc\r\n0\r\n\r\n",
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nContent-Length: 3\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\n\n",
    ] {
        let (server, seen) = server();
        let head = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = server.exchange(format!("{head}{body}{SMUGGLED}").as_bytes()).await;
        assert_eq!(status(&answer), 400, "{body:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{body:?}: {answer}");
        let requests = seen.requests();
        assert_eq!(requests[0], "POST /a", "{body:?}");
        assert!(requests[1].starts_with("error"), "{body:?}: {requests:?}");
        assert_eq!(requests.len(), 2, "{body:?}: {requests:?}");
    }
}

#[tokio::test]
async fn a_breach_behind_a_good_request_does_not_cost_its_answer() {
    let (server, seen) = server();
    let bytes = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok\
                 GET /b HTTP/1.1\r\nHost : h\r\n\r\n";
    let answer = server.exchange(bytes.as_bytes()).await;
    let answers: Vec<u16> =
        answer.split("HTTP/1.1 ").skip(1).map(|a| a[..3].parse().unwrap()).collect();
    assert_eq!(answers, [200, 400], "{answer}");
    assert_eq!(seen.requests(), ["POST /a"]);
}

#[tokio::test]
async fn long_heads_are_refused_and_large_ones_taken() {
    let (server, seen) = server();
    let with = |bytes: usize| {
        format!("GET /a HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "y".repeat(bytes)).into_bytes()
    };
    assert_eq!(status(&server.exchange(&with(70 * 1024)).await), 431);
    // Also where its end never comes.
    let endless = vec![b'a'; 300 * 1024];
    let endless = [b"GET /a HTTP/1.1\r\nHost: h\r\nX: ", &endless[..]].concat();
    assert_eq!(status(&server.exchange(&endless).await), 431);
    let many = format!("GET /a HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(1000));
    assert_eq!(status(&server.exchange(many.as_bytes()).await), 431);
    assert_eq!(seen.requests(), [""; 0]);
    let mut client = server.connect().await;
    client.send(&with(60 * 1024)).await;
    assert_eq!(status(&client.answer().await.0), 200);
}

#[tokio::test]
async fn one_connection_serves_many_requests_of_every_framing() {
    let (server, seen) = server();
    let mut client = server.connect().await;
    for round in 0..3 {
        client.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.answer().await.1, b"");
        client.send(b"PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe\nlo").await;
        assert_eq!(client.answer().await.1, b"he\nlo", "{round}");
        client
            .send(
                b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nab\r\n",
            )
            .await;
        client.send(b"3\r\nc\r\n\r\n0\r\nX-Sum: 1\r\n\r\n\r\n").await;
        assert_eq!(client.answer().await.1, b"abc\r\n", "{round}");
    }
    assert_eq!(seen.requests().len(), 9);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (server, _) = server();
    let mut client = server.connect().await;
    let mut bytes = Vec::new();
    for number in 0..50 {
        let body = format!("number {number} GET /x HTTP/1.1\r\n\r\n");
        bytes.extend(
            format!("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                .bytes(),
        );
    }
    client.send(&bytes).await;
    for number in 0..50 {
        let (_, body) = client.answer().await;
        assert_eq!(body, format!("number {number} GET /x HTTP/1.1\r\n\r\n").as_bytes());
    }
}

#[tokio::test]
async fn http_1_0_closes_unless_asked_to_stay() {
    let (server, _) = server();
    let answer = server.exchange(b"PUT /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi").await;
    assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
    let mut client = server.connect().await;
    for _ in 0..2 {
        client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(status(&client.answer().await.0), 200);
    }
}

#[tokio::test]
async fn an_offer_to_upgrade_is_ignored() {
    let (server, seen) = server();
    let mut client = server.connect().await;
    let upgrade = b"PUT /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: 2\r\n\r\nhi";
    for _ in 0..2 {
        client.send(upgrade).await;
        assert_eq!(client.answer().await.1, b"hi");
    }
    assert_eq!(seen.requests().len(), 2);
}
