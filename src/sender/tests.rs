//! Against real receivers on real sockets, most of which misbehave.

mod connections;
mod encrypted;
mod receiver;

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock;
use crate::domain::attempt::ErrorKind;
use crate::domain::payload_url::PayloadUrl;
use crate::domain::webhook::HttpMethod;
use receiver::Receiver;

fn sender() -> Sender {
    Sender::new(Arc::default())
}

fn request(url: &str) -> Request {
    Request {
        url: PayloadUrl::parse(url).expect("a payload URL"),
        method: HttpMethod::Post,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: "{\"event\": \"created\"}".into(),
        tls: TlsProfile::System,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(10),
        revision: 7,
        number: 1,
    }
}

/// One that is over soon where waiting is the point.
fn impatient(url: &str) -> Request {
    Request { timeout: Duration::from_millis(300), ..request(url) }
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered { status, retry_after: None }
}

fn unanswered(kind: ErrorKind) -> Outcome {
    Outcome::Unanswered { kind }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[actix_rt::test]
async fn a_request_arrives_as_it_was_asked_for() {
    let receiver = Receiver::answering(OK).await;
    let mut asked = request(&receiver.url("/hook/a%20b?x=1&y={z}"));
    asked.headers.push(("X-Hook-Signature".to_owned(), "first".to_owned()));
    asked.headers.push(("x-hook-signature".to_owned(), "last".to_owned()));
    asked.headers.push(("X-Name".to_owned(), "Köln".to_owned()));
    let attempt = sender().send(asked.clone()).await;

    assert_eq!(attempt.outcome, answered(200));
    assert_eq!((attempt.detail, attempt.revision), (None, 7));
    assert_eq!(attempt.remote_address, Some(receiver.address));
    assert_eq!(attempt.url, asked.url.url);
    assert_eq!((&attempt.response_excerpt[..], attempt.response_truncated), (&b"ok"[..], false));
    assert_eq!(attempt.response_headers, None);
    let timings = attempt.timings;
    assert!(timings.connect.is_some() && timings.dns.is_none() && timings.tls.is_none());
    assert!(timings.first_byte.is_some_and(|first| first <= timings.total));

    let received = receiver.requests().remove(0);
    assert!(received.head.starts_with("POST /hook/a%20b?x=1&y={z} HTTP/1.1\r\n"), "{}", received.head);
    assert_eq!(received.body, asked.body);
    assert_eq!(received.header("host"), Some(receiver.address.to_string().as_str()));
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("user-agent"), Some(concat!("netbox-webhookd/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(received.header("x-hook-signature"), Some("last"));
    assert_eq!(received.header("authorization"), None);
    assert!(received.head.contains("Köln"));
}

#[actix_rt::test]
async fn every_method_carries_the_body_and_userinfo_becomes_basic_authorization() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender();
    let url = format!("http://bob:p%40ss@{}/", receiver.address);
    let methods = [HttpMethod::Get, HttpMethod::Post, HttpMethod::Put, HttpMethod::Patch, HttpMethod::Delete];
    for method in methods {
        let attempt = sender.send(Request { method, ..request(&url) }).await;
        assert_eq!(attempt.outcome, answered(200), "{method:?}");
        assert!(!attempt.url.contains("bob"));
    }
    for (received, method) in receiver.requests().iter().zip(methods) {
        assert!(received.head.starts_with(method.as_str()), "{}", received.head);
        assert_eq!(received.body, request(&url).body);
        assert_eq!(received.header("authorization"), Some("Basic Ym9iOnBAc3M="));
    }
}

#[actix_rt::test]
async fn the_host_header_names_a_port_that_is_not_the_schemes_own() {
    for (url, host) in [
        ("http://h:443/", "h:443"),
        ("http://h:80/", "h"),
        ("https://h:80/", "h:80"),
        ("https://h:443/", "h"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ] {
        let sender = sender();
        let url = PayloadUrl::parse(url).expect("a payload URL");
        let client = sender.clients.get(&url, &TlsProfile::Unverified).map_err(|f| f.detail).expect("a client");
        assert_eq!(client.host, host);
    }
}

#[actix_rt::test]
async fn a_real_server_is_understood() {
    use actix_web::{App, HttpResponse, HttpServer, web};
    let server = HttpServer::new(|| {
        App::new()
            .route("/ok", web::post().to(|body: web::Bytes| async move { HttpResponse::Ok().body(body) }))
            .route("/created", web::post().to(HttpResponse::Created))
            .route("/broken", web::post().to(|| async { HttpResponse::InternalServerError().json(json!({"a": 1})) }))
            .route("/gone", web::post().to(HttpResponse::Gone))
    });
    let server = server.workers(1).bind("127.0.0.1:0").expect("a free port");
    let address = server.addrs()[0];
    let running = server.run();
    let handle = running.handle();
    actix_rt::spawn(running);

    let sender = sender();
    let send = async |path: &str| sender.send(request(&format!("http://{address}{path}"))).await;
    let ok = send("/ok").await;
    assert_eq!((ok.outcome, ok.response_excerpt), (answered(200), request("http://h/").body.to_vec()));
    assert_eq!(send("/created").await.outcome, answered(201));
    assert_eq!(send("/gone").await.detail.as_deref(), Some("HTTP 410 Gone"));
    let broken = send("/broken").await;
    assert_eq!(broken.outcome, answered(500));
    assert_eq!(broken.detail.as_deref(), Some("HTTP 500 Internal Server Error"));
    assert_eq!(broken.response_excerpt, b"{\"a\":1}");
    assert!(broken.response_headers.is_some_and(|h| h.contains("content-type: application/json\n")));
    handle.stop(false).await;
}

#[actix_rt::test]
async fn a_redirect_is_reported_not_followed() {
    let receiver =
        Receiver::answering("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/elsewhere\r\nContent-Length: 0\r\n\r\n")
            .await;
    let attempt = sender().send(request(&receiver.url("/"))).await;
    assert_eq!(attempt.outcome, answered(302));
    let detail = "HTTP 302 Found to http://127.0.0.1/elsewhere; redirects are not followed";
    assert_eq!(attempt.detail.as_deref(), Some(detail));
    assert_eq!(receiver.requests().len(), 1);
}

#[actix_rt::test]
async fn a_hold_is_read_from_the_answer() {
    let receiver = Receiver::answering("HTTP/1.1 429 Slow Down\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n").await;
    let attempt = sender().send(request(&receiver.url("/"))).await;
    let seventeen = Some(Duration::from_secs(17));
    assert_eq!(attempt.outcome, Outcome::Answered { status: 429, retry_after: seventeen });
    let receiver = Receiver::answering("HTTP/1.1 503 No\r\nRetry-After: later\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(sender().send(request(&receiver.url("/"))).await.outcome, answered(503));
}

#[actix_rt::test]
async fn silence_ends_at_the_total_deadline() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.hang().await;
    })
    .await;
    let attempt = sender().send(impatient(&receiver.url("/"))).await;
    assert_eq!(attempt.outcome, unanswered(ErrorKind::Timeout));
    assert_eq!(attempt.detail.as_deref(), Some("no answer within 300ms"));
    assert_eq!(attempt.remote_address, Some(receiver.address));
    assert!(attempt.timings.total >= Duration::from_millis(300) && attempt.timings.first_byte.is_none());
}

/// A head, then a byte of the body every 20 ms for as long as the sender takes them.
async fn dripping(head: &'static str) -> Receiver {
    Receiver::start(move |mut peer| async move {
        peer.request().await;
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut open = peer.write(head.as_bytes()).await;
        while open {
            pace.tick().await;
            open = peer.write(b"x").await;
        }
    })
    .await
}

#[actix_rt::test]
async fn a_dripping_success_ends_at_the_total_deadline_and_is_none() {
    let receiver = dripping("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n").await;
    let attempt = sender().send(impatient(&receiver.url("/"))).await;
    assert_eq!(attempt.outcome, unanswered(ErrorKind::Timeout));
    let detail = "HTTP 200, but the answer began but did not end within 300ms";
    assert_eq!(attempt.detail.as_deref(), Some(detail));
    assert!(attempt.response_truncated && attempt.response_excerpt.starts_with(b"x"));
    assert!(attempt.response_headers.is_some_and(|h| h.contains("content-length: 10000")));
    assert!(attempt.timings.total < Duration::from_secs(3));
}

#[actix_rt::test]
async fn a_refusal_counts_from_its_head_on() {
    let receiver = dripping("HTTP/1.1 503 No\r\nRetry-After: 5\r\nContent-Length: 10000\r\n\r\n").await;
    let attempt = sender().send(impatient(&receiver.url("/"))).await;
    let five = Some(Duration::from_secs(5));
    assert_eq!(attempt.outcome, Outcome::Answered { status: 503, retry_after: five });
    assert!(attempt.response_truncated);
}

#[actix_rt::test]
async fn a_peer_that_hangs_up_is_a_reset() {
    let close = Receiver::start(|mut peer| async move { drop(peer.request().await) }).await;
    let reset = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.reset();
    })
    .await;
    let midway = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    })
    .await;
    let chunked = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    })
    .await;
    let garbage = Receiver::answering("220 smtp.example ESMTP\r\n").await;
    for (receiver, words) in [
        (&close, "was closed before the answer"),
        (&reset, "broke before the answer"),
        (&midway, "in the middle of the answer"),
        (&chunked, "in the middle of the answer"),
        (&garbage, "is not HTTP/1.1"),
    ] {
        let attempt = sender().send(request(&receiver.url("/"))).await;
        assert_eq!(attempt.outcome, unanswered(ErrorKind::Reset), "{words}: {:?}", attempt.detail);
        assert!(attempt.detail.as_deref().is_some_and(|d| d.contains(words)), "{words}: {:?}", attempt.detail);
        assert_eq!(receiver.requests().len(), 1, "a fresh connection is no reason to send twice");
    }
}

