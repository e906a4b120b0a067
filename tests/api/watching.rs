//! The live stream and the metrics tell of everything that happens.

use std::io::BufRead;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Options, Receiver, TestServer, hang, now, reply, site_event, webhook};

const PATIENCE: Duration = Duration::from_secs(30);

/// The changes of a stream, in order.
struct Changes(std::io::Lines<std::io::BufReader<TcpStream>>);

impl Changes {
    fn of(server: &TestServer) -> Self {
        let (_, stream) = server.open_stream("/api/stream/");
        let mut changes = Self(stream.lines());
        while !changes.line().contains("connected") {}
        changes
    }

    fn line(&mut self) -> String {
        self.0.next().expect("the stream goes on").expect("the stream goes on")
    }

    /// The next change; the stream's signs of life end the wait for one that does not come.
    fn next(&mut self) -> Value {
        let began = now();
        while began.elapsed() < PATIENCE {
            if let Some(json) = self.line().strip_prefix("data: ") {
                return serde_json::from_str(json).expect("JSON");
            }
        }
        panic!("no change came");
    }

    /// Reads on until a change of this type and state comes.
    fn until(&mut self, kind: &str, state: &str) -> Value {
        loop {
            let change = self.next();
            if change["type"] == json!(kind) && change["state"] == json!(state) {
                return change;
            }
        }
    }
}

#[test]
fn the_stream_tells_of_every_state_of_a_delivery() {
    let receiver = Receiver::script([reply(400), reply(500), reply(200)]);
    let server = TestServer::with_config("[delivery]\ncoalesce = true\nbackoff_initial = \"1ms\"\n");
    let made = server.create_webhook(&webhook("sites", &receiver.url("/")));
    let endpoint = format!("/api/endpoints/{}/", made["endpoint_id"]);
    let mut changes = Changes::of(&server);
    server.post(&format!("{endpoint}pause/"), &json!({})).expect(200);
    assert_eq!(changes.until("endpoint", "paused")["id"], made["endpoint_id"]);
    server.emit(&site_event("created", 1, json!({})));
    let older = changes.until("delivery", "pending");
    assert_eq!((&older["webhook_id"], &older["attempts"]), (&made["id"], &json!(0)));
    server.emit(&site_event("updated", 1, json!({})));
    assert_eq!(changes.until("delivery", "superseded")["id"], older["id"]);
    server.emit(&site_event("created", 2, json!({})));
    let list = server.wait_for("/api/deliveries/?object_id=2", |l| !l["results"][0].is_null());
    let second = list["results"][0]["id"].as_str().expect("an id");
    server.post(&format!("/api/deliveries/{second}/cancel/"), &json!({})).expect(202);
    assert_eq!(changes.until("delivery", "canceled")["id"], json!(second));
    server.post(&format!("{endpoint}resume/"), &json!({})).expect(200);
    let failed = changes.until("delivery", "failed");
    assert_eq!((&failed["status_code"], &failed["attempts"]), (&json!(400), &json!(1)));
    let path = format!("/api/deliveries/{}/retry/", failed["id"].as_str().expect("an id"));
    server.post(&path, &json!({})).expect(202);
    // A retry is told of by one thread and carried out by another: the first two may come in either order.
    let mut states = Vec::new();
    while states.last().is_none_or(|last| last != "delivered") {
        let change = changes.next();
        if change["type"] == json!("delivery") {
            assert_eq!(change["id"], failed["id"], "{change}");
            states.push(change["state"].as_str().expect("a state").to_owned());
        }
    }
    if states[0] == "in_flight" {
        states.swap(0, 1);
    }
    assert_eq!(states, ["pending", "in_flight", "retrying", "in_flight", "delivered"]);
}

#[test]
fn the_stream_tells_of_a_breaker_that_opens_and_closes_and_of_a_410() {
    let receiver = Receiver::script([reply(502), reply(200), reply(410)]);
    let server = TestServer::with_config(
        "[delivery]\nbreaker_threshold = 1\nbreaker_cooldown = \"50ms\"\nbackoff_initial = \"1ms\"\n",
    );
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    let mut changes = Changes::of(&server);
    server.emit(&site_event("created", 1, json!({})));
    changes.until("endpoint", "open");
    changes.until("endpoint", "half_open");
    changes.until("delivery", "delivered");
    server.emit(&site_event("created", 2, json!({})));
    changes.until("endpoint", "paused");
}

fn metric(server: &TestServer, line: &str) -> f64 {
    let text = server.get("/metrics").expect(200).text();
    let name = format!("netbox_webhookd_{line} ");
    let found = text.lines().find_map(|l| l.strip_prefix(&name));
    found.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
}

#[test]
fn metrics_tell_of_what_ended_unsent() {
    let receiver = Receiver::start();
    let server = TestServer::with_config("[delivery]\ncoalesce = true\n");
    let made = server.create_webhook(&webhook("sites", &receiver.url("/")));
    server.post(&format!("/api/endpoints/{}/pause/", made["endpoint_id"]), &json!({})).expect(200);
    server.emit(&site_event("created", 1, json!({})));
    server.emit(&site_event("updated", 1, json!({})));
    let bulk = server.post("/api/deliveries/cancel/", &json!({"status": "pending"})).expect(202).json();
    server.wait_for(bulk["url"].as_str().expect("a URL"), |b| b["state"] == json!("finished"));
    assert_eq!(metric(&server, "deliveries_total{outcome=\"superseded\"}"), 1.0);
    assert_eq!(metric(&server, "deliveries_total{outcome=\"canceled\"}"), 1.0);
}

#[test]
fn metrics_tell_what_due_deliveries_wait_for() {
    let receiver = Receiver::start();
    receiver.on("/down", reply(502));
    receiver.on("/slow", hang());
    let config = "[delivery]\nbreaker_threshold = 1\nbreaker_cooldown = \"5m\"\nbackoff_initial = \"1ms\"\n";
    let server = TestServer::with_config(config);
    let rated = server.create_webhook(&webhook("rated", &receiver.url("/rated")));
    server.create_webhook(&webhook("down", &receiver.url("/down")));
    server.create_webhook(&webhook("slow", &receiver.url("/slow")));
    server.patch(&format!("/api/endpoints/{}/", rated["endpoint_id"]), &json!({"rate_limit": "20/s"})).expect(200);
    for n in 1..=3 {
        server.emit(&site_event("created", n, json!({})));
    }
    server.wait_for("/api/status/", |_| {
        metric(&server, "breaker_open") == 1.0
            && ["rate_limit", "breaker", "concurrency"]
                .iter()
                .all(|reason| metric(&server, &format!("throttled_seconds_total{{reason=\"{reason}\"}}")) > 0.0)
    });
}

#[test]
fn an_event_refused_for_the_backlog_is_counted_as_busy() {
    let options = Options::default().env("NETBOX_WEBHOOKD__STORE__MAX_BACKLOG", "1");
    let server = TestServer::with(options);
    server.create_webhook(&webhook("a", "http://127.0.0.1:9/a"));
    server.create_webhook(&webhook("b", "http://127.0.0.1:9/b"));
    server.post("/api/events/", &site_event("created", 1, json!({}))).expect(503);
    assert_eq!(metric(&server, "events_refused_total{reason=\"busy\"}"), 1.0);
    assert_eq!(metric(&server, "events_refused_total{reason=\"store\"}"), 0.0);
}
