//! Definitions: changes at the same time, masked values, what an API answer may be sent back as.

use serde_json::{Value, json};

use super::support::{Receiver, TestServer, site_event, webhook};

#[test]
fn changes_made_at_the_same_time_are_all_kept() {
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", "http://127.0.0.1:9/a"));
    let path = format!("/api/webhooks/{}/", made["id"]);
    let patches = [
        ("description", json!("kept")),
        ("timeout", json!(7)),
        ("http_content_type", json!("text/x-kept")),
        ("additional_headers", json!("X-Kept: 1")),
        ("payload_format", json!("netbox")),
        ("http_method", json!("PUT")),
        ("type_job_end", json!(true)),
        ("secret", json!("kept")),
    ];
    std::thread::scope(|scope| {
        for (field, value) in &patches {
            let (server, path) = (&server, &path);
            scope.spawn(move || server.patch(path, &json!({ *field: value })).expect(200));
        }
    });
    let shown = server.get(&path).expect(200).json();
    for (field, value) in patches.iter().filter(|(field, _)| *field != "secret") {
        assert_eq!(shown[field], *value, "{field} in {shown}");
    }
    assert_eq!((&shown["secret"], &shown["revision"]), (&json!("********"), &json!(1 + patches.len())));
}

#[test]
fn policies_changed_at_the_same_time_are_all_kept() {
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", "http://127.0.0.1:9/a"));
    let path = format!("/api/endpoints/{}/", made["endpoint_id"]);
    let patches = [("burst", 2), ("concurrency", 3), ("max_attempts", 4), ("breaker_threshold", 5)];
    std::thread::scope(|scope| {
        for (key, value) in patches {
            let (server, path) = (&server, &path);
            scope.spawn(move || server.patch(path, &json!({ key: value })).expect(200));
        }
    });
    let policy = server.get(&path).expect(200).json()["policy"].clone();
    for (key, value) in patches {
        assert_eq!(policy[key], json!(value), "{policy}");
    }
}

#[test]
fn a_change_of_nothing_is_no_revision() {
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", "http://127.0.0.1:9/a"));
    let path = format!("/api/webhooks/{}/", made["id"]);
    let shown = server.patch(&path, &json!({})).expect(200).json();
    assert_eq!((&shown["revision"], &shown["last_updated"]), (&json!(1), &made["last_updated"]));
}

#[test]
fn masked_headers_mean_what_is_stored_or_are_refused() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let mut definition = webhook("sites", &receiver.url("/"));
    definition["additional_headers"] = json!("Authorization: ********");
    let refused = server.post("/api/webhooks/", &definition).expect(400).json();
    assert!(refused["additional_headers"].is_array(), "{refused}");
    definition["additional_headers"] = json!("Ocp-Apim-Subscription-Key: k1\nX-Auth-Key: k2\nX-Site: fra1");
    let made = server.create_webhook(&definition);
    let path = format!("/api/webhooks/{}/", made["id"]);
    let masked = "Ocp-Apim-Subscription-Key: ********\nX-Auth-Key: ********\nX-Site: fra1";
    assert_eq!(made["additional_headers"], json!(masked));
    let other = json!({"additional_headers": format!("{masked}\nCookie: ********")});
    server.patch(&path, &other).expect(400);
    server.patch(&path, &json!({"additional_headers": masked.replace("fra1", "ams2")})).expect(200);
    server.emit(&site_event("created", 1, json!({})));
    let sent = receiver.wait_for(1);
    let header = |name: &str| sent[0].header(name).map(str::to_owned);
    assert_eq!(header("ocp-apim-subscription-key").as_deref(), Some("k1"));
    assert_eq!((header("x-auth-key").as_deref(), header("x-site").as_deref()), (Some("k2"), Some("ams2")));
}

#[test]
fn an_answer_can_be_sent_back() {
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", "http://127.0.0.1:9/a"));
    let mut copy = made.clone();
    copy["name"] = json!("copy");
    server.post("/api/webhooks/", &copy).expect(201);
    server.put(&format!("/api/webhooks/{}/", made["id"]), &made).expect(200);
    let secret = json!({"signing": "standard", "secret": "whsec_YWI"});
    server.patch(&format!("/api/webhooks/{}/", made["id"]), &secret).expect(200);
}

#[test]
fn policy_keys_are_taken_flat_and_nested_alike() {
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", "http://127.0.0.1:9/a"));
    let path = format!("/api/endpoints/{}/", made["endpoint_id"]);
    let shown = server.patch(&path, &json!({"policy": {"rate_limit": "1/s"}, "burst": 3})).expect(200).json();
    assert_eq!((&shown["policy"]["rate_limit"], &shown["policy"]["burst"]), (&json!("1/s"), &json!(3)));
    let unknown = server.patch(&path, &json!({"policy": {"burst": 1}, "colour": 1})).expect(400).json();
    assert!(unknown["colour"].is_array(), "{unknown}");
    let twice = server.patch(&path, &json!({"policy": {"burst": 1}, "burst": 2})).expect(400).json();
    assert!(twice["burst"].is_array(), "{twice}");
    server.patch(&path, &json!({"policy": 5})).expect(400);
}

#[test]
fn ids_of_tokens_are_never_given_twice() {
    let server = TestServer::start();
    let make = |name: &str| {
        server.post("/api/tokens/", &json!({"name": name, "scopes": ["ingest"]})).expect(201).json()["id"].clone()
    };
    let first = make("a");
    server.delete(&format!("/api/tokens/{first}/")).expect(204);
    assert_ne!(make("b"), first);
}

#[test]
fn bodies_of_tests_and_matches_may_be_as_large_as_events() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", &receiver.url("/")));
    let event = site_event("created", 1, json!({"comments": "x".repeat(2 << 20)}));
    assert_eq!(server.post("/api/webhooks/match/", &event).expect(200).json()["matched"], json!(1));
    let tested = server.post(&format!("/api/webhooks/{}/test/", made["id"]), &event).expect(200).json();
    assert_eq!(tested["delivered"], Value::Bool(true));
}
