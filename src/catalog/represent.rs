//! A webhook as the REST API shows it.

use serde_json::{Value, json};

use crate::domain::payload_url::mask_userinfo;
use crate::domain::webhook::{Source, Webhook};

/// What stands where a secret is set.
pub const MASK: &str = "********";

/// All fields of the REST API; the secret and the userinfo of the URL masked.
pub fn to_json(webhook: &Webhook) -> Value {
    // A definition is strings, numbers and JSON: it always has a JSON form.
    let mut shown = serde_json::to_value(&*webhook.spec).unwrap_or_default();
    let source = match webhook.source {
        Source::Api => "api",
        Source::File => "file",
        Source::Netbox(_) => "netbox",
    };
    shown["id"] = json!(webhook.id);
    shown["secret"] = json!(if webhook.spec.secret.is_empty() { "" } else { MASK });
    shown["payload_url"] = json!(mask_userinfo(&webhook.spec.payload_url));
    shown["follow_redirects"] = json!(false);
    shown["endpoint_id"] = json!(webhook.endpoint);
    shown["source"] = json!(source);
    shown["orphaned"] = json!(webhook.orphaned);
    shown["created"] = json!(webhook.created);
    shown["last_updated"] = json!(webhook.last_updated);
    shown
}
