//! Jobs in the shape of every version taken over, made with Django and REST framework (`tests/netbox/make_jobs.py`),
//! against what their own encoder writes.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::{Function, WebhookJob};
use super::{folder, jobs_in};

const REQUEST_ID: &str = "af408c82-1ce9-44b5-9430-006930e6ba80";

fn expected(name: &str) -> Value {
    let path = folder().join("made").join(format!("{name}.expected.json"));
    serde_json::from_str(&fs::read_to_string(path).expect("what is expected")).expect("JSON")
}

/// The body of the version in the job's name, by its keys, out of what the job tells.
fn body(name: &str, job: &WebhookJob) -> String {
    let version = name.strip_prefix('v').and_then(|rest| rest.get(..3)).unwrap_or("4.6");
    let event_json = job.event_json();
    let event: BTreeMap<String, &RawValue> = serde_json::from_str(&event_json).expect("JSON");
    let has = |key: &str| match key {
        "object_type" => version >= "4.4",
        "model" => version < "4.5",
        "username" | "request_id" => version < "4.7",
        "request" => version >= "4.6" && job.request.is_some(),
        "snapshots" => job.snapshots_json().is_some(),
        _ => true,
    };
    let mut body = String::new();
    for key in ["event", "timestamp", "object_type", "model", "username", "request_id", "data", "request", "snapshots"]
    {
        if !has(key) {
            continue;
        }
        body += if body.is_empty() { "{" } else { ", " };
        body += &format!("\"{key}\": {}", event[key].get());
    }
    body + "}"
}

#[test]
fn every_made_job_gives_the_text_the_worker_writes() {
    let mut compared = 0;
    for (name, packed) in jobs_in("made") {
        if name.starts_with("refused") {
            continue;
        }
        let expected = expected(&name);
        let job = WebhookJob::decode(&packed).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(job.data_json(), expected["data"].as_str().expect("a text"), "{name}");
        assert_eq!(job.snapshots_json(), expected["snapshots"].as_str(), "{name}");
        if let Some(request) = expected["request"].as_str() {
            assert_eq!(job.request.as_ref().map(|r| r.json()), Some(request), "{name}");
        }
        assert_eq!(body(&name, &job), expected["body"].as_str().expect("a text"), "{name}");
        assert_eq!(Some(job.definition.webhook_id), expected["webhook_id"].as_i64(), "{name}");
        assert_eq!(job.definition.rule.as_ref().map(|r| r.id), expected["rule"].as_i64(), "{name}");
        assert_eq!(job.definition.conditions.as_deref(), expected["conditions"].as_str(), "{name}");
        assert_eq!(job.object_type.label().as_deref(), expected["object_type"].as_str(), "{name}");
        assert_eq!(Some(job.event.as_str()), expected["event"].as_str(), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 26);
}

#[test]
fn what_cannot_be_sent_is_refused_and_says_why() {
    let mut compared = 0;
    for (name, packed) in jobs_in("made").filter(|(name, _)| name.starts_with("refused")) {
        let error = WebhookJob::decode(&packed).expect_err(&name).to_string();
        let expected = expected(&name);
        assert!(error.contains(expected["error"].as_str().expect("a text")), "{name}: {error}");
        compared += 1;
    }
    assert_eq!(compared, 14);
}

#[test]
fn a_job_of_3_4_tells_webhook_model_and_conditions() {
    let job = made("v3.4-updated-conditions");
    assert_eq!(job.function, Function::ProcessWebhook);
    assert_eq!((job.definition.webhook_id, &job.definition.rule), (7, &None));
    assert!(job.definition.conditions.as_deref().is_some_and(|c| c.starts_with(r#"{"and": [{"attr": "status.value""#)));
    assert_eq!(job.object_type.app_label.as_deref(), Some("dcim"));
    assert_eq!((job.netbox_event.as_str(), job.event.as_str()), ("update", "updated"));
    assert_eq!(job.timestamp, "2026-11-23 19:43:03.185604+00:00");
    assert_eq!(job.request_id.as_deref(), Some(REQUEST_ID));
}

#[test]
fn a_job_of_4_7_takes_user_and_id_from_the_request() {
    let job = made("v4.7-updated");
    assert_eq!(job.username.as_deref(), Some("admín"));
    assert_eq!(job.request_id.as_deref(), Some(REQUEST_ID));
    let rule = job.definition.rule.as_ref().expect("a rule");
    assert_eq!((rule.id, rule.name.as_str()), (3, "rule all"));
    let request = job.request.as_ref().expect("a request");
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/dcim/sites/54/edit/"));
}

#[test]
fn an_event_of_a_job_has_no_request_and_no_snapshots() {
    for name in ["v3.5-job-started", "v3.7-job-ended", "v4.4-job-completed", "v4.7-job-started"] {
        let job = made(name);
        assert_eq!((&job.request, &job.request_id, job.snapshots_json()), (&None, &None, None), "{name}");
        assert!(!job.event_json().contains("snapshots"), "{name}");
    }
}

#[test]
fn the_event_has_all_keys_in_netboxs_order() {
    let text = made("v4.6-created-protocol5").event_json();
    let parsed: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("JSON");
    let mut places: Vec<_> = parsed.keys().map(|key| (text.find(&format!("\"{key}\": ")), key.as_str())).collect();
    places.sort();
    let keys: Vec<_> = places.into_iter().map(|(_, key)| key).collect();
    let expected = "event timestamp object_type model username request_id data snapshots request";
    assert_eq!(keys.join(" "), expected);
    assert!(text.starts_with(r#"{"event": "created", "timestamp": "2026-11-23T19:43:03.185604+00:00", "object_type": "dcim.site", "model": "site", "username": "adm\u00edn", "request_id": ""#));
}

fn made(name: &str) -> WebhookJob {
    let packed = fs::read(folder().join("made").join(format!("{name}.data.zlib"))).expect("a job");
    WebhookJob::decode(&packed).unwrap_or_else(|e| panic!("{name}: {e}"))
}
