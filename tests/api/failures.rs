//! What failing receivers cause: holds, pauses, retries, order, and the end of waiting.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Receiver, TestServer, ports, reply, site_event, wait_until, webhook};

fn path_of(webhook: &Value) -> String {
    format!("/api/endpoints/{}/", webhook["endpoint_id"])
}

fn numbers(receiver: &Receiver, count: usize) -> Vec<i64> {
    receiver.wait_for(count).iter().map(|r| r.json()["data"]["n"].as_i64().unwrap_or(-1)).collect()
}

#[test]
fn retry_after_holds_the_whole_endpoint_and_uses_no_attempt() {
    let receiver = Receiver::script([reply(429).header("Retry-After", "2")]);
    let server = TestServer::with_config("[delivery]\nmax_attempts = 1\n");
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    for object in 0..3 {
        server.emit(&site_event("updated", object, json!({})));
    }
    let requests = receiver.wait_for(4);
    assert!(requests[1].at.duration_since(requests[0].at) >= Duration::from_secs(2));
    server.wait_for(&path_of(&made), |e| e["delivered"] == json!(3) && e["failed"] == json!(0));
}

#[test]
fn holds_of_one_burst_do_not_add_up() {
    let mut first = 16;
    let receiver = Receiver::with(move |_| {
        first -= i32::from(first > 0);
        if first > 0 { reply(429).after(Duration::from_millis(300)) } else { reply(200) }
    });
    let server = TestServer::with_config("[delivery]\nconcurrency = 15\nbackoff_initial = \"1s\"\n");
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    for object in 0..15 {
        server.emit(&site_event("updated", object, json!({})));
    }
    let held = server.wait_for(&path_of(&made), |e| e["state"] == json!("backing_off"));
    // Doubled by each of the fifteen it would last for five minutes.
    let requests = receiver.wait_for(30);
    let wait = requests[15].at.duration_since(requests[14].at);
    assert!(wait < Duration::from_secs(6), "{wait:?}: {held}");
}

#[test]
fn gone_pauses_the_endpoint() {
    let receiver = Receiver::script([reply(410)]);
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    server.emit(&site_event("updated", 1, json!({})));
    let paused = server.wait_for(&path_of(&made), |e| e["state"] == json!("paused"));
    assert_eq!((&paused["paused_by"], &paused["failed"]), (&json!("410 Gone"), &json!(1)));
    server.emit(&site_event("updated", 2, json!({})));
    server.wait_for("/api/deliveries/?status=pending", |l| l["results"][0]["waiting_for"]["reason"] == json!("paused"));
    assert_eq!(receiver.count(), 1);
    server.post(&format!("{}resume/", path_of(&made)), &json!({})).expect(200);
    receiver.wait_for(2);
}

#[test]
fn attempts_are_used_up() {
    let receiver = Receiver::with(|_| reply(500));
    let server = TestServer::with_config("[delivery]\nmax_attempts = 3\nbackoff_initial = \"1ms\"\n");
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    server.emit(&site_event("updated", 1, json!({})));
    server.wait_for(&path_of(&made), |e| e["failed"] == json!(1) && e["state"] == json!("idle"));
    let row = server.wait_for("/api/deliveries/", |l| l["results"][0]["status"] == json!("failed"));
    assert_eq!((&row["results"][0]["attempt_count"], receiver.count()), (&json!(3), 3));
}

#[test]
fn strict_order_waits_for_a_failure_and_no_order_does_not() {
    for (ordering, objects, expected) in
        [("endpoint", [1, 2], [1, 1, 2]), ("object", [1, 2], [1, 2, 1]), ("none", [1, 1], [1, 2, 1])]
    {
        let receiver = Receiver::script([reply(500)]);
        let server =
            TestServer::with_config(format!("[delivery]\nordering = \"{ordering}\"\nbackoff_initial = \"700ms\"\n"));
        server.create_webhook(&webhook("a", &receiver.url("/a")));
        let events: Vec<Value> =
            objects.iter().zip(1..).map(|(o, n)| site_event("updated", *o, json!({"n": n}))).collect();
        server.post("/api/events/", &json!(events)).expect(202);
        assert_eq!(numbers(&receiver, 3), expected, "{ordering}");
    }
}

#[test]
fn a_disabled_webhook_steps_aside_for_another_with_its_url() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let (url, mut made) = (receiver.url("/a"), Vec::new());
    for name in ["one", "two"] {
        made.push(server.create_webhook(&webhook(name, &url)));
    }
    server.post(&format!("{}pause/", path_of(&made[0])), &json!({})).expect(200);
    server.emit(&site_event("updated", 1, json!({"n": 1})));
    let one = format!("/api/webhooks/{}/", made[0]["id"]);
    server.patch(&one, &json!({"enabled": false})).expect(200);
    server.emit(&site_event("updated", 1, json!({"n": 2})));
    server.post(&format!("{}resume/", path_of(&made[0])), &json!({})).expect(200);
    assert_eq!(numbers(&receiver, 2), [1, 2], "the other's, in order");
    server.wait_for("/api/deliveries/?status=pending", |l| {
        l["count"] == json!(1) && l["results"][0]["waiting_for"]["reason"] == json!("disabled")
    });
    server.patch(&one, &json!({"enabled": true})).expect(200);
    assert_eq!(numbers(&receiver, 3), [1, 2, 1]);
}

