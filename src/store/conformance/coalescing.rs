//! Coalescing: what is folded is never sent, what survives keeps the order, at any depth of backlog.

use std::collections::BTreeMap;

use super::model::Model;
use super::*;

/// Events of some objects, more than memory keeps; then everything is delivered.
pub async fn folds_in_order(open: Open<'_>, objects: Vec<u8>, reopen: bool) {
    let mut store = open();
    let model = Model::begin(store.clone()).await;
    let (webhook, endpoint) = (model.webhooks[2].id, model.webhooks[2].endpoint);
    let policy = OrderingPolicy { ordering: Ordering::Object, coalesce: true };
    store.set_ordering(endpoint, policy);
    let plan = vec![Planned { webhook, endpoint }];
    let mut newest: BTreeMap<u8, EventSeq> = BTreeMap::new();
    for (n, object) in objects.iter().enumerate() {
        let events = vec![NewEvent::planned(event(*object, &n.to_string()), plan.clone())];
        let batch = Batch { events, catalog_revision: store.revision() };
        newest.insert(*object, store.accept(batch).await.expect("accepted")[0].seq);
    }
    if reopen {
        store.flush().await.expect("flushed");
        store = open();
        store.set_ordering(endpoint, policy);
    }
    let mut last: BTreeMap<String, EventSeq> = BTreeMap::new();
    let mut delivered = 0;
    loop {
        let ready = store.ready(endpoint, clock::now(), 8, Vec::new()).await.expect("ready");
        if ready.due.is_empty() && !ready.more {
            break;
        }
        let ids = ready.due.iter().map(|head| head.id).collect();
        for start in store.start(endpoint, ids).await.expect("started") {
            let Start::Granted(granted) = start else { panic!("a head was not granted") };
            let object = granted.event.object_id.as_deref().unwrap_or_default().to_owned();
            let seq = granted.id.event();
            assert!(last.insert(object, seq).is_none_or(|before| before < seq), "{seq:?} comes late");
            let done = Recorded { id: granted.id, attempt: attempt(200), next: Next::Delivered, live: None };
            store.record(endpoint, done).await.expect("recorded");
            delivered += 1;
        }
    }
    let last: Vec<EventSeq> = last.into_values().collect();
    let mut expected: Vec<EventSeq> = newest.into_values().collect();
    let mut reached = last.clone();
    expected.sort();
    reached.sort();
    assert_eq!(reached, expected, "the newest event of each object arrived");
    store.flush().await.expect("flushed");
    let counts = store.counts().by_state;
    assert_eq!(counts[&DeliveryState::Delivered], delivered);
    assert_eq!(counts[&DeliveryState::Superseded] + delivered, objects.len() as u64);
    assert_eq!(counts[&DeliveryState::Pending], 0);
}
