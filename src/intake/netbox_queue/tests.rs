//! Jobs of a real NetBox, and of each of its releases, on their way through.

use std::path::Path;

use serde_json::{Value, json};

use super::job::WebhookJob;
use super::taker::event;
use crate::config::NetboxVersion;
use crate::domain::models::Models;
use crate::domain::webhook::WebhookSpec;
use crate::render::{Lazy, Prepared, Source};

/// Which NetBox made a fixture, by its name.
fn version(name: &str) -> NetboxVersion {
    match name.strip_prefix('v').and_then(|rest| rest.get(..3)?.split_once('.')) {
        Some((major, minor)) => NetboxVersion(major.parse().expect("a number"), minor.parse().expect("a number")),
        None if name.starts_with("kinds") => NetboxVersion(4, 6),
        None => NetboxVersion(4, 4),
    }
}

#[test]
fn each_job_leaves_as_netboxs_worker_sends_it() {
    let spec: WebhookSpec = serde_json::from_value(json!({
        "name": "w", "models": [], "payload_url": "http://h/", "payload_format": "netbox"
    }))
    .expect("a definition");
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/netbox/rq");
    let mut compared = 0;
    for folder in [base.clone(), base.join("made")] {
        for entry in std::fs::read_dir(&folder).expect("fixtures") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".data.zlib") else { continue };
            let sent = ["delivered", "expected"].map(|kind| folder.join(format!("{name}.{kind}.json")));
            let Some(sent) = sent.iter().find(|path| path.exists()).filter(|_| !name.contains("template")) else {
                continue;
            };
            let sent: Value = serde_json::from_str(&std::fs::read_to_string(sent).expect("a fixture")).expect("JSON");
            let Some(sent) = sent["body"].as_str() else { continue };
            let job = WebhookJob::decode(&std::fs::read(&path).expect("a job")).expect("it is read");
            let event = event(&job, "a job", &Models::builtin()).expect("it is an event");
            assert_eq!(event.external_id.as_deref(), Some("a job"));
            let source = Source { event: &event, folded_from: None, version: version(name) };
            let body = Prepared::new(&spec).body(&spec, &Lazy::new(source)).expect("a body");
            assert_eq!(std::str::from_utf8(&body), Ok(sent), "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 30, "only {compared} jobs");
}
