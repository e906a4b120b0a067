//! Retention: what may go goes, and nothing else does.

use super::super::archive::{Pruned, Retention};
use super::*;

/// Far beyond what a store needs to give young deliveries their rows.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nothing is over its time, nothing over a bound.
fn keep_all() -> Retention {
    Retention {
        delivered_before: Timestamp(0),
        failed_before: Timestamp(0),
        unmatched_before: Timestamp(0),
        max_history: u64::MAX,
        max_bytes: u64::MAX,
        batch: 100,
    }
}

fn soon() -> Timestamp {
    clock::now() + Duration::from_secs(60)
}

/// Delivered ones are over their time.
fn delivered_go() -> Retention {
    Retention { delivered_before: soon(), ..keep_all() }
}

/// Everything that is finished may go.
fn all_go() -> Retention {
    Retention { delivered_before: soon(), failed_before: soon(), unmatched_before: soon(), ..keep_all() }
}

struct Bed {
    store: Arc<dyn Store>,
    plan: Vec<Planned>,
}

impl Bed {
    async fn new(store: Arc<dyn Store>) -> Self {
        let model = Model::begin(store.clone()).await;
        let plan = model.webhooks.iter().map(|w| Planned { webhook: w.id, endpoint: w.endpoint }).collect();
        Self { store, plan }
    }

    /// One event to the first `fanout` webhooks.
    async fn accept(&self, object: u8, fanout: usize) -> Vec<DeliveryId> {
        let plan = self.plan[..fanout].to_vec();
        let events = vec![NewEvent::planned(event(object, "x"), plan)];
        let batch = Batch { events, catalog_revision: self.store.revision() };
        let seq = self.store.accept(batch).await.expect("accepted")[0].seq;
        (0..fanout as u16).map(|place| DeliveryId::new(seq, place)).collect()
    }

    async fn finish(&self, id: DeliveryId, next: Next) {
        let endpoint = self.plan[usize::from(id.place())].endpoint;
        let started = self.store.start(endpoint, vec![id]).await.expect("started");
        assert!(matches!(started[0], Start::Granted(_)), "{started:?}");
        let done = Recorded { id, attempt: attempt(if next == Next::Failed { 404 } else { 200 }), next, live: None };
        self.store.record(endpoint, done).await.expect("recorded");
        self.store.flush().await.expect("flushed");
    }

    /// Prunes until so many deliveries are gone; the store may first have to give young ones their rows.
    async fn prune(&self, retention: &Retention, deliveries: u64) -> Pruned {
        let until = clock::now() + PATIENCE;
        let mut sum = Pruned::default();
        while sum.deliveries < deliveries && clock::now() < until {
            let pruned = self.store.prune(retention.clone()).await.expect("pruned");
            (sum.events, sum.deliveries) = (sum.events + pruned.events, sum.deliveries + pruned.deliveries);
        }
        assert_eq!(sum.deliveries, deliveries, "{sum:?}");
        // Once more: it was all.
        let more = self.store.prune(retention.clone()).await.expect("pruned");
        assert_eq!((more.events, more.deliveries), (0, 0), "after {sum:?}");
        sum
    }

    async fn there(&self, ids: &[DeliveryId]) -> Vec<bool> {
        let mut there = Vec::new();
        for id in ids {
            there.push(self.store.delivery(*id).await.expect("read").is_some());
        }
        there
    }
}

/// Retention removes what is over its time, and only that.
pub async fn over_its_time(store: Arc<dyn Store>) {
    let bed = Bed::new(store).await;
    let mut ids = Vec::new();
    for object in 0..6 {
        ids.extend(bed.accept(object, 1).await);
    }
    for (n, id) in ids.iter().enumerate().take(4) {
        bed.finish(*id, if n == 1 { Next::Failed } else { Next::Delivered }).await;
    }
    let pruned = bed.prune(&delivered_go(), 3).await;
    assert_eq!(pruned.events, 3);
    assert_eq!(bed.there(&ids).await, [false, true, false, false, true, true]);
    let counts = bed.store.counts();
    assert_eq!((counts.events, counts.by_state[&DeliveryState::Delivered]), (3, 0));
    let ended = bed.store.last_day(bed.plan[0].webhook);
    assert_eq!(ended, LastDay { delivered: 3, failed: 1 }, "what ended stays counted");
}

/// A delivery without a row yet is as unfinished as one with.
pub async fn spares_the_young(open: Open<'_>) {
    let bed = Bed::new(open()).await;
    let ids = bed.accept(1, 3).await;
    // Not the newest: that one stays for its number.
    bed.accept(2, 1).await;
    bed.finish(ids[0], Next::Delivered).await;
    bed.store.prune(all_go()).await.expect("pruned");
    bed.store.prune(Retention { max_history: 0, ..keep_all() }).await.expect("pruned");
    assert_eq!(bed.there(&ids[1..]).await, [true, true]);
    assert!(bed.store.event(ids[0].event()).await.expect("read").is_some(), "its event is there");
    let bed = Bed { store: open(), plan: bed.plan };
    assert_eq!(bed.there(&ids[1..]).await, [true, true], "after a restart too");
    let endpoint = bed.plan[2].endpoint;
    bed.store.ready(endpoint, clock::now(), 10, Vec::new()).await.expect("ready");
    bed.finish(ids[2], Next::Delivered).await;
}