#[actix_rt::test]
async fn nobody_there_is_unreached() {
    let port = {
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        gone.local_addr().expect("a bound listener has an address").port()
    };
    let attempt = sender().send(request(&format!("http://127.0.0.1:{port}/"))).await;
    assert_eq!(attempt.outcome, Outcome::Unreached { kind: ErrorKind::Connect });
    let detail = attempt.detail.expect("a reason");
    assert!(detail.starts_with(&format!("no connection to 127.0.0.1:{port}: Connection refused")), "{detail}");
    assert_eq!(attempt.remote_address, None);

    let attempt = sender().send(request("http://no-such-host.invalid/")).await;
    assert_eq!(attempt.outcome, Outcome::Unreached { kind: ErrorKind::Dns });
    assert!(attempt.detail.is_some_and(|d| d.starts_with("no-such-host.invalid was not resolved: ")));
}

#[actix_rt::test]
async fn connecting_has_a_deadline_of_its_own() {
    // A full backlog: the kernel leaves further connections waiting.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("a bound listener has an address");
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        filling.push(stream);
    }
    let request = Request { connect_timeout: Duration::from_millis(200), ..request(&format!("http://{address}/")) };
    let attempt = sender().send(request).await;
    assert_eq!(attempt.outcome, Outcome::Unreached { kind: ErrorKind::Connect });
    assert_eq!(attempt.detail.as_deref(), Some("no connection within 200ms"));
    assert!(attempt.timings.total < Duration::from_secs(5));
}

