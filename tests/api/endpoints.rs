//! Endpoints: policy, pause and resume.

use serde_json::json;

use super::support::{Receiver, TestServer, reply, site_event, webhook};

#[test]
fn a_policy_is_changed_and_reset_key_by_key() {
    let receiver = Receiver::start();
    let config = format!("[delivery]\nburst = 3\n\n[[endpoint]]\nurl = \"{}\"\nconcurrency = 2\n", receiver.url("/*"));
    let server = TestServer::with_config(config);
    let made = server.create_webhook(&webhook("sites", &receiver.url("/a")));
    let path = format!("/api/endpoints/{}/", made["endpoint_id"]);
    let shown = server.get(&path).expect(200).json();
    assert_eq!(shown["url"], json!(receiver.url("/a")));
    assert_eq!((&shown["state"], &shown["webhook_ids"]), (&json!("idle"), &json!([made["id"]])));
    assert_eq!(
        (&shown["policy"]["concurrency"], &shown["policy_origin"]["concurrency"]),
        (&json!(2), &json!("config:4"))
    );
    assert_eq!((&shown["policy"]["rate_limit"], &shown["policy_origin"]["burst"]), (&json!(""), &json!("default")));

    let patched = server.patch(&path, &json!({"rate_limit": "10/s", "concurrency": 5})).expect(200).json();
    assert_eq!(
        (&patched["policy"]["rate_limit"], &patched["policy_origin"]["rate_limit"]),
        (&json!("10/s"), &json!("api"))
    );
    assert_eq!(patched["policy"]["concurrency"], json!(5));
    let reset = server.patch(&path, &json!({"policy": {"concurrency": null}})).expect(200).json();
    assert_eq!((&reset["policy"]["concurrency"], &reset["policy"]["rate_limit"]), (&json!(2), &json!("10/s")));
    let bad = server.patch(&path, &json!({"rate_limit": "fast", "colour": 1})).expect(400).json();
    assert!(bad["rate_limit"].is_array() && bad["colour"].is_array(), "{bad}");
    server.get("/api/endpoints/999/").expect(404);
}

#[test]
fn a_paused_endpoint_holds_its_backlog_and_resumes_in_order() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", &receiver.url("/a")));
    let path = format!("/api/endpoints/{}/", made["endpoint_id"]);
    let paused = server.post(&format!("{path}pause/"), &json!({})).expect(200).json();
    assert_eq!(paused["state"], json!("paused"));
    assert!(paused["paused_by"].is_string() && paused["paused_since"].is_string(), "{paused}");
    for n in 1..=3 {
        server.emit(&site_event("updated", n, json!({})));
    }
    assert_eq!(server.get(&path).json()["pending"], json!(3));
    // Lists are complete within a second.
    server.wait_for("/api/deliveries/?status=pending", |l| {
        let waiting = l["results"].as_array().map_or(&[][..], Vec::as_slice);
        waiting.len() == 3 && waiting.iter().all(|d| d["waiting_for"]["reason"] == json!("paused"))
    });
    assert_eq!(receiver.count(), 0);
    server.post(&format!("{path}resume/"), &json!({})).expect(200);
    let objects: Vec<_> = receiver.wait_for(3).iter().map(|r| r.json()["data"]["id"].clone()).collect();
    assert_eq!(objects, [json!(1), json!(2), json!(3)]);
    server.wait_for(&path, |e| e["delivered"] == json!(3) && e["state"] == json!("idle"));
}

#[test]
fn resuming_closes_the_breaker_at_once() {
    let receiver = Receiver::script([reply(502), reply(200)]);
    let server = TestServer::with_config(
        "[delivery]\nbreaker_threshold = 1\nbreaker_cooldown = \"5m\"\nbackoff_initial = \"1ms\"\n",
    );
    let made = server.create_webhook(&webhook("sites", &receiver.url("/a")));
    let path = format!("/api/endpoints/{}/", made["endpoint_id"]);
    server.emit(&site_event("updated", 1, json!({})));
    server.wait_for(&path, |e| e["state"] == json!("open"));
    let waiting = server.wait_for("/api/deliveries/", |l| l["results"][0]["waiting_for"]["reason"] == json!("breaker"));
    assert!(waiting["results"][0]["waiting_for"]["until"].is_string(), "{waiting}");
    server.post(&format!("{path}resume/"), &json!({})).expect(200);
    receiver.wait_for(2);
    server.wait_for(&path, |e| e["delivered"] == json!(1));
}

