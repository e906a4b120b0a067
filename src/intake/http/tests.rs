//! Bodies of every form, and what is refused as a whole.

use serde_json::{Value, json};

use super::*;
use crate::catalog::validate::create;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::domain::webhook::{Source, Webhook};
use crate::store::admin::DefinitionSet;

const NOW: Timestamp = Timestamp(1_764_000_000_000_000);

fn catalog(webhooks: u32) -> Catalog {
    let input = json!({"name": "x", "models": ["Site"], "type_create": true, "payload_url": "http://h/"});
    let (spec, target) = create(&input, &Models::builtin()).expect("a valid definition");
    let one = |id| {
        Arc::new(Webhook {
            id: WebhookId(id),
            revision: 1,
            spec: Arc::new(spec.clone()),
            target: target.clone(),
            endpoint: EndpointId(id),
            source: Source::Api,
            orphaned: false,
            moving: false,
            created: NOW,
            last_updated: NOW,
        })
    };
    let webhooks = (0..webhooks).map(one).collect();
    Catalog::new(Arc::new(DefinitionSet { revision: 1, webhooks, ..DefinitionSet::default() }))
}

fn site(id: u32) -> Value {
    json!({"event": "created", "model": "Site", "data": {"id": id}})
}

fn request<'a>(body: &str, content_type: Option<&'a str>, key: Option<&'a str>) -> Request<'a> {
    Request { body: Bytes::copy_from_slice(body.as_bytes()), content_type, idempotency_key: key, token: "3" }
}

fn read_with(request: &Request<'_>, max_batch: usize) -> Result<Vec<NewEvent>, IntakeError> {
    read(request, &Models::builtin(), &catalog(2), max_batch, NOW)
}

fn ids(body: &str, content_type: Option<&str>) -> Vec<String> {
    let events = read_with(&request(body, content_type, None), 100).unwrap_or_else(|e| panic!("{body}: {e}"));
    events.iter().map(|e| e.event.object_id.as_deref().unwrap_or("-").to_owned()).collect()
}

fn refused(body: &str, content_type: Option<&str>) -> IntakeError {
    read_with(&request(body, content_type, None), 3).err().unwrap_or_else(|| panic!("accepted: {body}"))
}

#[test]
fn one_event_an_array_and_lines_are_taken() {
    let one = site(1).to_string();
    for content_type in [None, Some("application/json; charset=utf-8"), Some("Text/JSON"), Some("application/x+json")] {
        assert_eq!(ids(&one, content_type), ["1"]);
    }
    let array = format!(" [ {} ,\n {} ] ", site(1), site(2));
    assert_eq!(ids(&array, Some("application/json")), ["1", "2"]);
    let lines = format!("{}\r\n\n{}", site(1), site(2));
    assert_eq!(ids(&lines, Some("application/x-ndjson")), ["1", "2"]);
    assert_eq!(ids("[]", None), [""; 0]);
}

#[test]
fn json_is_taken_under_the_form_type_netbox_may_be_told_to_send() {
    let form = Some("application/x-www-form-urlencoded");
    assert_eq!(ids(&site(1).to_string(), form), ["1"]);
    assert_eq!(refused("event=created&data=id", form), IntakeError::Form);
    let other = refused(&site(1).to_string(), Some("application/xml"));
    assert_eq!((other.status(), other.to_string().contains("application/xml")), (415, true));
}

