//! Ending in good order.

use std::time::Duration;

use serde_json::json;

use super::support::{Receiver, TestServer, hang, now, reply, site_event, webhook};

#[test]
fn requests_in_flight_end_and_are_not_repeated() {
    let receiver = Receiver::script([reply(200).after(Duration::from_secs(1))]);
    let mut server = TestServer::start();
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    for object in 0..3 {
        server.emit(&site_event("updated", object, json!({})));
    }
    receiver.wait_for(1);
    assert!(server.terminate().success());
    assert_eq!(receiver.count(), 1, "nothing more is started");
    server.start_again();
    server.wait_for(&format!("/api/endpoints/{}/", made["endpoint_id"]), |e| e["delivered"] == json!(3));
    let objects: Vec<_> = receiver.requests().iter().map(|r| r.json()["data"]["id"].clone()).collect();
    assert_eq!(objects, [json!(0), json!(1), json!(2)]);
}

#[test]
fn one_timeout_covers_those_who_ask_and_what_is_in_flight() {
    let receiver = Receiver::with(|_| hang());
    let mut server = TestServer::with_config("[server]\nshutdown_timeout = \"3s\"\n");
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    server.emit(&site_event("updated", 1, json!({})));
    let path = format!("/api/webhooks/{}/test/", made["id"]);
    let address = server.address();
    let asking = std::thread::spawn(move || {
        let authorization = format!("Token {}", super::support::server::TOKEN);
        let headers = [("Content-Type", "application/json"), ("Authorization", authorization.as_str())];
        // The server goes away before it answers.
        let _ = super::support::Client::new(address).request("POST", &path, &headers, b"{}");
    });
    receiver.wait_for(2);
    let started = now();
    assert!(server.terminate().success());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    asking.join().expect("it asked");
}
