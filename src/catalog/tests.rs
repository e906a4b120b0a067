//! Matching, its reasons, and what definitions are refused for.

use std::io::Write;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::validate::{FieldErrors, beside, create, patch, replace};
use super::*;
use crate::domain::credentials::MASK;
use crate::domain::endpoint::{Control, Endpoint, LiveState};
use crate::domain::ids::EndpointId;
use crate::domain::models::Models;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{HttpMethod, PayloadFormat, Source, WebhookSpec};
use crate::render::{self, DEFAULT_VERSION, Lazy, Prepared};
use crate::store::StoredEndpoint;

fn minimal() -> Value {
    json!({"name": "awx", "models": ["Site"], "type_create": true, "payload_url": "https://awx.example.com/hook"})
}

fn with(changes: &Value) -> Value {
    let mut input = minimal();
    for (field, value) in changes.as_object().expect("an object") {
        input[field] = value.clone();
    }
    input
}

fn spec(changes: &Value) -> WebhookSpec {
    create(&with(changes), &Models::builtin()).unwrap_or_else(|e| panic!("{changes}: {e}")).0
}

fn problems(changes: &Value) -> FieldErrors {
    create(&with(changes), &Models::builtin()).err().unwrap_or_else(|| panic!("accepted: {changes}"))
}

fn webhook(id: u32, spec: WebhookSpec) -> Webhook {
    let target = Target::parse(&spec.payload_url).expect("a valid URL");
    Webhook {
        id: WebhookId(id),
        revision: 1,
        spec: Arc::new(spec),
        target,
        endpoint: EndpointId(id),
        source: Source::Api,
        orphaned: false,
        moving: false,
        created: Timestamp(0),
        last_updated: Timestamp(0),
    }
}

fn set(webhooks: Vec<Webhook>) -> Arc<DefinitionSet> {
    let webhooks = webhooks.into_iter().map(Arc::new).collect();
    Arc::new(DefinitionSet { revision: 3, webhooks, ..DefinitionSet::default() })
}

fn event(event: &str, model: &str) -> Event {
    let raw = Bytes::from(json!({"event": event, "model": model, "data": {"id": 1}}).to_string());
    Event::parse(raw, &Models::builtin(), Timestamp(0)).expect("a valid event")
}

fn matched(catalog: &Catalog, event: &Event) -> Vec<u32> {
    catalog.plan(event, Route::Match).deliveries.iter().map(|p| p.webhook.0).collect()
}

#[test]
fn an_event_reaches_the_webhooks_of_its_model_and_type_in_their_order() {
    let catalog = Catalog::new(set(vec![
        webhook(1, spec(&json!({"models": ["dcim.site", "Site", "dcim.rack"]}))),
        webhook(2, spec(&json!({"type_create": false, "type_update": true}))),
        webhook(3, spec(&json!({"models": ["Rack"]}))),
        webhook(4, spec(&json!({"type_update": true}))),
    ]));
    assert_eq!(matched(&catalog, &event("created", "Site")), [1, 4]);
    assert_eq!(matched(&catalog, &event("updated", "Site")), [2, 4]);
    assert_eq!(matched(&catalog, &event("created", "Rack")), [1, 3]);
    assert_eq!(matched(&catalog, &event("deleted", "Site")), [0u32; 0]);
    assert_eq!(matched(&catalog, &event("created", "VRF")), [0u32; 0]);
    assert_eq!(catalog.webhook(WebhookId(3)).map(|w| w.id), Some(WebhookId(3)));
    assert_eq!(catalog.revision(), 3);
}

#[test]
fn conditions_decide_who_gets_an_event_and_say_why_not() {
    let acme = json!({"and": [{"attr": "tenant.slug", "value": "acme"}, {"attr": "id", "value": 1, "op": "lte"}]});
    let catalog = Catalog::new(set(vec![
        webhook(1, spec(&json!({"conditions": acme}))),
        webhook(2, spec(&json!({"conditions": {"attr": "tenant.slug", "value": "acme", "negate": true}}))),
        webhook(3, spec(&json!({}))),
    ]));
    let site = |tenant: Value| {
        let raw = json!({"event": "created", "model": "site", "data": {"id": 1, "tenant": tenant}}).to_string();
        Event::parse(raw.into(), &Models::builtin(), Timestamp(0)).expect("a valid event")
    };
    assert_eq!(matched(&catalog, &site(json!({"slug": "acme"}))), [1, 3]);
    assert_eq!(matched(&catalog, &site(json!({"slug": "umbrella"}))), [2, 3]);
    assert_eq!(matched(&catalog, &site(json!(null))), [3], "a path that leads nowhere is no match, even negated");
    let reason = |tenant, at: usize| catalog.explain(&site(tenant))[at].reason.clone().unwrap_or_default();
    let said = reason(json!({"slug": "umbrella"}), 0);
    assert!(said.contains("and[0]: tenant.slug is \"umbrella\""), "{said}");
    let said = reason(json!(null), 0);
    assert!(said.starts_with("conditions cannot be evaluated: "), "{said}");
}

