//! Events in, and as they are shown.

use serde_json::{Value, json};

use super::support::{Answer, Receiver, TestServer, server::TOKEN, site_event, webhook};

fn post(server: &TestServer, content_type: &str, extra: &[(&str, &str)], body: &str) -> Answer {
    let authorization = format!("Token {TOKEN}");
    let mut headers = vec![("Authorization", authorization.as_str()), ("Content-Type", content_type)];
    headers.extend(extra);
    server.request_raw("POST", "/api/events/", &headers, body.as_bytes())
}

#[test]
fn one_event_a_list_and_lines_are_taken_in_order() {
    let server = TestServer::start();
    let one = server.post("/api/events/", &site_event("created", 1, json!({}))).expect(202).json();
    assert_eq!((&one["accepted"], &one["events"][0]["duplicate"]), (&json!(1), &json!(false)));
    let two = json!([site_event("updated", 1, json!({})), site_event("deleted", 1, json!({}))]);
    assert_eq!(server.post("/api/events/", &two).expect(202).json()["accepted"], json!(2));
    let lines = format!("{}\n{}\n", site_event("created", 2, json!({})), site_event("created", 3, json!({})));
    assert_eq!(post(&server, "application/x-ndjson", &[], &lines).expect(202).json()["accepted"], json!(2));
    let newest_first: Vec<_> = server.list("/api/events/").into_iter().map(|e| e["object_id"].clone()).collect();
    assert_eq!(newest_first, ["3", "2", "1", "1", "1"]);
    let updated = server.list("/api/events/?event=updated&event=deleted&model=site&object_id=1");
    assert_eq!(updated.len(), 2);
}

#[test]
fn a_bad_member_refuses_the_batch_and_is_named() {
    let server = TestServer::start();
    let batch =
        json!([site_event("created", 1, json!({})), {"event": "created", "model": "Nonsense", "data": {"id": 1}}]);
    let answer = server.post("/api/events/", &batch).expect(400).json();
    assert_eq!(answer["index"], json!(1));
    assert!(answer["detail"].as_str().is_some_and(|text| text.contains("Nonsense")), "{answer}");
    assert_eq!(server.list("/api/events/"), Vec::<Value>::new());
    for bad in ["", "[", "7", "{\"event\": \"created\"}", "{\"event\": \"x\", \"model\": \"Site\", \"data\": {}}"] {
        post(&server, "application/json", &[], bad).expect(400);
    }
    post(&server, "image/png", &[], "{}").expect(415);
}

#[test]
fn a_repeat_is_answered_like_the_first_and_sent_once() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    let event = site_event("created", 1, json!({})).to_string();
    let key = [("Idempotency-Key", "k-1")];
    let first = post(&server, "application/json", &key, &event).expect(202).json();
    let again = post(&server, "application/json", &key, &event).expect(202).json();
    assert_eq!(again["events"][0]["id"], first["events"][0]["id"]);
    assert_eq!((&first["events"][0]["duplicate"], &again["events"][0]["duplicate"]), (&json!(false), &json!(true)));
    let other = site_event("created", 2, json!({})).to_string();
    let refused = post(&server, "application/json", &key, &other).expect(409).json();
    assert_eq!(refused["index"], json!(0));
    assert!(refused["detail"].as_str().is_some_and(|text| !text.contains("event 0")), "it was one event: {refused}");
    // Deliveries of one endpoint leave in order: when the next one came, a second copy would have come before it.
    server.emit(&site_event("created", 3, json!({})));
    let objects: Vec<_> = receiver.wait_for(2).iter().map(|r| r.json()["data"]["id"].clone()).collect();
    assert_eq!(objects, [json!(1), json!(3)]);
}

#[test]
fn an_event_is_shown_as_it_came() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let hook = server.create_webhook(&webhook("sites", &receiver.url("/")));
    let data = r#"{"id":7,  "big":123456789012345678901234567890, "float":1.50, "z":1,"a":{"é": "\u00e9"}}"#;
    let snapshots = r#"{"prechange":null,  "postchange":{"x": 1.0}}"#;
    let body = format!(
        r#"{{"event":"updated","model":"dcim.site","timestamp":"2026-01-31T12:00:00Z","username":"bob","request_id":"r-1","data":{data},"snapshots":{snapshots}}}"#
    );
    let accepted = post(&server, "application/json", &[], &body).expect(202).json();
    let id = accepted["events"][0]["id"].as_str().expect("an id").to_owned();
    let shown = server.get(&format!("/api/events/{id}/")).expect(200);
    assert!(shown.text().contains(data) && shown.text().contains(snapshots), "{}", shown.text());
    let shown = shown.json();
    assert_eq!(
        (&shown["model"], &shown["username"], &shown["request_id"]),
        (&json!("dcim.site"), &json!("bob"), &json!("r-1"))
    );
    let deliveries = shown["matched"].as_array().expect("its deliveries");
    assert_eq!(deliveries.len(), 1);
    assert_eq!((&deliveries[0]["webhook_id"], &deliveries[0]["event_id"]), (&hook["id"], &json!(id)));
    server.get("/api/events/01890000-0000-7000-8000-000000000000/").expect(404);
    let delivery = deliveries[0]["id"].as_str().expect("an id");
    let hint = server.get(&format!("/api/events/{delivery}/")).expect(404).json();
    assert!(hint["detail"].as_str().is_some_and(|text| text.contains("/api/deliveries/")), "{hint}");
}
