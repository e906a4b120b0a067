//! NetBox's rules as definitions of ours, and how those that are here differ.

use serde_json::{Map, Value, json};

use super::webhook::{Rule, TYPES, sending};
use crate::catalog::masked;
use crate::catalog::validate;
use crate::domain::models::Models;
use crate::domain::webhook::WebhookSpec;

/// A definition that NetBox has.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Fields of the REST API.
    pub fields: Map<String, Value>,
    /// What it would be refused for; empty: it can be made.
    pub problems: Vec<String>,
}

/// What a proposal means for the definitions here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Create,
    /// It is here already; names the fields that differ, none if only a secret may. Whether it is enabled is decided here:
    /// in NetBox its rule may have been switched off because we send now.
    Update {
        id: u64,
        fields: Vec<String>,
    },
    /// It cannot be taken over; says why.
    Refused(String),
}

impl Proposal {
    pub fn name(&self) -> &str {
        self.fields["name"].as_str().unwrap_or_default()
    }

    fn new(webhook: &Value, rule: &Rule, models: &Models) -> Self {
        let mut fields = sending(webhook);
        let description = match rule.description.as_str() {
            "" => webhook["description"].as_str().unwrap_or_default(),
            own => own,
        };
        fields.insert("name".to_owned(), json!(rule.name));
        fields.insert("description".to_owned(), json!(description));
        fields.insert("enabled".to_owned(), json!(rule.enabled));
        fields.insert("models".to_owned(), json!(rule.models));
        for field in TYPES {
            fields.insert(field.to_owned(), json!(rule.wants(field)));
        }
        fields.insert("conditions".to_owned(), rule.conditions.clone());
        let problems = match validate::create(&Value::Object(fields.clone()), models) {
            Ok(_) => Vec::new(),
            Err(errors) => {
                errors.0.iter().flat_map(|(field, all)| all.iter().map(move |e| format!("{field}: {e}"))).collect()
            }
        };
        Self { fields, problems }
    }

    /// Against the webhooks as our REST API shows them.
    pub fn compare(&self, ours: &[Value]) -> Change {
        if !self.problems.is_empty() {
            return Change::Refused(self.problems.join(" "));
        }
        let Some(here) = ours.iter().find(|webhook| webhook["name"] == self.name()) else { return Change::Create };
        let source = here["source"].as_str().unwrap_or_default();
        if source != "api" {
            return Change::Refused(format!("a webhook of this name comes from elsewhere already ({source})"));
        }
        // Compared as the API shows it, secrets masked on both sides.
        let Ok(spec) = serde_json::from_value::<WebhookSpec>(Value::Object(self.fields.clone())) else {
            return Change::Refused("it is not a definition".to_owned());
        };
        let meant = masked(&spec);
        let differs = |field: &&String| !same(&meant[field.as_str()], &here[field.as_str()]);
        let fields = self.fields.keys().filter(|field| *field != "enabled").filter(differs).cloned().collect();
        Change::Update { id: here["id"].as_u64().unwrap_or_default(), fields }
    }
}

/// Models are a set.
fn same(a: &Value, b: &Value) -> bool {
    let sorted = |value: &Value| {
        let mut all: Vec<String> = value.as_array()?.iter().map(Value::to_string).collect();
        all.sort_unstable();
        Some(all)
    };
    a == b || sorted(a).is_some_and(|a| Some(a) == sorted(b))
}

/// A definition for each rule that calls a webhook, and for each webhook that is its own rule (before NetBox 3.7).
pub fn proposals(webhooks: &[Value], rules: &[Rule], models: &Models) -> Vec<Proposal> {
    let of_themselves = webhooks.iter().filter_map(Rule::of_webhook);
    let all: Vec<Rule> = of_themselves.chain(rules.iter().cloned()).collect();
    let find = |id: u64| webhooks.iter().find(|webhook| webhook["id"].as_u64() == Some(id));
    all.iter().filter_map(|rule| find(rule.webhook).map(|webhook| Proposal::new(webhook, rule, models))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn netbox() -> (Vec<Value>, Vec<Rule>) {
        let webhook = json!({"id": 4, "name": "w", "payload_url": "https://u:p@h/x", "http_method": "POST",
            "http_content_type": "application/json", "additional_headers": "", "body_template": "", "secret": "s",
            "ssl_verification": true, "ca_file_path": null, "description": "of the webhook"});
        let rule = json!({"id": 9, "name": "sites", "object_types": ["dcim.site", "dcim.rack"], "enabled": true,
            "event_types": ["object_created", "job_completed"], "conditions": null, "action_object_type": "extras.webhook",
            "action_object_id": 4, "description": ""});
        (vec![webhook], vec![Rule::read(&rule).expect("a rule")])
    }

    fn only() -> Proposal {
        let (webhooks, rules) = netbox();
        proposals(&webhooks, &rules, &Models::builtin()).remove(0)
    }

    #[test]
    fn a_rule_and_its_webhook_are_one_definition() {
        let proposal = only();
        assert_eq!((proposal.name(), proposal.problems.len()), ("sites", 0), "{:?}", proposal.problems);
        let fields = &proposal.fields;
        assert_eq!((&fields["type_create"], &fields["type_update"]), (&json!(true), &json!(false)));
        assert_eq!((&fields["type_job_end"], &fields["payload_format"]), (&json!(true), &json!("netbox")));
        assert_eq!(fields["description"], "of the webhook");
    }

    #[test]
    fn what_is_here_already_is_compared_without_its_secrets() {
        let proposal = only();
        assert_eq!(proposal.compare(&[]), Change::Create);
        let spec: WebhookSpec = serde_json::from_value(Value::Object(proposal.fields.clone())).expect("a definition");
        let mut here = masked(&spec);
        here["id"] = json!(3);
        here["source"] = json!("api");
        here["models"] = json!(["dcim.rack", "dcim.site"]);
        assert_eq!(proposal.compare(&[here.clone()]), Change::Update { id: 3, fields: vec![] });
        here["enabled"] = json!(false);
        here["http_method"] = json!("PUT");
        assert_eq!(proposal.compare(&[here.clone()]), Change::Update { id: 3, fields: vec!["http_method".to_owned()] });
        here["source"] = json!("file");
        assert!(matches!(proposal.compare(&[here]), Change::Refused(why) if why.contains("(file)")));
    }

    #[test]
    fn what_cannot_be_made_says_why() {
        let (mut webhooks, rules) = netbox();
        webhooks[0]["payload_url"] = json!("not a url");
        let proposal = proposals(&webhooks, &rules, &Models::builtin()).remove(0);
        assert!(matches!(proposal.compare(&[]), Change::Refused(why) if why.starts_with("payload_url: ")));
    }
}
