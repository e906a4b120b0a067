//! NetBox's webhooks and event rules as definitions of ours.
//!
//! # Source
//! `extras/models/models.py` and `extras/api/serializers_/` of NetBox 2.11 to 4.7. Until 3.6 a webhook named its
//! models, events and conditions itself; since 3.7 event rules do.

use serde_json::{Value, json};

use crate::domain::webhook::WebhookSpec;

/// An event rule that calls a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub id: u64,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    /// Labels, `dcim.site`.
    pub models: Vec<String>,
    /// As NetBox spells them, `object_created`.
    pub event_types: Vec<String>,
    pub conditions: Value,
    /// Id of its webhook.
    pub webhook: u64,
}

impl Rule {
    /// `None`: it runs a script or notifies people.
    pub fn read(rule: &Value) -> Option<Self> {
        if rule["action_object_type"] != "extras.webhook" {
            return None;
        }
        Some(Self {
            id: rule["id"].as_u64()?,
            name: text(rule, "name"),
            description: text(rule, "description"),
            enabled: rule["enabled"].as_bool().unwrap_or(true),
            // `content_types` until 3.7.
            models: texts(rule.get("object_types").unwrap_or(&rule["content_types"])),
            event_types: match rule.get("event_types") {
                Some(types) => texts(types),
                None => switches(rule),
            },
            conditions: rule["conditions"].clone(),
            webhook: rule["action_object_id"].as_u64()?,
        })
    }

    /// What a webhook of NetBox before 3.7 says of itself.
    pub fn of_webhook(webhook: &Value) -> Option<Self> {
        webhook.get("content_types")?;
        Some(Self {
            id: webhook["id"].as_u64()?,
            name: text(webhook, "name"),
            description: String::new(),
            enabled: webhook["enabled"].as_bool().unwrap_or(true),
            models: texts(&webhook["content_types"]),
            event_types: switches(webhook),
            conditions: webhook["conditions"].clone(),
            webhook: webhook["id"].as_u64()?,
        })
    }

    /// Whether it fires for an event of ours; all ends of a job are one.
    pub fn wants(&self, field: &str) -> bool {
        let meant: &[&str] = match field {
            "type_create" => &["object_created"],
            "type_update" => &["object_updated"],
            "type_delete" => &["object_deleted"],
            "type_job_start" => &["job_started"],
            _ => &["job_completed", "job_failed", "job_errored", "job_ended"],
        };
        self.event_types.iter().any(|given| meant.contains(&given.as_str()))
    }
}

/// The switches of our definitions.
pub const TYPES: [&str; 5] = ["type_create", "type_update", "type_delete", "type_job_start", "type_job_end"];

/// Events of NetBox until 4.0, in the words it has had since.
fn switches(given: &Value) -> Vec<String> {
    let named = [
        ("type_create", "object_created"),
        ("type_update", "object_updated"),
        ("type_delete", "object_deleted"),
        ("type_job_start", "job_started"),
        ("type_job_end", "job_completed"),
    ];
    named.iter().filter(|(field, _)| given[field] == true).map(|(_, name)| (*name).to_owned()).collect()
}

/// The fields that say where and how a webhook sends, in our names, which are NetBox's.
pub fn sending(webhook: &Value) -> serde_json::Map<String, Value> {
    let mut fields = serde_json::Map::new();
    for field in [
        "payload_url",
        "http_method",
        "http_content_type",
        "additional_headers",
        "body_template",
        "secret",
        "ca_file_path",
    ] {
        // NetBox 4 says null for an empty path; ≤ 3.6 has choices of methods as objects.
        let given = match &webhook[field] {
            Value::Null => json!(""),
            Value::Object(choice) => choice.get("value").cloned().unwrap_or_default(),
            given => given.clone(),
        };
        fields.insert(field.to_owned(), given);
    }
    fields.insert("ssl_verification".to_owned(), json!(webhook["ssl_verification"].as_bool().unwrap_or(true)));
    fields.insert("timeout".to_owned(), webhook.get("timeout").cloned().unwrap_or_default());
    fields.insert("payload_format".to_owned(), json!("netbox"));
    fields
}

/// A webhook of NetBox as a definition that gets the jobs of NetBox's queue: NetBox has matched those already, so models
/// and events are only shown. Before 3.7 its conditions are asked when the job is run, which is here.
///
/// # Errors
/// It holds what no request can be made of, as NetBox lets it; says which field and why.
pub fn spec(webhook: &Value, rules: &[Rule]) -> Result<WebhookSpec, String> {
    let id = webhook["id"].as_u64().ok_or("NetBox named no id of it")?;
    let of_itself = Rule::of_webhook(webhook);
    let its: Vec<&Rule> = of_itself.iter().chain(rules.iter().filter(|rule| rule.webhook == id)).collect();
    let mut fields = sending(webhook);
    fields.insert("name".to_owned(), json!(text(webhook, "name")));
    fields.insert("description".to_owned(), json!(text(webhook, "description")));
    fields.insert("enabled".to_owned(), json!(true));
    let mut models: Vec<&String> = its.iter().flat_map(|rule| &rule.models).collect();
    models.sort_unstable();
    models.dedup();
    fields.insert("models".to_owned(), json!(models));
    for field in TYPES {
        fields.insert(field.to_owned(), json!(its.iter().any(|rule| rule.wants(field))));
    }
    let conditions = of_itself.map(|rule| rule.conditions).filter(|conditions| !conditions.is_null());
    fields.insert("conditions".to_owned(), conditions.unwrap_or_default());
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

fn text(from: &Value, field: &str) -> String {
    from[field].as_str().unwrap_or_default().to_owned()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<Value> {
        let path = format!("{}/tests/fixtures/netbox/api/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let list: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("JSON");
        list["results"].as_array().expect("a list").clone()
    }

    #[test]
    fn what_a_real_netbox_defines_is_read() {
        let rules: Vec<_> = fixture("GET-extras-event-rules").iter().filter_map(Rule::read).collect();
        assert_eq!(rules.len(), 17);
        for webhook in fixture("GET-extras-webhooks") {
            let spec = spec(&webhook, &rules).expect("a definition");
            assert_eq!(spec.name, webhook["name"].as_str().expect("a name"));
            assert!(!spec.models.is_empty() && spec.enabled, "{}", spec.name);
            assert_eq!(spec.secret, webhook["secret"].as_str().expect("a secret"));
        }
    }

    #[test]
    fn a_webhook_before_event_rules_speaks_for_itself() {
        let webhook = json!({"id": 3, "name": "old", "content_types": ["dcim.site"], "enabled": true, "type_create": true,
            "type_update": false, "payload_url": "http://h/", "http_method": "PUT", "http_content_type": "text/plain",
            "additional_headers": "", "body_template": "", "secret": "", "ssl_verification": false, "ca_file_path": null,
            "conditions": {"attr": "name", "value": "x"}});
        let spec = spec(&webhook, &[]).expect("a definition");
        assert_eq!((spec.models, spec.type_create, spec.type_update), (vec!["dcim.site".to_owned()], true, false));
        assert_eq!(spec.conditions, Some(json!({"attr": "name", "value": "x"})));
        assert!(!spec.ssl_verification);
    }
}
