//! What a real NetBox 4.4 made of its webhooks' templates, byte for byte: read from its REST API as it defines them,
//! rendered for the events it sent.

use std::path::{Path, PathBuf};

use netbox_webhookd::domain::condition::{Conditions, Subject};
use netbox_webhookd::domain::event::Event;
use netbox_webhookd::domain::models::Models;
use netbox_webhookd::domain::time::Timestamp;
use netbox_webhookd::domain::webhook::WebhookSpec;
use netbox_webhookd::netbox;
use netbox_webhookd::render::{DEFAULT_VERSION, Lazy, Prepared, Source};
use netbox_webhookd::signing::hook_signature;
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/netbox").join(name)
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the fixture is there");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

fn webhook(name: &str) -> WebhookSpec {
    let webhooks = read(&folder("api/GET-extras-webhooks.json"));
    let found = webhooks["results"].as_array().expect("a list").iter().find(|webhook| webhook["name"] == name);
    netbox::spec(found.expect("the webhook is there"), &[]).expect("a definition")
}

/// The event of a delivery: that of another webhook's delivery in the same request, which had no template. Each webhook
/// has a timestamp of its own.
fn event(delivered: &Value) -> Event {
    let name = delivered["name"].as_str().expect("a name");
    let path = match name.split_once('-').expect("a kind") {
        ("form2", event) => format!("special/form1-{event}.json"),
        (_, "updated") => "requests/dcim.site-updated-5.json".to_owned(),
        (_, event) => format!("special/secret-{event}.json"),
    };
    let mut body = read(&folder(&path))["body"].as_str().expect("a body").to_owned();
    if let Some(timestamp) = delivered["parsed"]["ts"].as_str() {
        let own: Value = serde_json::from_str(&body).expect("a JSON body");
        // The order of members matters here, so the text is changed, not the value.
        body = body.replacen(own["timestamp"].as_str().expect("a time"), timestamp, 1);
    }
    Event::parse(body.into(), &Models::builtin(), Timestamp::from_secs(0)).expect("an event")
}

fn deliveries(prefix: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder("special")).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            let mut delivered = read(&path);
            delivered["name"] = name.into();
            found.push(delivered);
        }
    }
    assert!(!found.is_empty(), "there are deliveries {prefix}*");
    found
}

/// URL, headers, body and signature as NetBox sent them.
fn check(webhook: &WebhookSpec, delivered: &Value) {
    let prepared = Prepared::new(webhook);
    let event = event(delivered);
    let lazy = Lazy::new(Source { event: &event, folded_from: None, version: DEFAULT_VERSION });
    let url = prepared.url(webhook, &lazy).expect("a URL").url;
    assert!(url.ends_with(delivered["path"].as_str().expect("a path")), "{url}");
    let body = prepared.body(webhook, &lazy).expect("a body");
    assert_eq!(std::str::from_utf8(&body), Ok(delivered["body"].as_str().expect("a body")), "{}", delivered["name"]);
    for (name, value) in prepared.headers(webhook, &lazy).expect("headers").iter() {
        assert_eq!(delivered["headers"][name], *value, "{name}");
    }
    if let Some(signature) = delivered["headers"]["X-Hook-Signature"].as_str() {
        assert_eq!(hook_signature(&webhook.secret, &body), signature);
    }
}

#[test]
fn the_template_webhook_sends_what_netbox_sent() {
    let webhook = webhook("template");
    deliveries("template-").iter().for_each(|delivered| check(&webhook, delivered));
}

#[test]
fn the_form_webhook_sends_what_netbox_sent() {
    let webhook = webhook("form-template");
    deliveries("form2-").iter().for_each(|delivered| check(&webhook, delivered));
}

/// Of six events of two sites NetBox's rule with conditions sent one.
#[test]
fn the_rule_with_conditions_lets_through_what_netbox_sent() {
    let rules = read(&folder("api/GET-extras-event-rules.json"));
    let rule = rules["results"].as_array().expect("a list").iter().find(|rule| rule["name"] == "rule cond");
    let conditions = Conditions::parse(&rule.expect("the rule is there")["conditions"]).expect("conditions");
    let sent: Value = serde_json::from_str(deliveries("cond-")[0]["body"].as_str().expect("a body")).expect("JSON");
    let all: Vec<Value> = deliveries("secret-")
        .iter()
        .map(|delivered| serde_json::from_str(delivered["body"].as_str().expect("a body")).expect("JSON"))
        .collect();
    assert_eq!(all.len(), 6);
    let through = |event: &&Value| conditions.matches(&Subject::new(&event["data"], Some(&event["snapshots"])));
    let through: Vec<_> = all.iter().filter(through).collect();
    assert_eq!(through.len(), 1);
    assert_eq!((&through[0]["data"], &through[0]["event"]), (&sent["data"], &sent["event"]));
}
