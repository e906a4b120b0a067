//! Limits: what endpoints share, rates, and the breaker.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{
    Options, Received, Receiver, TestServer, event_of, hang, now, reply, site_event, wait_until, webhook, webhook_of,
};

const SECOND: Duration = Duration::from_secs(1);

fn path_of(webhook: &Value) -> String {
    format!("/api/endpoints/{}/", webhook["endpoint_id"])
}

fn wait_for_requests(receiver: &Receiver, path: &str, count: usize) {
    let what = format!("{count} requests to {path} came");
    wait_until(&what, Duration::from_secs(20), || receiver.requests_to(path).len() >= count);
}

#[test]
fn a_shared_limit_serves_the_next_when_one_that_waits_is_paused() {
    let receiver = Receiver::start();
    receiver.on("/a", reply(200).after(2 * SECOND));
    let server = TestServer::with_config("[delivery]\norigin_concurrency = 1\n");
    let made = [("a", "dcim.site"), ("b", "dcim.device"), ("c", "dcim.rack")]
        .map(|(name, model)| server.create_webhook(&webhook_of(model, name, &receiver.url(&format!("/{name}")))));
    let waits = |webhook: &Value| server.wait_for(&path_of(webhook), |e| e["state"] == json!("throttled"));
    server.emit(&event_of("dcim.site", 1));
    wait_for_requests(&receiver, "/a", 1);
    server.emit(&event_of("dcim.device", 1));
    waits(&made[1]);
    server.emit(&event_of("dcim.rack", 1));
    waits(&made[2]);
    server.emit(&event_of("dcim.site", 2));
    server.post(&format!("{}pause/", path_of(&made[1])), &json!({})).expect(200);
    wait_for_requests(&receiver, "/c", 1);
    wait_for_requests(&receiver, "/a", 2);
    assert_eq!(receiver.requests_to("/b").len(), 0);
    server.post(&format!("{}resume/", path_of(&made[1])), &json!({})).expect(200);
    wait_for_requests(&receiver, "/b", 1);
}

#[test]
fn endpoints_that_ask_for_a_pause_do_not_stop_their_neighbours() {
    let mut count = 0;
    let receiver = Receiver::with(move |_| {
        count += 1;
        if count % 25 == 7 { reply(429).header("Retry-After", "1") } else { reply(200) }
    });
    let server = TestServer::with_config("[delivery]\norigin_concurrency = 2\nconcurrency = 4\n");
    for n in 0..6 {
        server.create_webhook(&webhook(&format!("w{n}"), &receiver.url(&format!("/{n}"))));
    }
    for object in 0..40 {
        server.emit(&site_event("updated", object, json!({})));
    }
    server.wait_for("/api/status/", |s| s["deliveries"]["delivered"] == json!(240));
}

#[test]
fn endpoints_that_hang_leave_room_for_those_that_answer() {
    const CAP: u64 = 8;
    let receiver = Receiver::start();
    let server = TestServer::with_config(format!(
        "[delivery]\nmax_in_flight = {CAP}\ntimeout = \"10s\"\norigin_concurrency = 1000\n"
    ));
    for n in 0..2 * CAP {
        receiver.on(&format!("/hang{n}"), hang());
        server.create_webhook(&webhook_of("dcim.rack", &format!("h{n}"), &receiver.url(&format!("/hang{n}"))));
    }
    for n in 0..2 {
        server.create_webhook(&webhook(&format!("good{n}"), &receiver.url(&format!("/good{n}"))));
    }
    server.emit(&site_event("updated", 0, json!({})));
    let served = || receiver.requests_to("/good0").len().min(receiver.requests_to("/good1").len());
    wait_until("the good ones are known to answer", 20 * SECOND, || served() == 1);
    for object in 0..3 {
        server.emit(&event_of("dcim.rack", object));
    }
    wait_until("the others hang", 20 * SECOND, || receiver.count() >= 2 + CAP as usize / 2);
    // Through first requests, timeouts and retries alike.
    let (start, mut object) = (now(), 0);
    while start.elapsed() < 15 * SECOND {
        object += 1;
        let sent = now();
        server.emit(&site_event("updated", object, json!({})));
        wait_until("the good ones are served", 20 * SECOND, || served() > object as usize);
        assert!(sent.elapsed() < 2 * SECOND, "event {object} took {:?}", sent.elapsed());
        wait_until("a moment passed", SECOND, || sent.elapsed() > SECOND / 10);
    }
}

