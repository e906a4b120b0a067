//! The scripted receiver does what tests say it does.

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use support::{Client, Receiver, close, drip, hang, now, reply, reset};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn replies_come_in_the_order_of_the_script_and_then_200() {
    let receiver = Receiver::script([reply(503).header("Retry-After", "7").body("later"), reply(404)]);
    let mut client = Client::new(receiver.address());
    let first = client.request("POST", "/a?b=c", &[("X-One", "1")], b"body").expect("an answer");
    assert_eq!((first.status, first.header("retry-after"), &*first.text()), (503, Some("7"), "later"));
    assert_eq!(client.request("GET", "/", &[], b"").expect("an answer").status, 404);
    assert_eq!(client.request("GET", "/", &[], b"").expect("an answer").status, 200);

    let requests = receiver.wait_for(3);
    assert_eq!((&*requests[0].method, &*requests[0].path, &*requests[0].text()), ("POST", "/a?b=c", "body"));
    assert_eq!(requests[0].header("x-one"), Some("1"));
    assert_eq!(requests.iter().map(|r| r.answered).collect::<Vec<_>>(), [Some(503), Some(404), Some(200)]);
    assert!(requests.iter().all(|r| r.connection == 0), "keep-alive");
}

#[test]
fn a_path_may_have_a_reply_of_its_own() {
    let receiver = Receiver::script([reply(201)]);
    receiver.on("/bad", reply(500));
    let mut client = Client::new(receiver.address());
    for (path, status) in [("/bad", 500), ("/good", 201), ("/bad", 500), ("/good", 200)] {
        assert_eq!(client.request("POST", path, &[], b"").expect("an answer").status, status, "{path}");
    }
    assert_eq!(receiver.requests_to("/bad").len(), 2);
}

#[test]
fn a_hanging_reply_never_comes() {
    let receiver = Receiver::script([hang()]);
    let error = Client::with_timeout(receiver.address(), SHORT).request("GET", "/", &[], b"").expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(receiver.wait_for(1)[0].answered, None);
}

#[test]
fn a_connection_is_reset_or_closed() {
    let receiver = Receiver::script([reset(), close()]);
    let mut client = Client::new(receiver.address());
    let error = client.request("POST", "/", &[], b"x").expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = client.request("POST", "/", &[], b"x").expect_err("a closed connection");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_dripping_reply_outlasts_a_timeout_between_bytes() {
    let receiver = Receiver::script([drip(SHORT / 10)]);
    let (head, mut body) = support::http::open_stream(receiver.address(), "/", &[]).expect("a head");
    assert_eq!(head.status, 200);
    let (began, mut bytes) = (now(), [0; 5]);
    std::io::Read::read_exact(&mut body, &mut bytes).expect("some bytes");
    assert!(began.elapsed() >= SHORT / 10 * 3, "they do not come at once");
}

#[test]
fn a_receiver_goes_down_and_comes_back_on_the_same_port() {
    let mut receiver = Receiver::start();
    let mut client = Client::new(receiver.address());
    client.request("GET", "/", &[], b"").expect("an answer");
    receiver.down();
    client.request("GET", "/", &[], b"").expect_err("the old connection is closed");
    let error = client.request("GET", "/", &[], b"").expect_err("new ones are refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    receiver.up();
    assert_eq!(client.request("GET", "/", &[], b"").expect("an answer").status, 200);
    drop(client);
    receiver.settle();
}

#[test]
fn a_delayed_reply_takes_its_time() {
    let receiver = Receiver::script([reply(200).after(SHORT)]);
    let began = now();
    Client::new(receiver.address()).request("GET", "/", &[], b"").expect("an answer");
    assert!(began.elapsed() >= SHORT);
}
