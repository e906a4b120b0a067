//! Definitions: made, read, changed, tried out, deleted.

use serde_json::{Value, json};

use super::support::{Options, Receiver, TestServer, hang, reply, site_event, webhook};

#[test]
fn a_webhook_is_made_read_changed_and_deleted() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", &receiver.url("/a")));
    assert_eq!((&made["enabled"], &made["http_method"]), (&json!(true), &json!("POST")));
    let path = format!("/api/webhooks/{}/", made["id"]);
    assert_eq!(server.get(&path).expect(200).json(), made);
    assert_eq!(server.list("/api/webhooks/"), std::slice::from_ref(&made));

    let again = server.post("/api/webhooks/", &webhook("sites", &receiver.url("/b"))).expect(400).json();
    assert!(again["name"].is_array(), "{again}");
    let bad = server.patch(&path, &json!({"payload_url": "nowhere", "http_method": "OPTIONS"})).expect(400).json();
    assert!(bad["payload_url"].is_array() && bad["http_method"].is_array(), "{bad}");

    let changed = server.patch(&path, &json!({"type_delete": false})).expect(200).json();
    assert_eq!((&changed["type_delete"], &changed["name"]), (&json!(false), &json!("sites")));
    assert_eq!(server.put(&path, &changed).expect(200).json()["type_delete"], json!(false));
    server.put(&path, &json!({"name": "sites"})).expect(400);

    let deleted = server.delete(&path).expect(204);
    assert_eq!(deleted.header("x-canceled-deliveries"), Some("0"));
    server.get(&path).expect(404);
    let actions: Vec<Value> = server.list("/api/audit/").into_iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions[..2], [json!("webhook.delete"), json!("webhook.update")]);
    assert!(actions.contains(&json!("webhook.create")), "{actions:?}");
}

#[test]
fn a_change_holds_for_the_next_event() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", &receiver.url("/a")));
    let path = format!("/api/webhooks/{}/", made["id"]);
    let deliveries = |event: &str| {
        let answer = server.post("/api/events/", &site_event(event, 1, json!({}))).expect(202).json();
        answer["events"][0]["deliveries"].clone()
    };
    assert_eq!(deliveries("deleted"), json!(1));
    server.patch(&path, &json!({"type_delete": false})).expect(200);
    assert_eq!(deliveries("deleted"), json!(0));
    server.patch(&path, &json!({"enabled": false})).expect(200);
    assert_eq!(deliveries("created"), json!(0));
    server.patch(&path, &json!({"enabled": true, "models": ["Device"]})).expect(200);
    assert_eq!(deliveries("created"), json!(0));
}

