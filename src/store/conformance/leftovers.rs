//! What pruned deliveries leave behind: old revisions, deleted webhooks, endpoints without either, bulk actions.

use super::model::Model;
use super::*;

/// `age`: what was replaced so far was so an hour ago, and what was accepted, an hour before.
pub async fn leaves_nothing_behind(store: Arc<dyn Store>, age: &dyn Fn()) {
    let model = Model::begin(store.clone()).await;
    let (changed, deleted) = (model.webhooks[0].clone(), model.webhooks[2].clone());
    let plan = vec![Planned { webhook: deleted.id, endpoint: deleted.endpoint }];
    let events = vec![NewEvent::planned(event(1, "x"), plan)];
    let batch = Batch { events, catalog_revision: store.revision() };
    let id = DeliveryId::new(store.accept(batch).await.expect("accepted")[0].seq, 0);
    let spec = WebhookSpec { description: "new".into(), ..(*changed.spec).clone() };
    let again = store.write_webhook(write(Some(changed.id), spec.clone()), audit()).await.expect("written");
    assert_eq!(again.revision, 2);
    let same = store.write_webhook(write(Some(changed.id), spec), audit()).await.expect("written");
    assert_eq!(same.revision, 2, "nothing changed");
    store.delete_webhook(deleted.id, audit()).await.expect("deleted");
    store.start_bulk(BulkKind::Cancel, Filter::default(), audit()).await.expect("started");
    while store.advance_bulk().await.expect("advanced").is_some() {}
    age();

    prune(&store, Timestamp(0)).await;
    assert!(store.delivery(id).await.expect("read").is_some());
    assert!(spec_of(&store, &deleted).await.is_some(), "its delivery is kept");
    assert!(spec_of(&store, &changed).await.is_some(), "an attempt may have been made from it");
    assert_eq!(store.definitions().endpoints.len(), 2);

    prune(&store, clock::now() + Duration::from_secs(60)).await;
    // What goes last is seen to be gone by the next round.
    prune(&store, clock::now() + Duration::from_secs(60)).await;
    assert!(store.delivery(id).await.expect("read").is_none());
    assert!(spec_of(&store, &deleted).await.is_none() && spec_of(&store, &changed).await.is_none());
    assert!(spec_of(&store, &again).await.is_some(), "it is in force");
    assert!(store.bulk_actions(Page::first(10)).await.expect("read").rows.is_empty());
    let left: Vec<EndpointId> = store.definitions().endpoints.iter().map(|e| e.endpoint.id).collect();
    assert_eq!(left, [changed.endpoint]);
    let made = store.write_webhook(write(None, super::spec("new", "http://b.example/")), audit()).await.expect("made");
    assert!(made.id > deleted.id && made.endpoint > deleted.endpoint, "ids are never given twice");
}

async fn spec_of(store: &Arc<dyn Store>, webhook: &Webhook) -> Option<WebhookSpec> {
    store.webhook_revision(webhook.id, webhook.revision).await.expect("read")
}

async fn prune(store: &Arc<dyn Store>, before: Timestamp) {
    let retention = Retention {
        delivered_before: before,
        failed_before: before,
        unmatched_before: before,
        max_history: u64::MAX,
        max_bytes: u64::MAX,
        batch: 100,
    };
    // The newest event always stays: it holds the place of the sequence.
    let events = vec![NewEvent::planned(event(2, "x"), Vec::new())];
    store.accept(Batch { events, catalog_revision: store.revision() }).await.expect("accepted");
    store.prune(retention).await.expect("pruned");
}
