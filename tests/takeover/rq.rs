//! The real RQ, as NetBox uses it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::redis::Redis;
use super::support::python::python;

pub const QUEUE: &str = "netbox-webhookd";

/// Runs `tests/netbox/rq_side.py`; its answer.
#[track_caller]
pub fn rq(redis: &Redis, arguments: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netbox/rq_side.py");
    let output = Command::new(python())
        .arg(script)
        .args(["--redis", &redis.url()])
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// Puts jobs of NetBox's shape on the queue; their ids in order.
#[track_caller]
pub fn enqueue(redis: &Redis, webhook: u64, count: usize, more: &[&str]) -> Vec<String> {
    let (webhook, count) = (webhook.to_string(), count.to_string());
    let mut arguments = vec!["enqueue", "--queue", QUEUE, "--webhook-id", &webhook, "--count", &count];
    arguments.extend(more);
    let answer = rq(redis, &arguments);
    let ids = answer["ids"].as_array().or_else(|| answer.as_array()).unwrap_or_else(|| panic!("{answer}"));
    ids.iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
}

pub fn registries(redis: &Redis) -> Value {
    rq(redis, &["registries", "--queue", QUEUE])
}

pub fn job(redis: &Redis, id: &str) -> Value {
    rq(redis, &["job", id])
}
