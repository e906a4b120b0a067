//! Conditions and templates, from the definition to the request.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::dashboard::Browser;
use super::support::server::TOKEN;
use super::support::{Receiver, TestServer, site_event, webhook};

fn with(mut definition: Value, changes: &Value) -> Value {
    for (field, value) in changes.as_object().expect("fields") {
        definition[field.as_str()] = value.clone();
    }
    definition
}

#[test]
fn conditions_let_through_what_they_hold_for_and_say_why_not() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let conditions = json!({"or": [
        {"attr": "status.value", "value": "active"},
        {"attr": "snapshots.prechange.name", "value": "^old", "op": "regex"},
    ]});
    server.create_webhook(&with(webhook("active", &receiver.url("/")), &json!({"conditions": conditions})));
    let site = |status: &str, before: &str| {
        with(
            site_event("updated", 1, json!({"status": {"value": status}})),
            &json!({"snapshots": {"prechange": {"name": before}, "postchange": {}}}),
        )
    };
    server.emit(&site("planned", "new"));
    server.emit(&site("planned", "old name"));
    server.emit(&site("active", "new"));
    let bodies: Vec<_> = receiver.wait_for(2).iter().map(|r| r.json()["data"]["status"]["value"].clone()).collect();
    assert_eq!(bodies, ["planned", "active"]);
    let explained = server.post("/api/webhooks/match/", &site("planned", "new")).expect(200).json();
    let reason = explained["results"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("or[0]: status.value is \"planned\""), "{explained}");
    let refused =
        with(webhook("bad", &receiver.url("/")), &json!({"conditions": {"attr": "a", "value": 1, "op": "is"}}));
    let answer = server.post("/api/webhooks/", &refused).expect(400).json();
    assert!(answer["conditions"][0].as_str().is_some_and(|text| text.contains("op")), "{answer}");
}

#[test]
fn url_headers_and_body_are_rendered_for_each_event() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let definition = with(
        webhook("sites", &receiver.url("/{{ event }}/{{ data.name|urlencode }}")),
        &json!({
            "additional_headers": "X-Name: {{ data.name|upper }}\n{% if event == 'deleted' %}X-Gone: yes{% endif %}",
            "body_template": "{\"id\": {{ data.id }}, \"tags\": {{ data.tags|tojson }}}",
            "secret": "s3cret",
        }),
    );
    server.create_webhook(&definition);
    server.emit(&site_event("updated", 5, json!({"name": "a b", "tags": ["x", "y"]})));
    server.emit(&site_event("deleted", 5, json!({"name": "c", "tags": []})));
    let requests = receiver.wait_for(2);
    assert_eq!((requests[0].path.as_str(), requests[1].path.as_str()), ("/updated/a%20b", "/deleted/c"));
    assert_eq!(requests[0].text(), "{\"id\": 5, \"tags\": [\"x\", \"y\"]}");
    assert_eq!((requests[0].header("x-name"), requests[0].header("x-gone")), (Some("A B"), None));
    assert_eq!((requests[1].header("x-name"), requests[1].header("x-gone")), (Some("C"), Some("yes")));
    assert!(requests[0].header("x-hook-signature").is_some());
    let page = "/api/deliveries/?event=updated&status=delivered";
    let delivered = server.wait_for(page, |page| page["results"][0].is_object());
    let delivery = delivered["results"][0]["id"].as_str().expect("an id");
    let shown = server.get(&format!("/api/deliveries/{delivery}/")).json();
    assert_eq!(shown["request"]["url"], receiver.url("/updated/a%20b"));
    assert_eq!(shown["request"]["body"], requests[0].text());
    assert_eq!(shown["attempts"][0]["url"], receiver.url("/updated/a%20b"));
    let page = format!("/admin/webhook-backend-status/deliveries/{delivery}/");
    let page = Browser::with_token(&server, TOKEN).get(&page).expect(200);
    let attempt = page.text().split_once("<h2>Attempts</h2>").map(|(_, rest)| rest.to_owned()).expect("its attempts");
    let url = format!("<dt>URL</dt><dd class=\"mono\">{}</dd>", receiver.url("/updated/a%20b"));
    assert!(attempt.contains(&url), "{attempt}");
}

#[test]
fn each_origin_of_a_template_is_an_endpoint_of_its_own() {
    let (one, two) = (Receiver::start(), Receiver::start());
    let server = TestServer::with_config("[delivery]\nmax_template_origins = 2\n");
    let template = "http://127.0.0.1:{{ data.port }}/hook";
    server.create_webhook(&webhook("sites", template));
    let site = |id: u64, port: Value| site_event("updated", id, json!({"port": port}));
    server.emit(&site(1, json!(one.address().port())));
    server.emit(&site(2, json!(two.address().port())));
    server.emit(&site(3, json!(one.address().port())));
    one.wait_for(2);
    two.wait_for(1);
    let origins: HashSet<_> = server.list("/api/endpoints/").iter().map(|e| e["origin"].to_string()).collect();
    let expected = [String::new(), one.url(""), two.url("")].map(|origin| json!(origin).to_string());
    assert_eq!(origins, HashSet::from(expected));
    assert!(server.list("/api/endpoints/").iter().all(|e| e["url"] == template && e["webhook_ids"] == json!([1])));
    // One origin too many, and no URL at all: each fails with its reason and holds nobody up.
    let third = Receiver::start();
    server.emit(&site(4, json!(third.address().port())));
    server.emit(&site(5, json!("none")));
    server.wait_for("/api/deliveries/?status=failed&limit=5", |page| {
        page["results"].as_array().is_some_and(|rows| rows.len() == 2)
    });
    for (object, reason) in [("4", "delivery.max_template_origins"), ("5", "is no payload URL")] {
        let failed = &server.list(&format!("/api/deliveries/?object_id={object}"))[0];
        assert_eq!(failed["error"], "template");
        let id = failed["id"].as_str().expect("an id");
        let shown = server.get(&format!("/api/deliveries/{id}/")).json();
        let detail = shown["attempts"][0]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(reason), "{shown}");
    }
    assert_eq!(third.count(), 0);
}

#[test]
fn a_repaired_template_takes_its_failed_deliveries_along() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", "http://{{ data.host.name }}/x"));
    server.emit(&site_event("updated", 1, json!({"port": receiver.address().port()})));
    server.wait_for("/api/deliveries/?status=failed", |page| page["results"][0].is_object());
    let repaired = json!({"payload_url": "http://127.0.0.1:{{ data.port }}/x"});
    server.patch(&format!("/api/webhooks/{}/", made["id"]), &repaired).expect(200);
    server.wait_for("/api/webhooks/1/", |webhook| webhook["moving"] == json!(false));
    let id = server.list("/api/deliveries/")[0]["id"].as_str().expect("an id").to_owned();
    server.post(&format!("/api/deliveries/{id}/retry/"), &json!({})).expect(202);
    receiver.wait_for(1);
    server.wait_for("/api/deliveries/?status=delivered", |page| page["results"][0]["id"] == json!(id));
    let origins: Vec<_> = server.list("/api/endpoints/").iter().map(|e| e["origin"].clone()).collect();
    assert!(origins.contains(&json!(receiver.url(""))), "{origins:?}");
}
