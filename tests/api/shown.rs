//! What is shown of single events and deliveries is what was sent.

use serde_json::{Value, json};

use super::support::{Receiver, TestServer, hang, site_event, webhook};

#[test]
fn an_event_that_no_webhook_matched_is_shown_without_its_data() {
    let server = TestServer::start();
    let id = server.emit(&site_event("created", 7, json!({"name": "x"})));
    let shown = server.get(&format!("/api/events/{id}/")).expect(200).json();
    assert_eq!((&shown["id"], &shown["object_id"], &shown["deliveries"]), (&json!(id), &json!("7"), &json!(0)));
    assert_eq!((&shown["data"], &shown["timestamp"], &shown["matched"]), (&Value::Null, &Value::Null, &json!([])));
}

#[test]
fn a_delivery_names_its_event_once() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    server.emit(&site_event("created", 7, json!({"name": "x"})));
    let list = server.wait_for("/api/deliveries/", |l| l["results"][0]["status"] == json!("delivered"));
    let row = &list["results"][0];
    let text = server.get(&format!("/api/deliveries/{}/", row["id"].as_str().expect("an id"))).expect(200).text();
    assert_eq!(text.matches("\"event\":{").count(), 1, "{text}");
    let detail: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&detail["event"]["event"], &detail["event"]["id"]), (&json!("created"), &row["event_id"]));
    assert_eq!(row["event"]["event"], json!("created"));
}

#[test]
fn a_folded_delivery_names_its_successor_and_shows_what_was_sent() {
    let receiver = Receiver::start();
    let server = TestServer::with_config("[delivery]\ncoalesce = true\n");
    let made = server.create_webhook(&webhook("sites", &receiver.url("/")));
    let endpoint = format!("/api/endpoints/{}/", made["endpoint_id"]);
    server.post(&format!("{endpoint}pause/"), &json!({})).expect(200);
    // Policies reach an endpoint when it wakes; the first event makes sure that it did.
    server.emit(&site_event("created", 1, json!({"n": 1})));
    server.emit(&site_event("updated", 1, json!({"n": 2})));
    let list = server.wait_for("/api/deliveries/?object_id=1", |l| {
        l["results"].as_array().is_some_and(|rows| rows.len() == 2 && rows[1]["status"] == json!("superseded"))
    });
    assert_eq!(list["results"][1]["superseded_by"], list["results"][0]["id"]);
    server.post(&format!("{endpoint}resume/"), &json!({})).expect(200);
    let sent = receiver.wait_for(1);
    assert_eq!(sent[0].json()["event"], json!("created"));
    let path = format!("/api/deliveries/{}/", list["results"][0]["id"].as_str().expect("an id"));
    let detail = server.wait_for(&path, |d| d["status"] == json!("delivered"));
    assert_eq!(detail["request"]["body"], json!(sent[0].text()));
}

#[test]
fn a_password_of_the_url_is_shown_as_a_masked_header() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let url = receiver.url("/").replace("http://", "http://bob:s3cret@");
    server.create_webhook(&webhook("sites", &url));
    server.emit(&site_event("created", 1, json!({})));
    assert!(receiver.wait_for(1)[0].header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    let list = server.wait_for("/api/deliveries/", |l| l["results"][0]["status"] == json!("delivered"));
    let path = format!("/api/deliveries/{}/", list["results"][0]["id"].as_str().expect("an id"));
    let detail = server.get(&path).expect(200);
    assert_eq!(detail.json()["request"]["headers"]["Authorization"], json!("********"));
    assert!(!detail.text().contains("s3cret"));
}

#[test]
fn a_test_is_sent_under_the_id_it_is_kept_as() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", &receiver.url("/")));
    server.emit(&site_event("created", 1, json!({})));
    receiver.wait_for(1);
    let tested = server.post(&format!("/api/webhooks/{}/test/", made["id"]), &json!({})).expect(200).json();
    let id = tested["delivery_id"].as_str().expect("an id");
    assert_eq!(receiver.wait_for(2)[1].header("webhook-id"), Some(id));
    let kept = server.get(&format!("/api/deliveries/{id}/")).expect(200).json();
    assert_eq!((&kept["id"], &kept["request"]["headers"]["webhook-id"]), (&json!(id), &json!(id)));
}

#[test]
fn what_is_in_flight_is_said_to_be() {
    let receiver = Receiver::script([hang()]);
    let server = TestServer::start();
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    server.emit(&site_event("created", 1, json!({})));
    receiver.wait_for(1);
    let list = server.wait_for("/api/deliveries/", |l| l["results"][0]["status"] == json!("in_flight"));
    let path = format!("/api/deliveries/{}/retry/", list["results"][0]["id"].as_str().expect("an id"));
    let refused = server.post(&path, &json!({})).expect(409).json();
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("in_flight")), "{refused}");
}
