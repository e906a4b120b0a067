//! What every backend must do: random lives of a store beside a plain model of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::admin::{BulkState, NewAudit, WebhookWrite};
use super::archive::{Edge, LastDay, Page, Retention};
use super::*;
use crate::clock;
use crate::domain::attempt::{Attempt, Outcome, Timings};
use crate::domain::models::Models;
use crate::domain::payload_url::Target;
use crate::domain::webhook::{Source, Webhook, WebhookSpec};

mod blocked;
mod coalescing;
mod early_rows;
mod leftovers;
mod model;
pub mod pruning;
mod races;
pub mod searching;

pub use blocked::names_what_is_held_up;
pub use coalescing::folds_in_order;
pub use early_rows::early_rows;
pub use leftovers::leaves_nothing_behind;
use model::Model;
pub use races::records_while_people_order;

/// Opens the backend on what the last one left, closing that one first.
pub type Open<'a> = &'a dyn Fn() -> Arc<dyn Store>;

#[derive(Clone, Debug)]
pub enum Step {
    Accept {
        objects: Vec<u8>,
    },
    /// Start what is ready, at most `n`.
    Start {
        endpoint: bool,
        n: usize,
    },
    /// End the oldest request in flight.
    Finish {
        endpoint: bool,
        how: u8,
    },
    /// An actor gives back the oldest request in flight, unsent.
    Release {
        endpoint: bool,
    },
    Cancel {
        pick: usize,
    },
    Resend {
        pick: usize,
    },
    Retry {
        pick: usize,
    },
    Toggle {
        webhook: usize,
    },
    Ordering {
        endpoint: bool,
        ordering: u8,
    },
    Reopen,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::collection::vec(0u8..5, 1..6).prop_map(|objects| Step::Accept { objects }),
        6 => (any::<bool>(), 1usize..6).prop_map(|(endpoint, n)| Step::Start { endpoint, n }),
        8 => (any::<bool>(), 0u8..8).prop_map(|(endpoint, how)| Step::Finish { endpoint, how }),
        1 => any::<bool>().prop_map(|endpoint| Step::Release { endpoint }),
        2 => (0usize..200).prop_map(|pick| Step::Cancel { pick }),
        1 => (0usize..200).prop_map(|pick| Step::Resend { pick }),
        2 => (0usize..200).prop_map(|pick| Step::Retry { pick }),
        1 => (0usize..3).prop_map(|webhook| Step::Toggle { webhook }),
        1 => (any::<bool>(), 0u8..3).prop_map(|(endpoint, ordering)| Step::Ordering { endpoint, ordering }),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Runs the steps on a fresh store and compares after each.
pub fn live(open: Open<'_>, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut model = Model::begin(open()).await;
        for step in steps {
            if let Step::Reopen = step {
                model.reopen(open).await;
            } else {
                model.step(step).await;
            }
        }
        model.check_counts().await;
        model.drain().await;
        model.check_counts().await;
        model.check_rows().await;
    });
}

pub fn audit() -> NewAudit {
    NewAudit { actor: "test".into(), action: "test", target: String::new(), detail: Value::Null }
}

pub fn spec(name: &str, url: &str) -> WebhookSpec {
    serde_json::from_value(serde_json::json!({
        "name": name, "models": ["dcim.site"], "type_create": true, "type_update": true, "payload_url": url
    }))
    .expect("a webhook")
}

pub fn write(id: Option<WebhookId>, spec: WebhookSpec) -> WebhookWrite {
    let target = Target::parse(&spec.payload_url).expect("a URL");
    WebhookWrite { id, spec, target, based_on: None, source: Source::Api, orphaned: false }
}