/// Above `max_history` the oldest delivered ones go, as many as needed; failed ones neither go nor count.
pub async fn down_to_the_bound(store: Arc<dyn Store>) {
    let bed = Bed::new(store).await;
    let mut ids = Vec::new();
    for object in 0..9 {
        ids.extend(bed.accept(object, 1).await);
    }
    for (n, id) in ids.iter().enumerate().take(8) {
        bed.finish(*id, if n % 2 == 0 { Next::Failed } else { Next::Delivered }).await;
    }
    bed.prune(&Retention { max_history: 4, ..keep_all() }, 0).await;
    bed.prune(&Retention { max_history: 2, ..keep_all() }, 2).await;
    assert_eq!(bed.there(&ids).await, [true, false, true, false, true, true, true, true, true]);
    let pruned = bed.store.prune(Retention { max_history: 2, ..keep_all() }).await.expect("pruned");
    assert_eq!((pruned.history, pruned.more), (2, false));
}

/// Much goes, some of which a store may not have indexed yet; what came last stays.
pub async fn much(store: Arc<dyn Store>) {
    let bed = Bed::new(store).await;
    for object in 0..40 {
        for id in bed.accept(object, 3).await {
            bed.finish(id, Next::Delivered).await;
        }
    }
    let last = bed.accept(1, 1).await;
    bed.prune(&delivered_go(), 120).await;
    assert_eq!(bed.there(&last).await, [true]);
}

/// One that failed does not keep its delivered siblings; what is left is whole: it can be resent under a new number.
pub async fn siblings_of_failed(store: Arc<dyn Store>) {
    let bed = Bed::new(store).await;
    let ids = bed.accept(1, 3).await;
    bed.accept(2, 1).await;
    for (n, id) in ids.iter().enumerate() {
        bed.finish(*id, if n == 0 { Next::Failed } else { Next::Delivered }).await;
    }
    let pruned = bed.prune(&delivered_go(), 2).await;
    assert_eq!(pruned.events, 0);
    assert_eq!(bed.there(&ids).await, [true, false, false]);
    bed.store.retry(ids[0]).await.expect("its event is there");
    bed.finish(ids[0], Next::Delivered).await;
    let (again, ..) = bed.store.resend(ids[0]).await.expect("resent");
    assert!(!ids.contains(&again), "the number of a pruned delivery is not given again");
}

/// The first of a chain of folded events is needed by the last.
pub async fn spares_the_folded(store: Arc<dyn Store>) {
    let bed = Bed::new(store).await;
    let endpoint = bed.plan[2].endpoint;
    bed.store.set_ordering(endpoint, OrderingPolicy { ordering: Ordering::Object, coalesce: true });
    let plan = vec![bed.plan[2]];
    let mut seqs = Vec::new();
    for text in ["first", "second", "third"] {
        let events = vec![NewEvent::planned(event(1, text), plan.clone())];
        let batch = Batch { events, catalog_revision: bed.store.revision() };
        seqs.push(bed.store.accept(batch).await.expect("accepted")[0].seq);
    }
    bed.accept(9, 1).await;
    // The two superseded ones go, the first one's event stays.
    let pruned = bed.prune(&all_go(), 2).await;
    assert_eq!(pruned.events, 1);
    let survivor = DeliveryId::new(seqs[2], 0);
    let started = bed.store.start(endpoint, vec![survivor]).await.expect("started");
    let Start::Granted(granted) = &started[0] else { panic!("{started:?}") };
    let first = granted.folded_from.as_ref().expect("it was folded");
    assert!(std::str::from_utf8(first.raw()).expect("text").contains("first"), "{first:?}");
    let done = Recorded { id: survivor, attempt: attempt(200), next: Next::Delivered, live: None };
    bed.store.record(endpoint, done).await.expect("recorded");
    bed.store.flush().await.expect("flushed");
    let pruned = bed.prune(&all_go(), 1).await;
    assert_eq!(pruned.events, 2, "with it the event it referred to");
}

/// Unmatched events go by their own time; what failed, and is kept longer, goes when its time comes.
pub async fn each_kind_in_its_time(store: Arc<dyn Store>) {
    let bed = Bed::new(store).await;
    let failed = bed.accept(1, 1).await[0];
    bed.finish(failed, Next::Failed).await;
    for object in 2..7 {
        bed.accept(object, 0).await;
    }
    let delivered = bed.accept(8, 1).await[0];
    bed.finish(delivered, Next::Delivered).await;
    bed.accept(9, 1).await;
    let pruned = bed.store.prune(Retention { unmatched_before: soon(), batch: 3, ..keep_all() }).await.expect("pruned");
    assert_eq!((pruned.events, pruned.more), (3, true), "in bounded batches");
    let pruned = bed.store.prune(Retention { unmatched_before: soon(), batch: 3, ..keep_all() }).await.expect("pruned");
    assert_eq!((pruned.events, pruned.more), (2, false));
    assert_eq!(bed.there(&[failed, delivered]).await, [true, true]);
    bed.prune(&delivered_go(), 1).await;
    assert_eq!(bed.there(&[failed, delivered]).await, [true, false]);
    bed.prune(&all_go(), 1).await;
    assert_eq!(bed.store.counts().events, 1, "the newest stays for its number");
}
