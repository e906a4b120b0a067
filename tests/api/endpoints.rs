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
