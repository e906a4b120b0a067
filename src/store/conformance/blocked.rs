//! What holds an endpoint up.

use std::sync::Arc;
use std::time::Duration;

use super::model::Model;
use super::{attempt, event};
use crate::clock;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::DeliveryId;
use crate::domain::policy::Ordering;
use crate::store::{Batch, NewEvent, Next, OrderingPolicy, Planned, Recorded, Store};

/// Heads that wait for another attempt, or are in flight, with all that is behind them; memory and disk.
pub async fn names_what_is_held_up(store: Arc<dyn Store>) {
    let model = Model::begin(store.clone()).await;
    let webhook = &model.webhooks[0];
    let plan = vec![Planned { webhook: webhook.id, endpoint: webhook.endpoint }];
    let endpoint = webhook.endpoint;
    let accept = |objects: &[u8]| {
        let events = objects.iter().map(|o| NewEvent::planned(event(*o, "x"), plan.clone())).collect();
        store.accept(Batch { events, catalog_revision: store.revision() })
    };
    let of = |object: usize, accepted: &[crate::store::Accepted]| DeliveryId::new(accepted[object].seq, 0);
    let first = accept(&[1, 2, 3, 1, 2, 1]).await.expect("accepted");
    assert_eq!(store.blocked(endpoint, 10).await.expect("read"), [], "all can be sent");

    let (later, running) = (of(0, &first), of(1, &first));
    store.start(endpoint, vec![later, running]).await.expect("started");
    let next = Next::Retry { at: clock::now() + Duration::from_secs(600), counted: true };
    store.record(endpoint, Recorded { id: later, attempt: attempt(503), next, live: None }).await.expect("recorded");
    let told = || async {
        let keys = store.blocked(endpoint, 10).await.expect("read");
        keys.into_iter().map(|key| (key.head.id, key.head.state, key.behind)).collect::<Vec<_>>()
    };
    let (retrying, in_flight) = (DeliveryState::Retrying, DeliveryState::InFlight);
    assert_eq!(told().await, [(later, retrying, 2), (running, in_flight, 1)]);
    assert_eq!(store.blocked(endpoint, 1).await.expect("read").len(), 1);

    // Many more than memory holds.
    for _ in 0..20 {
        accept(&[1, 1, 2]).await.expect("accepted");
    }
    assert_eq!(told().await, [(later, retrying, 42), (running, in_flight, 21)]);
    let done = Recorded { id: running, attempt: attempt(200), next: Next::Delivered, live: None };
    store.record(endpoint, done).await.expect("recorded");
    assert_eq!(told().await, [(later, retrying, 42)], "the next of the other object can be sent");

    store.set_ordering(endpoint, OrderingPolicy { ordering: Ordering::Endpoint, coalesce: false });
    store.ready(endpoint, clock::now(), 10, Vec::new()).await.expect("looked at anew");
    assert_eq!(told().await, [(later, retrying, 64)], "everything waits for it");
}