#[actix_rt::test]
async fn a_huge_success_is_a_success_read_in_part() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        let mut open = peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let chunk = format!("4000\r\n{}\r\n", "y".repeat(0x4000));
        while open {
            open = peer.write(chunk.as_bytes()).await;
        }
    })
    .await;
    let sender = sender();
    let first = sender.send(request(&receiver.url("/"))).await;
    assert_eq!((first.outcome, first.detail), (answered(200), None));
    assert_eq!((first.response_excerpt.len(), first.response_truncated), (256, true));
    let second = sender.send(Request { number: 2, ..request(&receiver.url("/")) }).await;
    assert_eq!((second.response_excerpt.len(), second.response_truncated), (4096, true));
    assert!(second.response_headers.is_some());
    let connections: Vec<usize> = receiver.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 1], "a connection with the rest of a body in it is not used again");
}

#[actix_rt::test]
async fn a_head_without_end_is_refused() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        let mut open = peer.write(b"HTTP/1.1 200 OK\r\nX: ").await;
        while open {
            open = peer.write(&[b'x'; 8192]).await;
        }
    })
    .await;
    let attempt = sender().send(request(&receiver.url("/"))).await;
    assert_eq!(attempt.outcome, Outcome::Refused { kind: ErrorKind::TooLarge });
}

