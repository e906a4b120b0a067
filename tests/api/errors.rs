//! Requests that make no sense, and what they are told.

use serde_json::{Value, json};

use super::support::{Options, TestServer, server::TOKEN};

fn detail(answer: &Value) -> &str {
    answer["detail"].as_str().unwrap_or_else(|| panic!("no detail in {answer}"))
}

#[test]
fn unknown_urls_and_methods_are_answered_in_json() {
    let server = TestServer::start();
    for path in ["/api/nothing/", "/nothing", "/api/webhooks/seven/", "/api/deliveries/seven/"] {
        let answer = server.get(path).expect(404).json();
        assert!(!detail(&answer).is_empty(), "{path}");
    }
    assert!(detail(&server.get("/api/webhooks").expect(404).json()).contains("slash"));
    let answer = server.delete("/api/events/");
    assert_eq!(answer.header("allow"), Some("GET, POST"));
    assert!(detail(&answer.expect(405).json()).contains("GET, POST"));
    server.request("OPTIONS", "/api/deliveries/retry/", None).expect(405);
}

#[test]
fn a_body_that_is_not_json_says_where() {
    let server = TestServer::start();
    let authorization = format!("Token {TOKEN}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let answer =
        server.request_raw("POST", "/api/webhooks/", &headers, b"{\"name\": \"x\",\n oops}").expect(400).json();
    assert!(detail(&answer).contains("line 2"), "{answer}");
    server.request_raw("POST", "/api/webhooks/", &headers, b"[1]").expect(400);
    let form = [headers[0], ("Content-Type", "application/x-www-form-urlencoded")];
    server.request_raw("POST", "/api/webhooks/", &form, b"name=x").expect(415);
}

#[test]
fn bodies_beyond_their_limit_are_refused() {
    let server = TestServer::with_config("[server]\nmax_body = \"2MiB\"\nmax_batch = 3\n");
    let authorization = format!("Token {TOKEN}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let large = vec![b' '; (1 << 20) + 1];
    server.request_raw("POST", "/api/webhooks/", &headers, &large).expect(413);
    let event =
        |padding: usize| json!({"event": "created", "model": "Site", "data": {"id": 1, "x": "y".repeat(padding)}});
    server.post("/api/events/", &event(1 << 20)).expect(202);
    server.post("/api/events/", &event(2 << 20)).expect(413);
    server.post("/api/events/", &json!([event(1), event(1), event(1)])).expect(202);
    let answer = server.post("/api/events/", &json!([event(1), event(1), event(1), event(1)])).expect(413).json();
    assert!(detail(&answer).contains("max_batch"), "{answer}");
}

#[test]
fn query_parameters_are_checked_by_name() {
    let server = TestServer::start();
    for (path, name) in [
        ("/api/deliveries/?colour=red", "colour"),
        ("/api/deliveries/?status=broken", "status"),
        ("/api/deliveries/?limit=0", "limit"),
        ("/api/events/?limit=1001", "limit"),
        ("/api/events/?status=failed", "status"),
        ("/api/webhooks/?enabled=maybe", "enabled"),
        ("/api/endpoints/?cursor=x", "cursor"),
        ("/api/audit/?q=x", "q"),
    ] {
        let answer = server.get(path).expect(400).json();
        assert!(answer[name].is_array(), "{path}: {answer}");
    }
    server.get("/api/deliveries/?status=&webhook_id=&q=").expect(200);
}

#[test]
fn while_webhooks_are_disabled_nothing_is_taken() {
    let server = TestServer::with(Options::config("[webhooks]\nenabled = false\n"));
    let answer = server.post("/api/events/", &json!({"event": "created", "model": "Site", "data": {"id": 1}}));
    assert!(answer.header("retry-after").is_some());
    answer.expect(503);
    assert_eq!(server.get("/api/status/").expect(200).json()["enabled"], json!(false));
}