#[test]
fn the_events_of_a_batch_have_memory_of_their_own_and_are_planned() {
    let body = Bytes::from(format!("[{} , {}]", site(1), site(2)));
    let whole = body.as_ptr_range();
    let request = Request { body: body.clone(), content_type: None, idempotency_key: None, token: "3" };
    for event in read_with(&request, 10).expect("a valid batch") {
        // One that waits must not keep the whole batch.
        assert!(!whole.contains(&event.event.raw().as_ptr()));
        assert_eq!(event.plan.iter().map(|p| p.webhook.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(event.idempotency, None);
    }
}

#[test]
fn a_bad_member_refuses_the_batch_and_is_named() {
    let array = format!("[{},{}]", site(1), json!({"event": "created"}));
    let error = refused(&array, None);
    assert_eq!((error.status(), error.index()), (400, Some(1)));
    assert!(error.to_string().starts_with("event 1: \"model\" is missing"), "{error}");
    let lines = format!("{}\n{{", site(1));
    assert_eq!(refused(&lines, Some("application/x-ndjson")).index(), Some(1));
    let nested = format!("[[{}]]", site(1));
    assert_eq!(refused(&nested, None).index(), Some(0));
    for broken in ["", "  ", "[", "[{}", "nul", "[1,]", "[] x"] {
        assert_eq!(refused(broken, None).status(), 400, "{broken}");
    }
    assert_eq!(refused("", Some("application/x-ndjson")), IntakeError::Empty);
}

#[test]
fn a_batch_is_bounded_in_events_and_deliveries() {
    let four = Value::from(vec![site(1); 4]).to_string();
    assert_eq!(refused(&four, None), IntakeError::TooManyEvents { max: 3 });
    let lines = format!("{}\n", site(1)).repeat(4);
    assert_eq!(refused(&lines, Some("application/x-ndjson")).status(), 413);
    let wide = catalog(60_000);
    let many = Value::from(vec![site(1); 17]).to_string();
    let error =
        read(&request(&many, None, None), &Models::builtin(), &wide, 100, NOW).expect_err("1,020,000 deliveries");
    assert_eq!(error, IntakeError::TooManyDeliveries { max: 1_000_000 });
    assert!(error.to_string().contains("deliveries"));
}

#[test]
fn keys_are_the_senders_id_or_the_header_and_belong_to_the_token() {
    let keys = |body: &str, key| -> Vec<String> {
        let events = read_with(&request(body, None, key), 10).expect("valid events");
        events.into_iter().filter_map(|e| e.idempotency).map(|i| i.key).collect()
    };
    let mut named = site(1);
    named["id"] = json!("mine");
    assert_eq!(keys(&site(1).to_string(), Some("k")), ["3/k"]);
    assert_eq!(keys(&named.to_string(), Some("k")), ["3/mine"]);
    assert_eq!(keys(&named.to_string(), None), ["3/mine"]);
    let batch = json!([site(1), named, site(2)]).to_string();
    assert_eq!(keys(&batch, Some("k")), ["3/k/0", "3/mine", "3/k/2"]);
    assert_eq!(keys(&batch, None), ["3/mine"]);
    for bad in ["", &"k".repeat(256)] {
        let error = read_with(&request(&batch, None, Some(bad)), 10).expect_err("a bad key");
        assert_eq!(error, IntakeError::Key(bad.len()));
    }
}

#[test]
fn the_hash_tells_bodies_apart_and_ignores_the_space_around_them() {
    let hash = |body: &str| {
        let events = read_with(&request(body, None, Some("k")), 10).expect("a valid event");
        events[0].idempotency.as_ref().map(|i| i.body)
    };
    let text = site(1).to_string();
    assert_eq!(hash(&text), hash(&format!("  {text}\n")));
    assert_ne!(hash(&text), hash(&site(2).to_string()));
}

#[test]
fn what_the_store_refuses_has_its_status() {
    let busy = AcceptError::Busy { reason: "full".to_owned(), retry_after: Duration::from_secs(7) };
    let conflict = AcceptError::Conflict { index: 1, key: "k".to_owned() };
    let of = |e: AcceptError| (Refused::from(e.clone()).status(), Refused::from(e).retry_after());
    assert_eq!(of(busy), (503, Some(Duration::from_secs(7))));
    assert_eq!(of(conflict), (409, None));
    assert_eq!(of(AcceptError::StalePlan), (503, Some(BUSY_RETRY)));
}
