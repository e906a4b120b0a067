//! Events and definitions as tests need them.

use serde_json::{Value, json};

/// An event of `dcim.site` in the form of the webhook backend; `data` gains the object's id.
pub fn site_event(event: &str, object: u64, data: Value) -> Value {
    let mut members = serde_json::Map::from_iter([("id".to_owned(), json!(object))]);
    if let Value::Object(given) = data {
        members.extend(given);
    }
    json!({"event": event, "signal_received_timestamp": 1_508_769_597.5, "model": "Site", "data": members})
}

/// A webhook for every change of a site.
pub fn webhook(name: &str, payload_url: &str) -> Value {
    json!({
        "name": name,
        "models": ["dcim.site"],
        "type_create": true,
        "type_update": true,
        "type_delete": true,
        "payload_url": payload_url,
    })
}

/// An event of another model, in the form NetBox sends.
pub fn event_of(model: &str, object: u64) -> Value {
    json!({"event": "updated", "model": model, "data": {"id": object}})
}

/// A webhook for every change of one model.
pub fn webhook_of(model: &str, name: &str, payload_url: &str) -> Value {
    let mut webhook = webhook(name, payload_url);
    webhook["models"] = json!([model]);
    webhook
}