#[test]
fn secrets_are_written_and_never_read() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let url = receiver.url("/a").replace("http://", "http://bob:pa55word@");
    let mut definition = webhook("sites", &url);
    definition["secret"] = json!("s3cret");
    definition["additional_headers"] = json!("X-Site: fra1\nAuthorization: Bearer abc123");
    let made = server.create_webhook(&definition);
    assert_eq!(made["secret"], json!("********"));
    // Sent back as it was read, everything stays as it was.
    let path = format!("/api/webhooks/{}/", made["id"]);
    let replaced = server.put(&path, &made).expect(200);
    server.emit(&site_event("created", 1, json!({})));
    let request = &receiver.wait_for(1)[0];
    assert_eq!(request.header("authorization"), Some("Bearer abc123"));
    assert_eq!(
        request.header("x-hook-signature").map(str::to_owned),
        Some(netbox_webhookd::signing::hook_signature("s3cret", &request.body))
    );
    let list = server.wait_for("/api/deliveries/", |l| l["results"][0]["id"].is_string());
    let delivery = list["results"][0]["id"].as_str().expect("an id").to_owned();
    for text in [
        replaced.text(),
        server.get("/api/webhooks/").text(),
        server.get("/api/audit/").text(),
        server.get("/api/endpoints/").text(),
        server.get(&format!("/api/deliveries/{delivery}/")).text(),
        server.log().join("\n"),
    ] {
        for secret in ["s3cret", "pa55word", "abc123"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn what_a_file_defines_is_read_only() {
    let receiver = Receiver::start();
    let config = format!(
        "[[webhook]]\nname = \"from-file\"\nmodels = [\"dcim.site\"]\ntype_create = true\npayload_url = \"{}\"\n",
        receiver.url("/")
    );
    let server = TestServer::with(Options::config(config));
    let shown = &server.list("/api/webhooks/")[0];
    assert_eq!((&shown["name"], &shown["source"]), (&json!("from-file"), &json!("file")));
    let path = format!("/api/webhooks/{}/", shown["id"]);
    server.patch(&path, &json!({"enabled": false})).expect(409);
    server.delete(&path).expect(409);
    server.emit(&site_event("created", 1, json!({})));
    receiver.wait_for(1);
}

#[test]
fn a_test_request_is_sent_at_once_and_shows_its_attempt() {
    let receiver = Receiver::script([reply(500).body("broken"), reply(200), hang()]);
    let server = TestServer::with_config("[delivery]\ntimeout = \"300ms\"\n");
    let made = server.create_webhook(&webhook("sites", &receiver.url("/")));
    let endpoint = format!("/api/endpoints/{}/", made["endpoint_id"]);
    server.post(&format!("{endpoint}pause/"), &json!({})).expect(200);
    let path = format!("/api/webhooks/{}/test/", made["id"]);
    let failed = server.post(&path, &json!({})).expect(200).json();
    assert_eq!(
        (&failed["status_code"], &failed["error"], &failed["delivered"]),
        (&json!(500), &json!("http_status"), &json!(false))
    );
    assert_eq!(failed["response_excerpt"], json!("broken"));
    let own = server.post(&path, &site_event("updated", 42, json!({}))).expect(200).json();
    assert_eq!(own["delivered"], json!(true));
    assert_eq!(receiver.requests()[1].json()["data"]["id"], json!(42));
    assert_eq!(server.post(&path, &json!({})).expect(200).json()["error"], json!("timeout"));
    let kept =
        server.get(&format!("/api/deliveries/{}/", own["delivery_id"].as_str().expect("an id"))).expect(200).json();
    assert_eq!((&kept["test"], &kept["status"]), (&json!(true), &json!("delivered")));
    server.post("/api/webhooks/999/test/", &json!({})).expect(404);
}

#[test]
fn match_says_which_webhooks_an_event_reaches_and_why_not_the_others() {
    let server = TestServer::start();
    let sites = server.create_webhook(&webhook("sites", "http://127.0.0.1:9/a"));
    let mut devices = webhook("devices", "http://127.0.0.1:9/b");
    devices["models"] = json!(["Device"]);
    server.create_webhook(&devices);
    let answer = server.post("/api/webhooks/match/", &site_event("created", 1, json!({}))).expect(200).json();
    assert_eq!(answer["matched"], json!(1));
    let results = answer["results"].as_array().expect("results");
    let of = |name: &str| results.iter().find(|r| r["name"] == json!(name)).expect("it is explained");
    assert_eq!((&of("sites")["matched"], &of("sites")["webhook_id"]), (&json!(true), &sites["id"]));
    assert!(of("devices")["reason"].as_str().is_some_and(|why| why.contains("dcim.site")), "{answer}");
    server.post("/api/webhooks/match/", &json!({"event": "created"})).expect(400);
    assert_eq!(server.list("/api/events/"), Vec::<Value>::new());
}

#[test]
fn what_ended_in_the_last_day_is_counted_once_each_and_outlives_a_crash() {
    let receiver = Receiver::script([reply(500)]);
    let mut server = TestServer::with_config("[delivery]\nmax_attempts = 1\n");
    let made = server.create_webhook(&webhook("sites", &receiver.url("/")));
    assert_eq!(made["last_24h"], json!({"delivered": 0, "failed": 0}));
    server.emit(&site_event("updated", 1, json!({})));
    let failed = server.wait_for("/api/deliveries/", |l| l["results"][0]["status"] == json!("failed"));
    let path = format!("/api/deliveries/{}/", failed["results"][0]["id"].as_str().expect("an id"));
    server.post(&format!("{path}retry/"), &json!({})).expect(202);
    // What is read there is on disk.
    server.wait_for(&path, |d| d["status"] == json!("delivered"));
    server.post(&format!("/api/webhooks/{}/test/", made["id"]), &json!({})).expect(200);
    let other = server.create_webhook(&webhook("others", &receiver.url("/others")));
    let expected = json!({"delivered": 1, "failed": 1});
    for _ in 0..2 {
        let shown = server.get(&format!("/api/webhooks/{}/", made["id"])).expect(200).json();
        assert_eq!(shown["last_24h"], expected);
        let listed = server.list("/api/webhooks/");
        assert_eq!((&listed[0]["last_24h"], &listed[1]["id"]), (&expected, &other["id"]));
        assert_eq!(listed[1]["last_24h"], json!({"delivered": 0, "failed": 0}));
        server.kill();
        server.start_again();
    }
}
