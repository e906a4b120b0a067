//! What dispatch threads record while people order: nothing may be counted twice, lost or stuck.

use std::sync::atomic::{AtomicBool, Ordering as Atomic};

use super::model::Model;
use super::*;

/// Requests end on threads of their own while their deliveries are canceled, retried and moved.
pub fn records_while_people_order(store: Arc<dyn Store>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut model = runtime.block_on(Model::begin(store.clone()));
    let webhook = model.webhooks[2].clone();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let endpoints: Vec<EndpointId> = store.definitions().endpoints.iter().map(|e| e.endpoint.id).collect();
        for endpoint in endpoints {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || deliver(store, endpoint, stop));
        }
        runtime.block_on(async {
            for round in 0..40u32 {
                let accepted = model.accepted((0..40).map(|n| n % 8).collect()).await;
                for (n, id) in accepted.iter().enumerate() {
                    // Whatever it is by then, the answer is right or a conflict.
                    match n % 5 {
                        0 => drop(store.cancel(*id).await),
                        1 => drop(store.retry(*id).await),
                        _ => {}
                    }
                }
                if round % 8 == 0 {
                    let there = if round % 16 == 0 { "http://a.example/" } else { "http://b.example/" };
                    let spec = WebhookSpec { payload_url: there.into(), ..(*webhook.spec).clone() };
                    let moved = store.write_webhook(write(Some(webhook.id), spec), audit()).await.expect("written");
                    model.webhooks[2] = moved;
                }
                while store.advance_bulk().await.expect("advanced").is_some() {}
            }
            settle(&store).await;
        });
        stop.store(true, Atomic::SeqCst);
    });
    runtime.block_on(recount(&store));
}

/// Starts and ends what one endpoint offers; one in seven fails for good.
fn deliver(store: &Arc<dyn Store>, endpoint: EndpointId, stop: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut count = 0u32;
    while !stop.load(Atomic::SeqCst) {
        runtime.block_on(async {
            let ready = store.ready(endpoint, clock::now(), 16, Vec::new()).await.expect("ready");
            let ids: Vec<DeliveryId> = ready.due.iter().map(|head| head.id).collect();
            for start in store.start(endpoint, ids).await.expect("started") {
                let Start::Granted(granted) = start else { continue };
                count += 1;
                let (status, next) = match count % 7 {
                    0 => (404, Next::Failed),
                    1 => (500, Next::Retry { at: clock::now(), counted: true }),
                    _ => (200, Next::Delivered),
                };
                let done = Recorded { id: granted.id, attempt: attempt(status), next, live: None };
                store.record(endpoint, done).await.expect("recorded");
            }
        });
    }
}

/// Waits until nothing is left to do.
async fn settle(store: &Arc<dyn Store>) {
    for _ in 0..20_000 {
        while store.advance_bulk().await.expect("advanced").is_some() {}
        if store.pending_endpoints().is_empty() && !store.definitions().webhooks.iter().any(|w| w.moving) {
            return;
        }
        store.flush().await.expect("flushed");
    }
    panic!("deliveries are stuck: {:?}", store.pending_endpoints());
}

/// Counters say what the rows say, over all and for each endpoint.
async fn recount(store: &Arc<dyn Store>) {
    store.flush().await.expect("flushed");
    let mut counted = std::collections::BTreeMap::<(EndpointId, DeliveryState), u64>::new();
    let mut edge = Edge::Start;
    loop {
        let page = Page { edge, limit: 1000 };
        let listed = store.deliveries(Filter::default(), page).await.expect("listed");
        for row in &listed.rows {
            *counted.entry((row.endpoint, row.state)).or_default() += 1;
        }
        match listed.next {
            Some(row) => edge = Edge::After(row),
            None => break,
        }
    }
    for stored in &store.definitions().endpoints {
        let id = stored.endpoint.id;
        let counts = store.endpoint_counts(id);
        let n = |state| counted.get(&(id, state)).copied().unwrap_or(0);
        assert_eq!((counts.pending, counts.retrying, counts.in_flight), (0, 0, 0), "endpoint {id}");
        assert_eq!(counts.delivered, n(DeliveryState::Delivered), "delivered at endpoint {id}");
        assert_eq!(counts.failed, n(DeliveryState::Failed), "failed at endpoint {id}");
    }
}
