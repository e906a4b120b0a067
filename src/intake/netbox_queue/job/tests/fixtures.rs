//! Jobs captured from NetBox 4.4.10, against what its own worker sent for them.

use std::collections::BTreeMap;
use std::fs;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::WebhookJob;
use super::{folder, jobs_in};

/// The body of NetBox 4.4, by its keys.
fn body_of_4_4(job: &WebhookJob) -> String {
    let event_json = job.event_json();
    let event: BTreeMap<String, &RawValue> = serde_json::from_str(&event_json).expect("JSON");
    let keys = ["event", "timestamp", "object_type", "model", "username", "request_id", "data", "snapshots"];
    let members = keys.into_iter().filter_map(|key| Some(format!("\"{key}\": {}", event.get(key)?.get())));
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}

#[test]
fn every_captured_job_gives_the_body_netbox_sent() {
    let mut compared = 0;
    for (name, packed) in jobs_in("") {
        let job = WebhookJob::decode(&packed).unwrap_or_else(|e| panic!("{name}: {e}"));
        let sent = fs::read_to_string(folder().join(format!("{name}.delivered.json"))).expect("what was sent");
        let sent: Value = serde_json::from_str(&sent).expect("JSON");
        if name.contains("-all-json-") {
            assert_eq!(body_of_4_4(&job), sent["body"].as_str().expect("a body"), "{name}");
            compared += 1;
        }
    }
    assert_eq!(compared, 6);
}

#[test]
fn a_job_that_is_retried_reads_like_any_other() {
    let hash = fs::read(folder().join("retry-demo-tenancy.tenantgroup-object_created.job.json")).expect("a job");
    let hash: Value = serde_json::from_slice(&hash).expect("JSON");
    let packed = hash["fields"]["data"]["base64_zlib_pickle"].as_str().expect("a text");
    let packed = BASE64_STANDARD.decode(packed).expect("base64");
    let job = WebhookJob::decode(&packed).expect("a job");
    assert_eq!(job.object_type.label().as_deref(), Some("tenancy.tenantgroup"));
    assert_eq!(job.netbox_event, "object_created");
}

#[test]
fn what_a_template_is_given_agrees_with_the_headers_netbox_rendered() {
    let mut compared = 0;
    for (name, packed) in jobs_in("").filter(|(name, _)| name.contains("-template-")) {
        let job = WebhookJob::decode(&packed).expect("a job");
        let sent = fs::read_to_string(folder().join(format!("{name}.delivered.json"))).expect("what was sent");
        let sent: Value = serde_json::from_str(&sent).expect("JSON");
        let headers: Vec<(String, String)> = serde_json::from_value(sent["headers"].clone()).expect("headers");
        let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!(header("X-Event"), Some(job.event.as_str()));
        assert_eq!(header("X-Model"), Some(job.object_type.model.as_str()));
        assert_eq!(header("X-Request"), job.request_id.as_deref());
        assert_eq!(header("X-User").map(str::to_lowercase), job.username);
        compared += 1;
    }
    assert_eq!(compared, 2);
}