/// In no window of time more than rate × window + burst arrive; a busy machine may deliver a little late.
fn assert_paced(requests: &[Received], per_second: f64, burst: f64) {
    for (i, from) in requests.iter().enumerate() {
        for (j, to) in requests.iter().enumerate().skip(i) {
            let window = to.at.duration_since(from.at).as_secs_f64() + 0.1;
            let (count, allowed) = ((j - i + 1) as f64, per_second * window + burst);
            assert!(count <= allowed, "{count} requests in {window} s, {allowed} are allowed");
        }
    }
}

#[test]
fn a_rate_is_kept_over_retirement_restart_and_change_and_a_full_bucket_stays_full() {
    let receiver = Receiver::start();
    let config = "[delivery]\nrate_limit = \"2/s\"\nburst = 4\n[log]\nlevel = \"debug\"\n";
    let mut server = TestServer::with(Options::config(config));
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    let burst = |server: &TestServer, before: usize| {
        for object in 0..6 {
            server.emit(&site_event("updated", object, json!({})));
        }
        receiver.wait_for(before + 6)
    };
    burst(&server, 0);
    let retired = || server.log().iter().any(|line| line.contains("an endpoint without work retires"));
    wait_until("the endpoint retires", 40 * SECOND, retired);
    let all = burst(&server, 6);
    let at_once = all[9].at.duration_since(all[6].at);
    assert!(at_once < SECOND, "its bucket was full, yet four requests took {at_once:?}");
    assert!(server.terminate().success());
    server.start_again();
    burst(&server, 12);
    assert_paced(&receiver.requests(), 2.0, 4.0);
    server.patch(&path_of(&made), &json!({"rate_limit": "10/s", "burst": 1})).expect(200);
    server.patch(&path_of(&made), &json!({"rate_limit": "2/s", "burst": 4})).expect(200);
    burst(&server, 18);
    // For a moment the rate was higher, no more than a token's worth.
    assert_paced(&receiver.requests(), 2.0, 6.0);
}

#[test]
fn a_changed_policy_acts_within_a_second() {
    let receiver = Receiver::start();
    let server = TestServer::with_config("[delivery]\nrate_limit = \"1/h\"\n");
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    for object in 0..3 {
        server.emit(&site_event("updated", object, json!({})));
    }
    server.wait_for("/api/deliveries/", |l| l["results"][0]["waiting_for"]["reason"] == json!("rate_limit"));
    let changed = now();
    server.patch(&path_of(&made), &json!({"rate_limit": ""})).expect(200);
    receiver.wait_for(3);
    assert!(changed.elapsed() < SECOND, "{:?}", changed.elapsed());
}

/// An endpoint whose breaker one failure opens, for minutes; `waiting` deliveries are due, one is to be retried.
fn broken(receiver: &Receiver, waiting: u64) -> (TestServer, Value) {
    let server = TestServer::with_config(
        "[delivery]\nbreaker_threshold = 1\nbreaker_cooldown = \"5m\"\nbackoff_initial = \"10ms\"\n",
    );
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    server.emit(&site_event("updated", 0, json!({})));
    server.wait_for(&path_of(&made), |e| e["state"] == json!("open"));
    for object in 1..=waiting {
        server.emit(&site_event("updated", object, json!({})));
    }
    server.wait_for("/api/deliveries/?limit=1", |l| l["results"][0]["waiting_for"]["reason"] == json!("breaker"));
    (server, made)
}

fn retry_first(server: &TestServer) {
    let first = server.wait_for("/api/deliveries/?status=retrying", |l| l["results"][0].is_object());
    let id = first["results"][0]["id"].as_str().expect("an id").to_owned();
    server.post(&format!("/api/deliveries/{id}/retry/"), &json!({})).expect(202);
}