#[actix_rt::test]
async fn many_headers_are_kept_in_part_and_never_break_a_line() {
    let lines: String = (0..80).map(|n| format!("X-{n}: {}\r\n", "v".repeat(200))).collect();
    let answer = format!("HTTP/1.1 500 No\r\nX-First: a\tb\r\n{lines}Content-Length: 0\r\n\r\n");
    let receiver = Receiver::answering(answer).await;
    let headers = sender().send(request(&receiver.url("/"))).await.response_headers.expect("headers");
    assert!(headers.len() <= 8 * 1024 && headers.len() > 7 * 1024, "{}", headers.len());
    assert!(headers.lines().all(|line| line.contains(": ") && !line.contains('\t')));
}

fn denying(network: &str) -> Arc<Egress> {
    Arc::new(Egress { allow: vec![], deny: vec![network.parse().expect("a network")] })
}

#[actix_rt::test]
async fn a_denied_address_is_not_reached_however_it_is_spelled() {
    let receiver = Receiver::answering(OK).await;
    let port = receiver.address.port();
    let sender = Sender::new(denying("127.0.0.0/8"));
    for host in
        ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "2130706433", "0x7f.1", "0.0.0.0", "[::]", "[::1]", "127.1"]
    {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let attempt = sender.send(Request { tls: TlsProfile::Unverified, ..request(&url) }).await;
            assert_eq!(attempt.outcome, Outcome::Refused { kind: ErrorKind::Blocked }, "{url}: {:?}", attempt.detail);
            let detail = attempt.detail.expect("a reason");
            assert!(detail.contains("127.0.0.0/8 of security.deny_networks"), "{detail}");
            assert_eq!(attempt.remote_address, None);
        }
    }
    assert!(receiver.requests().is_empty());
}

#[actix_rt::test]
async fn only_allowed_networks_are_reached() {
    let receiver = Receiver::answering(OK).await;
    let allow = |network: &str| Arc::new(Egress { allow: vec![network.parse().expect("a network")], deny: vec![] });
    let sender = Sender::new(allow("192.0.2.0/24"));
    let refused = sender.send(request(&receiver.url("/"))).await;
    assert_eq!(refused.outcome, Outcome::Refused { kind: ErrorKind::Blocked });
    assert!(refused.detail.is_some_and(|d| d.contains("127.0.0.1 is not in security.allow_networks")));
    sender.set_egress(allow("127.0.0.1/32"));
    assert!(sender.send(request(&receiver.url("/"))).await.succeeded());
}

#[actix_rt::test]
async fn new_rules_hold_for_kept_connections_too() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender();
    assert!(sender.send(request(&receiver.url("/"))).await.succeeded());
    sender.set_egress(denying("127.0.0.0/8"));
    let refused = sender.send(request(&receiver.url("/"))).await;
    assert_eq!(refused.outcome, Outcome::Refused { kind: ErrorKind::Blocked });
    assert_eq!(receiver.requests().len(), 1);
}

#[actix_rt::test]
async fn what_http_cannot_express_is_refused() {
    let mut bad = request("http://127.0.0.1:1/");
    bad.headers.push(("X-Bad".to_owned(), "a\r\nX-Evil: b".to_owned()));
    let attempt = sender().send(bad).await;
    assert_eq!(attempt.outcome, Outcome::Refused { kind: ErrorKind::Template });
    assert!(attempt.detail.is_some_and(|d| d.starts_with("header X-Bad cannot be sent")));
}
