//! A webhook as the REST API shows it.

use serde_json::{Value, json};

use crate::domain::credentials::{MASK, masked_headers};
use crate::domain::payload_url::mask_userinfo;
use crate::domain::webhook::{Source, Webhook, WebhookSpec};

/// All fields of the REST API, without a secret among them.
pub fn to_json(webhook: &Webhook) -> Value {
    let mut shown = masked(&webhook.spec);
    let source = match webhook.source {
        Source::Api => "api",
        Source::File => "file",
        Source::Netbox(_) => "netbox",
    };
    shown["id"] = json!(webhook.id);
    shown["follow_redirects"] = json!(false);
    shown["endpoint_id"] = json!(webhook.endpoint);
    shown["source"] = json!(source);
    shown["orphaned"] = json!(webhook.orphaned);
    shown["moving"] = json!(webhook.moving);
    shown["revision"] = json!(webhook.revision);
    shown["created"] = json!(webhook.created);
    shown["last_updated"] = json!(webhook.last_updated);
    shown
}

/// A definition with its secret, the userinfo of its URL and the credentials in its headers masked.
pub fn masked(spec: &WebhookSpec) -> Value {
    // A definition is strings, numbers and JSON: it always has a JSON form.
    let mut shown = serde_json::to_value(spec).unwrap_or_default();
    shown["secret"] = json!(if spec.secret.is_empty() { "" } else { MASK });
    shown["payload_url"] = json!(mask_userinfo(&spec.payload_url));
    shown["additional_headers"] = json!(masked_headers(&spec.additional_headers));
    shown
}