pub fn event(object: u8, text: &str) -> Arc<Event> {
    let raw = format!(r#"{{"event": "updated", "model": "site", "data": {{"id": {object}, "name": "{text}"}}}}"#);
    Arc::new(Event::parse(Bytes::from(raw), &Models::builtin(), clock::now()).expect("an event"))
}

pub fn attempt(status: u16) -> Attempt {
    Attempt {
        outcome: Outcome::Answered { status, retry_after: None },
        started_at: clock::now(),
        timings: Timings { total: Duration::from_millis(3), ..Timings::default() },
        revision: 1,
        url: "http://a.example/".into(),
        remote_address: None,
        detail: None,
        response_headers: None,
        response_excerpt: b"ok".to_vec(),
        response_truncated: false,
    }
}

/// Bulk actions fix their selection, go in slices, and say what they did.
pub async fn retries_in_bulk(store: Arc<dyn Store>) {
    let model = Model::begin(store.clone()).await;
    let plan = vec![Planned { webhook: model.webhooks[0].id, endpoint: model.webhooks[0].endpoint }];
    let endpoint = plan[0].endpoint;
    for object in 0..5u8 {
        let events = vec![NewEvent::planned(event(object, "x"), plan.clone())];
        let batch = Batch { events, catalog_revision: store.revision() };
        let id = DeliveryId::new(store.accept(batch).await.expect("accepted")[0].seq, 0);
        store.start(endpoint, vec![id]).await.expect("started");
        let done = Recorded { id, attempt: attempt(404), next: Next::Failed, live: None };
        store.record(endpoint, done).await.expect("recorded");
    }
    let kind = BulkKind::Retry { skip_if_newer_delivered: false };
    let action = store.start_bulk(kind, Filter::default(), audit()).await.expect("started");
    assert_eq!(action.matched, 5);
    while store.advance_bulk().await.expect("advanced").is_some() {}
    let action = store.bulk_action(action.id).await.expect("read");
    assert_eq!((action.done, action.skipped, action.state), (5, 0, BulkState::Finished));
    assert_eq!(store.counts().by_state[&DeliveryState::Pending], 5);
}

/// Of a deleted webhook nothing stays: not what was accepted this moment, nor what was in flight when the process ended.
pub async fn forgets_the_deleted(open: Open<'_>) {
    let store = open();
    let model = Model::begin(store.clone()).await;
    let webhook = model.webhooks[2].clone();
    let plan = vec![Planned { webhook: webhook.id, endpoint: webhook.endpoint }];
    let batch = |object: u8| {
        let events = vec![NewEvent::planned(event(object, "x"), plan.clone())];
        Batch { events, catalog_revision: store.revision() }
    };
    let first = store.accept(batch(1)).await.expect("accepted")[0].seq;
    let id = DeliveryId::new(first, 0);
    store.start(webhook.endpoint, vec![id]).await.expect("started");
    // Both go into one transaction, most of the time.
    let young = store.accept(batch(2));
    let deleted = store.delete_webhook(webhook.id, audit());
    let accepted = young.await;
    deleted.await.expect("deleted");
    while store.advance_bulk().await.expect("advanced").is_some() {}
    if let Ok(accepted) = accepted {
        let row = store.delivery(DeliveryId::new(accepted[0].seq, 0)).await.expect("read").expect("a row");
        assert_eq!(row.state, DeliveryState::Canceled);
    }
    let store = open();
    while store.advance_bulk().await.expect("advanced").is_some() {}
    assert_eq!(store.delivery(id).await.expect("read").expect("a row").state, DeliveryState::Canceled);
    assert!(store.pending_endpoints().is_empty());
    assert!(matches!(store.retry(id).await, Err(StoreError::Conflict(_))), "there is nowhere to send it");
}

/// A changed payload URL takes the waiting deliveries along.
pub async fn moves(store: Arc<dyn Store>) {
    let mut model = Model::begin(store.clone()).await;
    model.accept(vec![1, 2, 1, 3]).await;
    let spec = WebhookSpec { payload_url: "http://c.example/".into(), ..(*model.webhooks[2].spec).clone() };
    let moved = store.write_webhook(write(Some(model.webhooks[2].id), spec), audit()).await.expect("written");
    assert!(moved.moving);
    while store.advance_bulk().await.expect("advanced").is_some() {}
    let (old, new) = (model.webhooks[2].endpoint, moved.endpoint);
    assert_eq!(store.endpoint_counts(old).pending, 0);
    assert_eq!(store.endpoint_counts(new).pending, 4);
    for known in model.known.values_mut().filter(|k| k.webhook == moved.id) {
        known.endpoint = new;
    }
    model.webhooks[2] = moved;
    model.drain().await;
    model.check_rows().await;
}

/// A payload URL that became a template takes each waiting delivery to the endpoint of its event's origin, as many as
/// there may be (3); the others to the template's own.
pub async fn moves_to_a_template(store: Arc<dyn Store>) {
    let model = Model::begin(store.clone()).await;
    let webhook = model.webhooks[2].clone();
    let plan = vec![Planned { webhook: webhook.id, endpoint: webhook.endpoint }];
    let names = ["a", "b", "a", "no host", "c", "d"];
    let events = names.iter().zip(0u8..).map(|(name, object)| NewEvent::planned(event(object, name), plan.clone()));
    let batch = Batch { events: events.collect(), catalog_revision: store.revision() };
    let accepted = store.accept(batch).await.expect("accepted");
    let url = "http://{{ data.name }}.example/{{ data.id }}";
    let spec = WebhookSpec { payload_url: url.into(), ..(*webhook.spec).clone() };
    let moved = store.write_webhook(write(Some(webhook.id), spec), audit()).await.expect("written");
    while store.advance_bulk().await.expect("advanced").is_some() {}
    let set = store.definitions();
    let origin = |endpoint| {
        let found = set.endpoints.iter().find(|e| e.endpoint.id == endpoint).expect("an endpoint");
        assert_eq!(&*found.endpoint.url, url);
        found.endpoint.origin.0.to_string()
    };
    let mut origins = Vec::new();
    for accepted in &accepted {
        let row = store.delivery(DeliveryId::new(accepted.seq, 0)).await.expect("read").expect("a row");
        assert_eq!(row.state, DeliveryState::Pending);
        origins.push(origin(row.endpoint));
    }
    let (a, b, c) = ("http://a.example", "http://b.example", "http://c.example");
    assert_eq!(origins, [a, b, a, "", c, ""]);
    assert!(!store.definitions().webhooks.iter().any(|w| w.id == moved.id && w.moving));
}

/// A repeated key is answered like the first; another body under it is refused; both survive a restart.
pub async fn knows_repeats(open: Open<'_>) {
    let store = open();
    Model::begin(store.clone()).await;
    let keyed = |text: &str, body: u128| NewEvent {
        idempotency: Some(Idempotency { key: "1/k".into(), body }),
        ..NewEvent::planned(event(1, text), Vec::new())
    };
    let batch = |events: Vec<NewEvent>, store: &Arc<dyn Store>| Batch { events, catalog_revision: store.revision() };
    let first = store.accept(batch(vec![keyed("x", 7), keyed("x", 7)], &store)).await.expect("accepted");
    assert_eq!((first[0].duplicate, first[1].duplicate, first[0].id), (false, true, first[1].id));
    let store = open();
    let again = store.accept(batch(vec![keyed("x", 7)], &store)).await.expect("accepted");
    assert_eq!((again[0].duplicate, again[0].id), (true, first[0].id));
    let other = store.accept(batch(vec![keyed("y", 8)], &store)).await;
    assert!(matches!(other, Err(AcceptError::Conflict { index: 0, .. })), "{other:?}");
}