#[test]
fn a_templated_url_goes_to_the_endpoint_of_its_origin() {
    let templated = webhook(1, spec(&json!({"payload_url": "https://{{ data.region }}.example/{{ data.id }}"})));
    let text = templated.target.endpoint_key().clone();
    let endpoint = |id: u32, origin: &str| {
        let endpoint = Endpoint { id: EndpointId(id), url: text.clone(), origin: Origin(origin.into()) };
        Arc::new(StoredEndpoint {
            endpoint,
            control: Control::Active,
            live: LiveState::default(),
            policy_patch: serde_json::Map::new(),
        })
    };
    let endpoints = vec![endpoint(1, ""), endpoint(7, "https://eu.example")];
    let webhooks = vec![Arc::new(templated)];
    let catalog = Catalog::new(Arc::new(DefinitionSet { webhooks, endpoints, ..DefinitionSet::default() }));
    let plan = |region: Value| {
        let raw = json!({"event": "created", "model": "site", "data": {"id": 1, "region": region}}).to_string();
        let event = Event::parse(raw.into(), &Models::builtin(), Timestamp(0)).expect("a valid event");
        let Plan { deliveries, missing } = catalog.plan(&event, Route::Match);
        (deliveries[0].endpoint.0, missing.into_iter().map(|new| new.origin.0.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(plan(json!("eu")), (7, vec![]));
    assert_eq!(plan(json!("us")), (1, vec!["https://us.example".to_owned()]), "it has to be made first");
    assert_eq!(plan(json!("a b")), (1, vec![]), "no URL, no endpoint: the attempt says so");
}

#[test]
fn an_explanation_agrees_with_the_plan_and_says_why_not() {
    let off = webhook(1, spec(&json!({"enabled": false, "models": ["Rack"]})));
    let mut orphan = webhook(2, spec(&json!({})));
    orphan.orphaned = true;
    let mut foreign = webhook(3, spec(&json!({})));
    foreign.source = Source::Netbox(9);
    let other_type = webhook(4, spec(&json!({"type_create": false, "type_delete": true})));
    let catalog = Catalog::new(set(vec![off, orphan, foreign, other_type, webhook(5, spec(&json!({})))]));
    let event = event("created", "Site");
    let explained = catalog.explain(&event);
    let reasons: Vec<_> = explained.iter().map(|e| e.reason.as_deref().unwrap_or("-")).collect();
    assert_eq!(
        reasons,
        [
            "disabled; model dcim.site is not among its models",
            "its source no longer names it",
            "NetBox's own: it gets the jobs of NetBox's queue only",
            "event created is not among its event types",
            "-",
        ]
    );
    let explained: Vec<_> = explained.iter().filter(|e| e.matched).map(|e| e.webhook.0).collect();
    assert_eq!(explained, matched(&catalog, &event));
}

#[test]
fn a_minimal_definition_gets_the_defaults_of_the_interface() {
    let (spec, url) = create(&minimal(), &Models::builtin()).expect("a valid definition");
    assert_eq!(spec.models, ["dcim.site"]);
    assert_eq!(&**url.endpoint_key(), "https://awx.example.com/hook");
    assert!(spec.enabled && spec.ssl_verification && !spec.type_update);
    assert_eq!((spec.http_method, spec.payload_format), (HttpMethod::Post, PayloadFormat::Backend));
    assert_eq!((spec.http_content_type.as_str(), spec.timeout), ("application/json", None));
}

#[test]
fn all_problems_are_reported_at_once_in_netboxes_words() {
    let input = json!({"models": [], "payload_url": "x".repeat(501), "enabled": "yes", "http_method": "OPTIONS",
        "timeout": 0, "secret": null, "nmae": "typo"});
    let errors = create(&input, &Models::builtin()).expect_err("nothing is right").0;
    let first = |field: &str| errors.get(field).map_or("", |all| all[0].as_str());
    assert_eq!(first("name"), "This field is required.");
    assert_eq!(first("models"), "This list may not be empty.");
    assert_eq!(first("payload_url"), "Ensure this field has no more than 500 characters.");
    assert_eq!(first("enabled"), "Must be a valid boolean.");
    assert_eq!(first("http_method"), "\"OPTIONS\" is not a valid choice.");
    assert_eq!(first("timeout"), "Ensure this value is greater than or equal to 1.");
    assert_eq!(first("secret"), "This field may not be null.");
    assert!(first("nmae").starts_with("Unknown field."), "{}", first("nmae"));
    assert!(first("non_field_errors").starts_with("At least one event type"));
}

#[test]
fn each_rule_names_its_field() {
    let cases = [
        (json!({"name": " "}), "name", "may not be blank"),
        (json!({"name": "x".repeat(151)}), "name", "no more than 150"),
        (json!({"models": ["Sight"]}), "models", "webhooks.models"),
        (json!({"models": [7]}), "models", "7 is not a model"),
        (json!({"models": "Site"}), "models", "Expected a list of items but got type \"string\"."),
        (json!({"type_create": false}), "non_field_errors", "At least one event type"),
        (json!({"payload_url": ""}), "payload_url", "may not be blank"),
        (json!({"payload_url": "not a url"}), "payload_url", "Enter a valid URL"),
        (json!({"payload_url": "ftp://host/"}), "payload_url", "use http or https"),
        (json!({"payload_url": "https://h/{% if x %}"}), "payload_url", "Not a valid template: line 1"),
        (
            json!({"payload_url": format!("https://h/{{{{ x }}}}{}", "x".repeat(490))}),
            "payload_url",
            "no more than 500",
        ),
        (json!({"additional_headers": "X: 1\nY: {{ x"}), "additional_headers", "Not a valid template: line 2"),
        (json!({"additional_headers": "X: 1\nbad"}), "additional_headers", "Line 2: has no \":\""),
        (json!({"body_template": "{% include 'x' %}"}), "body_template", "Not a valid template: line 1"),
        (json!({"conditions": {"attr": "a", "value": 1, "op": "is"}}), "conditions", "op"),
        (json!({"conditions": {"not": []}}), "conditions", "not"),
        (json!({"conditions": {"and": [{"attr": "a"}]}}), "conditions", "and[0]"),
        (json!({"follow_redirects": true}), "follow_redirects", "Redirects are not followed"),
        (json!({"http_content_type": ""}), "http_content_type", "may not be blank"),
        (json!({"http_content_type": "a\nb"}), "http_content_type", "printable ASCII"),
        (json!({"secret": "x".repeat(256)}), "secret", "no more than 255"),
        (json!({"secret": "********"}), "secret", "already set"),
        (json!({"signing": "standard"}), "secret", "needs a secret"),
        (json!({"signing": "standard", "secret": "whsec_%"}), "secret", "base64"),
        (json!({"timeout": 3601}), "timeout", "less than or equal to 3600"),
        (json!({"timeout": 1.5}), "timeout", "A valid integer is required."),
        (json!({"ca_file_path": "/nowhere/ca.pem"}), "ca_file_path", "Cannot read"),
        (json!({"ca_file_path": "/etc"}), "ca_file_path", "is not a file"),
        (json!({"ca_file_path": "/etc/passwd"}), "ca_file_path", "holds no PEM certificate"),
        (json!({"ca_file_path": "/x", "ssl_verification": false}), "ca_file_path", "SSL verification is disabled"),
    ];
    for (changes, field, expected) in cases {
        let errors = problems(&changes);
        let said = errors.0.get(field).map(|all| all.join(" ")).unwrap_or_default();
        assert!(said.contains(expected), "{changes}: {errors}");
        assert_eq!(errors.0.len(), 1, "{changes}: {errors}");
    }
    assert!(create(&json!([]), &Models::builtin()).is_err());
}

proptest! {
    #[test]
    fn headers_that_are_accepted_can_be_sent(text in "([a-zA-Z-]{1,9}|expect|\\PC{0,3})[: ]{0,2}[ -~\t\r\n:]{0,30}") {
        if let Ok((spec, _)) = create(&with(&json!({"additional_headers": text})), &Models::builtin()) {
            let source = render::Source { event: &event("created", "site"), folded_from: None, version: DEFAULT_VERSION };
            prop_assert!(Prepared::new(&spec).headers(&spec, &Lazy::new(source)).is_ok());
        }
    }
}

#[test]
fn what_means_none_is_no_condition() {
    for empty in [json!(null), json!({}), json!("")] {
        assert_eq!(
            spec(&json!({"conditions": empty, "body_template": "", "follow_redirects": false})).conditions,
            None
        );
    }
}

#[test]
fn a_readable_ca_file_is_taken() {
    let key = rcgen::generate_simple_self_signed(["ca".to_owned()]).expect("a certificate");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(key.cert.pem().as_bytes()).expect("room for it");
    let path = file.path().display().to_string();
    assert_eq!(spec(&json!({"ca_file_path": path})).ca_file_path, path);
}

#[test]
fn a_patch_changes_only_what_it_names() {
    let old =
        spec(&json!({"secret": "s3", "payload_url": "https://u:p@h/x", "timeout": 9, "models": ["Site", "Rack"]}));
    let models = Models::builtin();
    let (new, _) = patch(&json!({"enabled": false}), &old, &models).expect("a valid change");
    assert_eq!(new, WebhookSpec { enabled: false, ..old.clone() });
    let (new, _) = patch(&json!({"timeout": null, "secret": ""}), &old, &models).expect("a valid change");
    assert_eq!((new.timeout, new.secret.as_str()), (None, ""));
    assert!(patch(&json!({"type_create": false}), &old, &models).is_err());
}

#[test]
fn what_was_read_can_be_sent_back() {
    let stored = webhook(7, spec(&json!({"secret": "s3", "payload_url": "https://u:p@h/x", "timeout": 9})));
    let shown = to_json(&stored);
    assert_eq!((&shown["secret"], &shown["payload_url"]), (&json!(MASK), &json!("https://********@h/x")));
    assert_eq!((&shown["id"], &shown["source"], &shown["orphaned"]), (&json!(7), &json!("api"), &json!(false)));
    assert_eq!(shown["created"], "1970-01-01T00:00:00.000000Z");
    let (again, url) = replace(&shown, &stored.spec, &Models::builtin()).expect("its own form");
    assert_eq!((&again, &url), (&*stored.spec, &stored.target));
    let moved = json!({"payload_url": "https://********@h/new"});
    let errors = patch(&moved, &stored.spec, &Models::builtin()).expect_err("the password is not known there");
    assert!(errors.0["payload_url"][0].contains("already set"), "{errors}");
}

#[test]
fn a_put_needs_what_is_required_and_keeps_the_optional_rest() {
    let old = spec(&json!({"secret": "s3", "timeout": 9}));
    let (new, _) = replace(&minimal(), &old, &Models::builtin()).expect("a whole definition");
    assert_eq!(new, old);
    let errors = replace(&json!({"name": "x"}), &old, &Models::builtin()).expect_err("two are missing");
    assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["models", "payload_url"]);
}

#[test]
fn a_model_that_left_the_configuration_does_not_bar_other_changes() {
    let extra = Models::with_extra(&["my_plugin.MyModel".to_owned()]).expect("a valid entry");
    let (old, _) = create(&with(&json!({"models": ["MyModel"]})), &extra).expect("a valid definition");
    assert_eq!(old.models, ["my_plugin.mymodel"]);
    let (new, _) = replace(&with(&json!({"models": old.models})), &old, &Models::builtin()).expect("unchanged");
    assert_eq!(new.models, old.models);
}

#[test]
fn a_name_is_taken_once() {
    let set = set(vec![webhook(1, spec(&json!({})))]);
    let errors = beside(&set, None, &spec(&json!({}))).expect_err("a repeated name");
    assert_eq!(errors.0["name"], ["webhook with this name already exists."]);
    assert_eq!(beside(&set, Some(WebhookId(1)), &spec(&json!({}))), Ok(()));
    assert_eq!(beside(&set, None, &spec(&json!({"name": "other"}))), Ok(()));
}

#[test]
fn no_event_may_have_more_deliveries_than_its_ids_can_count() {
    let shared = Arc::new(webhook(0, spec(&json!({}))));
    let webhooks = vec![shared; crate::domain::ids::MAX_FANOUT];
    let full = DefinitionSet { revision: 1, webhooks, ..DefinitionSet::default() };
    let one_more = |changes: &Value| beside(&full, None, &WebhookSpec { name: "new".to_owned(), ..spec(changes) });
    let errors = one_more(&json!({})).expect_err("one too many");
    assert!(errors.0["models"][0].starts_with("65535 webhooks match dcim.site created already"), "{errors}");
    assert_eq!(one_more(&json!({"models": ["Rack"]})), Ok(()));
    assert_eq!(one_more(&json!({"enabled": false})), Ok(()));
    assert_eq!(one_more(&json!({"type_create": false, "type_update": true})), Ok(()));
}
