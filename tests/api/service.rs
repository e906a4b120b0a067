//! Health, status, metrics, the live stream, the schema and its page.

use std::io::{BufRead, Read};

use serde_json::json;

use super::support::{Options, Receiver, TestServer, site_event, webhook};

#[test]
fn health_needs_no_token() {
    let server = TestServer::start();
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(server.request_as(None, "GET", path, None).expect(200).json(), json!({"status": "ok"}));
    }
    let root = server.request_as(None, "GET", "/", None).expect(302);
    assert_eq!(root.header("location"), Some("/admin/webhook-backend-status/"));
}

#[test]
fn status_and_metrics_count_what_happened() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    server.get("/metrics").expect(200);
    for n in 1..=3 {
        server.emit(&site_event("created", n, json!({})));
    }
    receiver.wait_for(3);
    let status = server.wait_for("/api/status/", |s| s["deliveries"]["delivered"] == json!(3));
    assert_eq!((&status["version"], &status["enabled"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(true)));
    assert_eq!((&status["store"]["health"], &status["events"]), (&json!("ok"), &json!(3)));
    assert!(status["store"]["size_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    assert_eq!((status["nodes"].as_array().map(Vec::len), &status["deliveries"]["failed"]), (Some(1), &json!(0)));
    server.wait_for("/api/status/", |s| {
        s["intake_rate"].as_f64().is_some_and(|r| r > 0.0) && s["delivery_rate"].as_f64().is_some_and(|r| r > 0.0)
    });
    let metrics = server.get("/metrics").expect(200);
    assert!(metrics.header("content-type").is_some_and(|t| t.starts_with("text/plain; version=0.0.4")));
    let text = metrics.text();
    for line in [
        "netbox_webhookd_events_accepted_total 3",
        "netbox_webhookd_deliveries_total{outcome=\"delivered\"} 3",
        "netbox_webhookd_attempts_total{kind=\"success\"} 3",
        "netbox_webhookd_accept_seconds_count 3",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    assert!(text.contains("netbox_webhookd_endpoint_delivered{endpoint=\"1\""), "{text}");
}

#[test]
fn the_stream_tells_of_state_changes_as_they_happen() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    let (head, mut lines) = server.open_stream("/api/stream/");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let mut until = |wanted: &str| {
        // Heartbeats and the sizes of chunks come in between; they hold nothing that is looked for.
        for line in lines.by_ref().lines().take(40) {
            if line.expect("the stream goes on").contains(wanted) {
                return;
            }
        }
        panic!("{wanted} did not come");
    };
    until("connected");
    server.emit(&site_event("created", 1, json!({})));
    until("delivered");
}

#[test]
fn an_open_stream_does_not_hold_up_a_shutdown() {
    let mut server = TestServer::with_config("[server]\nshutdown_timeout = \"20s\"\n");
    let stream = server.open_stream("/api/stream/");
    let started = super::support::now();
    assert!(server.terminate().success());
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
    drop(stream);
}

#[test]
fn the_schema_and_its_page_are_served() {
    let server = TestServer::start();
    let schema = server.request_as(None, "GET", "/api/schema/", None).expect(200).json();
    assert_eq!((&schema["openapi"], &schema["servers"][0]["url"]), (&json!("3.1.0"), &json!("/")));
    let docs = server.request_as(None, "GET", "/api/docs/", None).expect(200);
    let policy = docs.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(docs.text().contains("/api/deliveries/{id}/retry/") && !docs.text().contains("<script"));
}

#[test]
fn everything_lies_below_the_base_path() {
    let server = TestServer::prepare(Options::config("[server]\nbase_path = \"/hooks\"\n"));
    // Its own check of readiness knows no base path.
    let mut server = server;
    server.spawn();
    let ready = || {
        std::net::TcpStream::connect(server.address()).is_ok()
            && server.request_as(None, "GET", "/hooks/health/ready", None).status == 200
    };
    super::support::wait_until("the server is ready", std::time::Duration::from_secs(40), ready);
    let webhooks = server.get("/hooks/api/webhooks/").expect(200).json();
    assert_eq!(webhooks["results"], json!([]));
    assert_eq!(server.get("/hooks/api/schema/").expect(200).json()["servers"][0]["url"], json!("/hooks"));
    server.get("/api/webhooks/").expect(404);
    let allow = server.delete("/hooks/api/events/");
    assert_eq!((allow.status, allow.header("allow")), (405, Some("GET, POST")));
}