#[test]
fn max_age_ends_waiting_behind_an_open_breaker_but_not_what_was_never_tried() {
    let server = TestServer::with_config(
        "[delivery]\nmax_age = \"2s\"\nbreaker_threshold = 3\nbreaker_cooldown = \"5m\"\nconcurrency = 4\n\
         backoff_initial = \"10ms\"\n",
    );
    let made = server.create_webhook(&webhook("a", &format!("http://127.0.0.1:{}/a", ports::free())));
    // At once, so that all four are tried before the breaker opens.
    let events: Vec<Value> = (0..4).map(|object| site_event("updated", object, json!({}))).collect();
    server.post("/api/events/", &json!(events)).expect(202);
    server.wait_for(&path_of(&made), |e| e["state"] == json!("open"));
    server.emit(&site_event("updated", 9, json!({})));
    let ended = server.wait_for("/api/deliveries/?status=failed", |l| {
        let rows = l["results"].as_array().map_or(&[][..], Vec::as_slice);
        rows.len() == 4 && rows.iter().all(|d| d["error"] == json!("expired"))
    });
    server.wait_for("/api/deliveries/?status=pending", |l| l["results"].as_array().is_some_and(|rows| rows.len() == 1));
    let id = ended["results"][0]["id"].as_str().expect("an id");
    let detail = server.get(&format!("/api/deliveries/{id}/")).expect(200).json();
    let last = detail["attempts"].as_array().and_then(|a| a.last().cloned()).unwrap_or_default();
    assert_eq!(last["error"], json!("expired"), "{detail}");
    assert_eq!(server.endpoint(made["payload_url"].as_str().expect("a URL"))["failed"], json!(4));
}

#[test]
fn nothing_grows_old_while_paused_or_disabled() {
    let receiver = Receiver::script([reply(500), reply(500)]);
    let server = TestServer::with_config("[delivery]\nmax_age = \"2s\"\nbackoff_initial = \"1s\"\n");
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    let other = server.create_webhook(&webhook("b", &receiver.url("/b")));
    server.emit(&site_event("updated", 1, json!({})));
    receiver.wait_for(2);
    server.post(&format!("{}pause/", path_of(&made)), &json!({})).expect(200);
    server.patch(&format!("/api/webhooks/{}/", other["id"]), &json!({"enabled": false})).expect(200);
    let since = super::support::now();
    wait_until("both stood still for long", Duration::from_secs(20), || since.elapsed() > Duration::from_secs(7));
    server.post(&format!("{}resume/", path_of(&made)), &json!({})).expect(200);
    server.patch(&format!("/api/webhooks/{}/", other["id"]), &json!({"enabled": true})).expect(200);
    receiver.wait_for(4);
    server.wait_for("/api/status/", |s| s["deliveries"]["delivered"] == json!(2));
}

#[test]
fn a_bulk_retry_leaves_out_what_would_go_back_in_time() {
    let receiver = Receiver::script([reply(400), reply(400)]);
    let server = TestServer::start();
    server.create_webhook(&webhook("a", &receiver.url("/a")));
    for object in 1..=2 {
        server.emit(&site_event("updated", object, json!({"n": object})));
    }
    server.wait_for("/api/status/", |s| s["deliveries"]["failed"] == json!(2));
    server.emit(&site_event("updated", 1, json!({"n": 3})));
    server.wait_for("/api/status/", |s| s["deliveries"]["delivered"] == json!(1));
    let order = json!({"status": "failed", "skip_if_newer_delivered": true});
    let started = server.post("/api/deliveries/retry/", &order).expect(202).json();
    let done = server.wait_for(started["url"].as_str().expect("a URL"), |b| b["state"] == json!("finished"));
    assert_eq!((&done["done"], &done["skipped"]), (&json!(1), &json!(1)));
    assert_eq!(numbers(&receiver, 4), [1, 2, 3, 2]);
}

#[test]
fn a_bulk_action_is_stopped_and_what_is_done_stays_done() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    server.post(&format!("{}pause/", path_of(&made)), &json!({})).expect(200);
    let events: Vec<Value> = (0..6_000).map(|n| site_event("updated", n, json!({}))).collect();
    server.post("/api/events/", &json!(events)).expect(202);
    let started = server.post("/api/deliveries/cancel/", &json!({"status": "pending"})).expect(202).json();
    let url = started["url"].as_str().expect("a URL").to_owned();
    server.post(&format!("{url}cancel/"), &json!({})).expect(202);
    let stopped = server.wait_for(&url, |b| b["state"] != json!("running"));
    // It may have been faster.
    let done = stopped["done"].as_u64().expect("a number");
    assert!((stopped["state"] == json!("canceled")) == (done < 6_000), "{stopped}");
    let counted = |s: &Value| s["deliveries"]["canceled"].as_u64();
    server.wait_for("/api/status/", |s| counted(s) == Some(done) && s["deliveries"]["pending"] == json!(6_000 - done));
}