#[test]
fn a_list_of_endpoints_is_filtered_by_state_and_ordered_by_what_matters() {
    let receiver = Receiver::start();
    receiver.on("/bad", reply(404));
    let server = TestServer::start();
    let mut ids = Vec::new();
    for name in ["good", "bad", "idle"] {
        let model = if name == "idle" { "dcim.rack" } else { "dcim.site" };
        let made = server
            .create_webhook(&json!({"name": name, "models": [model], "type_create": true, "type_update": true,
            "payload_url": receiver.url(&format!("/{name}"))}));
        ids.push(made["endpoint_id"].clone());
    }
    server.emit(&site_event("updated", 1, json!({})));
    server.wait_for("/api/endpoints/?ordering=-failed", |l| l["results"][0]["failed"] == json!(1));
    let order = |ordering: &str| {
        let listed = server.list(&format!("/api/endpoints/?ordering={ordering}"));
        listed.iter().map(|e| e["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(order("id"), ids);
    assert_eq!(order("-failed"), [ids[1].clone(), ids[0].clone(), ids[2].clone()]);
    assert_eq!(order("-rate")[0], ids[0]);
    server.post(&format!("/api/endpoints/{}/pause/", ids[0]), &json!({})).expect(200);
    server.emit(&site_event("updated", 2, json!({})));
    server.wait_for("/api/endpoints/?ordering=-backlog", |l| l["results"][0]["pending"] == json!(1));
    assert_eq!((&order("-backlog")[0], &order("oldest_pending_at")[0]), (&ids[0], &ids[0]));
    let paused = server.list("/api/endpoints/?state=paused");
    assert_eq!((paused.len(), &paused[0]["id"]), (1, &ids[0]));
    assert_eq!(server.list("/api/endpoints/?state=paused&state=idle&state=sending").len(), 3);
    // Pages in another order lead on and back.
    let first = server.get("/api/endpoints/?ordering=-failed&limit=2").expect(200).json();
    let rest = first["next"].as_str().and_then(|url| url.split_once("/api/")).map(|(_, path)| format!("/api/{path}"));
    let rest = server.get(&rest.expect("a next page")).expect(200).json();
    assert_eq!((&rest["results"][0]["id"], &rest["next"], &rest["count"]), (&ids[2], &json!(null), &json!(3)));
    assert!(server.get("/api/endpoints/?state=asleep").expect(400).json()["state"].is_array());
    assert!(server.get("/api/endpoints/?ordering=colour").expect(400).json()["ordering"].is_array());
}

#[test]
fn what_an_endpoint_did_and_what_it_holds_up_is_told() {
    let receiver = Receiver::script([reply(200), reply(429).header("Retry-After", "600")]);
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", &receiver.url("/a")));
    let path = format!("/api/endpoints/{}/", made["endpoint_id"]);
    assert_eq!(server.get(&format!("{path}history/")).expect(200).json()["count"], json!(0));
    server.emit(&site_event("updated", 1, json!({})));
    receiver.wait_for(1);
    server.wait_for(&path, |e| e["last_hour"] == json!({"delivered": 1, "failed": 0}));
    for _ in 0..3 {
        server.emit(&site_event("updated", 7, json!({})));
    }
    server.emit(&site_event("updated", 8, json!({})));
    let blocked = server.wait_for(&format!("{path}blocked/"), |b| b["results"][0]["behind"] == json!(2));
    let head = &blocked["results"][0]["head"];
    assert_eq!((&blocked["count"], &head["status"], &head["object_id"]), (&json!(1), &json!("retrying"), &json!("7")));
    assert_eq!(head["waiting_for"]["reason"], json!("retry_after"));
    // The minute may have changed meanwhile.
    let minutes = server.list(&format!("{path}history/"));
    let sum = |key: &str| minutes.iter().map(|m| m[key].as_u64().expect("a number")).sum::<u64>();
    let sums = ["attempts", "delivered", "failed", "limited", "retry_after", "breaker_opened"].map(sum);
    assert_eq!(sums, [2, 1, 0, 1, 1, 0]);
    assert!(minutes.iter().any(|m| m["latency_ms"]["p95"].is_number() && m["in_flight_max"] == json!(1)));
    let attempts = server.list(&format!("{path}attempts/"));
    let told: Vec<_> = attempts.iter().map(|a| (a["status_code"].clone(), a["error"].clone())).collect();
    assert_eq!(told, [(json!(429), json!("http_status")), (json!(200), json!(null))]);
    assert_eq!((&attempts[0]["delivery_id"], &attempts[0]["number"]), (&head["id"], &json!(1)));
    let status = server.get("/api/status/").expect(200).json();
    assert_eq!(status["last_hour"]["delivered"], json!(1));
    let lag = &status["lag_seconds"];
    assert!(lag["p50"].as_f64() <= lag["max"].as_f64() && lag["max"].as_f64() < Some(60.0), "{lag}");
    for missing in ["history", "attempts", "blocked"] {
        server.get(&format!("/api/endpoints/999/{missing}/")).expect(404);
    }
}