#[test]
fn a_retry_by_hand_is_an_open_breakers_probe_at_once() {
    let receiver = Receiver::script([reply(502), reply(502)]);
    let (server, made) = broken(&receiver, 100);
    assert_eq!(receiver.count(), 1);
    retry_first(&server);
    let requests = receiver.wait_for(2);
    assert_eq!(requests[1].json()["data"]["id"], json!(0));
    server.wait_for(&path_of(&made), |e| e["state"] == json!("open"));
    assert_eq!(receiver.count(), 2, "one probe, and nothing else");
    retry_first(&server);
    // This one succeeds and closes the breaker for all.
    receiver.wait_for(103);
    server.wait_for(&path_of(&made), |e| e["delivered"] == json!(101) && e["state"] == json!("idle"));
}

#[test]
fn a_retry_by_hand_waits_under_a_pause_and_a_hold() {
    let receiver = Receiver::script([reply(429).header("Retry-After", "3")]);
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    server.emit(&site_event("updated", 0, json!({})));
    server.wait_for(&path_of(&made), |e| e["state"] == json!("backing_off"));
    retry_first(&server);
    let requests = receiver.wait_for(2);
    assert!(requests[1].at.duration_since(requests[0].at) >= 3 * SECOND);

    server.wait_for(&path_of(&made), |e| e["delivered"] == json!(1));
    receiver.now_script([reply(400)]);
    server.emit(&site_event("updated", 1, json!({})));
    let failed = server.wait_for("/api/deliveries/?status=failed", |l| l["results"][0].is_object());
    server.post(&format!("{}pause/", path_of(&made)), &json!({})).expect(200);
    let id = failed["results"][0]["id"].as_str().expect("an id").to_owned();
    let retried = server.post(&format!("/api/deliveries/{id}/retry/"), &json!({})).expect(202).json();
    assert_eq!(retried["waiting_for"]["reason"], json!("paused"), "{retried}");
    server.post(&format!("{}resume/", path_of(&made)), &json!({})).expect(200);
    receiver.wait_for(4);
}

#[test]
fn a_bulk_retry_waits_for_the_breaker_like_everything_else() {
    let receiver = Receiver::with(|_| reply(502));
    let server =
        TestServer::with_config("[delivery]\nbreaker_threshold = 1000\nmax_attempts = 1\nbackoff_initial = \"10ms\"\n");
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    for object in 0..10 {
        server.emit(&site_event("updated", object, json!({})));
    }
    server.wait_for("/api/status/", |s| s["deliveries"]["failed"] == json!(10));
    server.patch(&path_of(&made), &json!({"breaker_threshold": 1, "max_attempts": 9})).expect(200);
    server.emit(&site_event("updated", 99, json!({})));
    server.wait_for(&path_of(&made), |e| e["state"] == json!("open"));
    receiver.clear();
    let started = server.post("/api/deliveries/retry/", &json!({"status": "failed"})).expect(202).json();
    server.wait_for(started["url"].as_str().expect("a URL"), |b| b["state"] == json!("finished"));
    server.wait_for("/api/deliveries/?status=pending", |l| {
        let rows = l["results"].as_array().map_or(&[][..], Vec::as_slice);
        rows.len() == 10 && rows.iter().all(|d| d["waiting_for"]["reason"] == json!("breaker"))
    });
    assert_eq!(receiver.count(), 0);
}

#[test]
fn the_breaker_opens_and_its_probe_closes_it() {
    let receiver = Receiver::script([reply(502), reply(504), reply(502)]);
    let server = TestServer::with_config(
        "[delivery]\nbreaker_threshold = 2\nbreaker_cooldown = \"1s\"\nbackoff_initial = \"10ms\"\n",
    );
    let made = server.create_webhook(&webhook("a", &receiver.url("/a")));
    for object in 0..5 {
        server.emit(&site_event("updated", object, json!({})));
    }
    let requests = receiver.wait_for(8);
    let wait = |n: usize| requests[n].at.duration_since(requests[n - 1].at);
    assert!(wait(2) >= SECOND, "the first probe came after {:?}", wait(2));
    assert!(wait(3) >= 2 * SECOND, "the second probe came after {:?}", wait(3));
    server.wait_for(&path_of(&made), |e| e["state"] == json!("idle") && e["delivered"] == json!(5));
}
