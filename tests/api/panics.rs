//! Faults of ours: a panic in an attempt, a panic in an endpoint's actor.
#![cfg(feature = "crash-points")]

use serde_json::json;

use super::support::{Options, Receiver, TestServer, site_event, webhook};

fn options(fault: &str) -> Options {
    let config = "[delivery]\nbackoff_initial = \"10ms\"\n";
    ["panicked at", "a fault of ours", "a fault was asked for", "the actor of an endpoint"]
        .iter()
        .fold(Options::config(config).env("NBWD_FAULT_AT", fault), |options, part| options.expect_error(part))
}

#[test]
fn a_panic_in_an_attempt_is_that_deliverys_failure_alone() {
    let receiver = Receiver::start();
    let server = TestServer::with(options("attempt:1-1"));
    server.create_webhook(&webhook("a", &receiver.url("/a")));
    server.emit(&site_event("updated", 1, json!({})));
    let list = server.wait_for("/api/deliveries/", |l| l["results"][0]["status"] == json!("delivered"));
    let id = list["results"][0]["id"].as_str().expect("an id");
    let attempts = server.get(&format!("/api/deliveries/{id}/")).expect(200).json()["attempts"].clone();
    assert_eq!((&attempts[0]["error"], &attempts[1]["error"]), (&json!("internal"), &json!(null)));
}

#[test]
fn an_endpoint_whose_actor_broke_starts_anew_and_forgets_neither_deliveries_nor_places() {
    for fault in ["started:2-2", "outcome:2-2"] {
        let receiver = Receiver::start();
        let mut options = options(fault);
        // A place that is not returned would be missed at once.
        options.config += "concurrency = 2\norigin_concurrency = 2\nmax_in_flight = 2\n";
        let server = TestServer::with(options);
        let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
        for object in 0..20 {
            server.emit(&site_event("updated", object, json!({})));
        }
        server.wait_for(&format!("/api/endpoints/{}/", made["endpoint_id"]), |e| e["delivered"] == json!(20));
        assert!(receiver.count() <= 21, "at most the one whose outcome was lost is repeated: {}", receiver.count());
    }
}

#[test]
fn an_endpoint_whose_actor_keeps_breaking_is_quarantined_until_a_person_resumes_it() {
    let receiver = Receiver::start();
    let server = TestServer::with(options("outcome:1-3"));
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    server.emit(&site_event("updated", 1, json!({})));
    let path = format!("/api/endpoints/{}/", made["endpoint_id"]);
    server.wait_for(&path, |e| e["state"] == json!("quarantined"));
    assert_eq!(receiver.count(), 3);
    server.post(&format!("{path}resume/"), &json!({})).expect(200);
    server.wait_for(&path, |e| e["delivered"] == json!(1));
}
