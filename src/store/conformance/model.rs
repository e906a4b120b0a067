//! The model: every delivery and what should have become of it, compared with the store after each step.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::*;

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) endpoint: EndpointId,
    pub(super) webhook: WebhookId,
    pub(super) object: u8,
    /// Place in the order: the id, except for a resend.
    pub(super) position: DeliveryId,
    /// Canceled while in flight.
    pub(super) cancel: bool,
    pub(super) state: DeliveryState,
    pub(super) attempts: u32,
    /// A retry that is not due during the test.
    pub(super) later: bool,
    /// What it was before it was started.
    pub(super) before: DeliveryState,
}

/// The model: every delivery, in order.
pub(super) struct Model {
    pub(super) store: Arc<dyn Store>,
    pub(super) webhooks: Vec<Arc<Webhook>>,
    pub(super) enabled: [bool; 3],
    pub(super) known: BTreeMap<DeliveryId, Known>,
    pub(super) ordering: HashMap<EndpointId, Ordering>,
    pub(super) running: HashMap<EndpointId, Vec<DeliveryId>>,
    /// How often deliveries of a webhook ended.
    pub(super) ended: HashMap<WebhookId, LastDay>,
}

impl Model {
    /// Webhooks 0 and 1 share an endpoint, 2 has its own.
    pub(super) async fn begin(store: Arc<dyn Store>) -> Self {
        let mut webhooks = Vec::new();
        for (n, url) in ["http://a.example/", "http://a.example/", "http://b.example/"].iter().enumerate() {
            let written = store.write_webhook(write(None, spec(&format!("w{n}"), url)), audit()).await;
            webhooks.push(written.expect("written"));
        }
        let (known, ordering, running) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Self { store, webhooks, enabled: [true; 3], known, ordering, running, ended: HashMap::new() }
    }

    pub(super) fn endpoint(&self, second: bool) -> EndpointId {
        self.webhooks[if second { 2 } else { 0 }].endpoint
    }

    pub(super) async fn reopen(&mut self, open: Open<'_>) {
        self.store.flush().await.expect("flushed");
        // Nothing is in flight after a restart.
        let running: Vec<DeliveryId> = self.running.values_mut().flat_map(|ids| ids.drain(..)).collect();
        running.into_iter().for_each(|id| self.came_back(id));
        self.store = open();
        for (endpoint, ordering) in &self.ordering {
            self.store.set_ordering(*endpoint, OrderingPolicy { ordering: *ordering, coalesce: false });
        }
    }

    /// It is no longer in flight, and was not sent.
    fn came_back(&mut self, id: DeliveryId) {
        let known = self.known.get_mut(&id).expect("known");
        known.state = if known.cancel { DeliveryState::Canceled } else { known.before };
        known.cancel = false;
    }

    pub(super) async fn step(&mut self, step: Step) {
        match step {
            Step::Accept { objects } => self.accept(objects).await,
            Step::Start { endpoint, n } => drop(self.start(self.endpoint(endpoint), n).await),
            Step::Finish { endpoint, how } => self.finish(self.endpoint(endpoint), how).await,
            Step::Release { endpoint } => self.release(self.endpoint(endpoint)),
            Step::Resend { pick } => self.resend(pick).await,
            Step::Cancel { pick } => self.cancel(pick).await,
            Step::Retry { pick } => self.retry(pick).await,
            Step::Toggle { webhook } => self.toggle(webhook).await,
            Step::Ordering { endpoint, ordering } => {
                let ordering = [Ordering::Object, Ordering::Endpoint, Ordering::None][usize::from(ordering)];
                let endpoint = self.endpoint(endpoint);
                if self.running.get(&endpoint).is_none_or(Vec::is_empty) {
                    self.ordering.insert(endpoint, ordering);
                    self.store.set_ordering(endpoint, OrderingPolicy { ordering, coalesce: false });
                }
            }
            Step::Reopen => {}
        }
    }

    pub(super) async fn accept(&mut self, objects: Vec<u8>) {
        self.accepted(objects).await;
    }

    /// The ids of the new deliveries.
    pub(super) async fn accepted(&mut self, objects: Vec<u8>) -> Vec<DeliveryId> {
        let plan: Vec<Planned> = (0..3)
            .filter(|n| self.enabled[*n])
            .map(|n| Planned { webhook: self.webhooks[n].id, endpoint: self.webhooks[n].endpoint })
            .collect();
        let events: Vec<NewEvent> = objects.iter().map(|o| NewEvent::planned(event(*o, "x"), plan.clone())).collect();
        let batch = Batch { events, catalog_revision: self.store.revision() };
        let accepted = self.store.accept(batch).await.expect("accepted");
        let mut ids = Vec::new();
        for (accepted, object) in accepted.iter().zip(objects) {
            for (place, planned) in plan.iter().enumerate() {
                let id = DeliveryId::new(accepted.seq, place as u16);
                let known = Known {
                    endpoint: planned.endpoint,
                    webhook: planned.webhook,
                    object,
                    position: id,
                    cancel: false,
                    state: DeliveryState::Pending,
                    attempts: 0,
                    later: false,
                    before: DeliveryState::Pending,
                };
                self.known.insert(id, known);
                ids.push(id);
            }
        }
        ids
    }

    pub(super) fn lane(&self, id: DeliveryId, known: &Known) -> i64 {
        match self.ordering.get(&known.endpoint).copied().unwrap_or_default() {
            Ordering::Object => known.object.into(),
            Ordering::Endpoint => 0,
            Ordering::None => id.0,
        }
    }

    pub(super) fn active(&self, webhook: WebhookId) -> bool {
        self.webhooks.iter().position(|w| w.id == webhook).is_some_and(|n| self.enabled[n])
    }

    /// The heads the model would offer: the oldest unfinished of each key whose key is free.
    pub(super) fn heads(&self, endpoint: EndpointId) -> Vec<DeliveryId> {
        let mut first: BTreeMap<i64, (DeliveryId, bool)> = BTreeMap::new();
        let mut busy = std::collections::HashSet::new();
        let mut here: Vec<_> = self.known.iter().filter(|(_, k)| k.endpoint == endpoint).collect();
        here.sort_by_key(|(_, known)| known.position);
        for (id, known) in here {
            let lane = self.lane(*id, known);
            if known.state == DeliveryState::InFlight {
                busy.insert(lane);
            } else if known.state.unfinished() && self.active(known.webhook) {
                first.entry(lane).or_insert((*id, known.later));
            }
        }
        first.into_iter().filter(|(lane, (_, later))| !busy.contains(lane) && !later).map(|(_, (id, _))| id).collect()
    }

    pub(super) async fn start(&mut self, endpoint: EndpointId, n: usize) -> usize {
        let mut all = self.store.ready(endpoint, clock::now(), 100, Vec::new()).await.expect("ready");
        // A load brings a bounded part; asking again brings the rest.
        for _ in 0..200 {
            if !all.more {
                break;
            }
            all = self.store.ready(endpoint, clock::now(), 100, Vec::new()).await.expect("ready");
        }
        let mut offered: Vec<_> = all.due.iter().map(|h| h.id).collect();
        offered.sort();
        let mut expected = self.heads(endpoint);
        expected.sort();
        if expected.len() <= 3 {
            assert_eq!(offered, expected, "heads of endpoint {endpoint}");
        } else {
            assert!(offered.iter().all(|id| expected.contains(id)), "{offered:?} not all in {expected:?}");
            assert!(!offered.is_empty(), "heads wait, none is offered: {expected:?}");
        }
        let ids: Vec<_> = all.due.iter().take(n).map(|h| h.id).collect();
        for start in self.store.start(endpoint, ids.clone()).await.expect("started") {
            let Start::Granted(granted) = start else { panic!("a head was not granted") };
            let known = self.known.get_mut(&granted.id).expect("known");
            assert_eq!(granted.number, known.attempts + 1, "attempt numbers are consecutive");
            assert_eq!(granted.event.object_id.as_deref(), Some(known.object.to_string().as_str()));
            known.before = std::mem::replace(&mut known.state, DeliveryState::InFlight);
            self.running.entry(endpoint).or_default().push(granted.id);
        }
        ids.len()
    }

    pub(super) async fn finish(&mut self, endpoint: EndpointId, how: u8) {
        let Some(running) = self.running.get_mut(&endpoint).filter(|r| !r.is_empty()) else { return };
        let id = running.remove(0);
        let (next, state, later, status) = match how {
            0..=3 => (Next::Delivered, DeliveryState::Delivered, false, 200),
            4 => (Next::Failed, DeliveryState::Failed, false, 404),
            5 => (Next::Retry { at: clock::now(), counted: true }, DeliveryState::Retrying, false, 500),
            _ => {
                let at = clock::now() + Duration::from_secs(3_600 + u64::from(how));
                (Next::Retry { at, counted: true }, DeliveryState::Retrying, true, 500)
            }
        };
        let done = Recorded { id, attempt: attempt(status), next, live: None };
        let successor = self.store.record(endpoint, done).await.expect("recorded");
        let known = self.known.get_mut(&id).expect("known");
        let canceled = std::mem::take(&mut known.cancel) && state != DeliveryState::Delivered;
        (known.state, known.later) = if canceled { (DeliveryState::Canceled, false) } else { (state, later) };
        known.attempts += 1;
        let ended = self.ended.entry(known.webhook).or_default();
        ended.delivered += u64::from(known.state == DeliveryState::Delivered);
        ended.failed += u64::from(known.state == DeliveryState::Failed);
        if let Some(head) = successor
            && head.retry_due.is_none_or(|due| due <= clock::now())
        {
            assert!(self.heads(endpoint).contains(&head.id), "the successor {head:?} is a head");
        }
    }

    pub(super) fn pick(&self, pick: usize) -> Option<DeliveryId> {
        let n = self.known.len();
        (n > 0).then(|| *self.known.keys().nth(pick % n).expect("in range"))
    }

    pub(super) async fn cancel(&mut self, pick: usize) {
        let Some(id) = self.pick(pick) else { return };
        let state = self.known[&id].state;
        let result = self.store.cancel(id).await;
        if state == DeliveryState::InFlight {
            result.expect("nothing follows its attempt");
            self.known.get_mut(&id).expect("known").cancel = true;
        } else if state.unfinished() {
            result.expect("canceled");
            self.known.get_mut(&id).expect("known").state = DeliveryState::Canceled;
        } else {
            assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
        }
    }

    pub(super) fn release(&mut self, endpoint: EndpointId) {
        let Some(running) = self.running.get_mut(&endpoint).filter(|r| !r.is_empty()) else { return };
        let id = running.remove(0);
        self.store.release(endpoint, id);
        self.came_back(id);
    }

    pub(super) async fn resend(&mut self, pick: usize) {
        let Some(id) = self.pick(pick) else { return };
        let result = self.store.resend(id).await;
        let old = self.known[&id].clone();
        if old.state != DeliveryState::Delivered {
            assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
            return;
        }
        let (new, _, endpoint) = result.expect("resent");
        assert_eq!(endpoint, old.endpoint);
        let last = self.known.values().map(|k| k.position.event()).max().expect("there are some");
        let position = DeliveryId::new(EventSeq(last.0 + 1), 0);
        let (state, before) = (DeliveryState::Pending, DeliveryState::Pending);
        let known = Known { position, state, before, attempts: 0, later: false, cancel: false, ..old };
        self.known.insert(new, known);
    }

    pub(super) async fn retry(&mut self, pick: usize) {
        let Some(id) = self.pick(pick) else { return };
        let state = self.known[&id].state;
        let result = self.store.retry(id).await;
        match state {
            DeliveryState::Failed | DeliveryState::Canceled | DeliveryState::Retrying => {
                result.expect("queued again");
                let known = self.known.get_mut(&id).expect("known");
                known.later = false;
                if state != DeliveryState::Retrying {
                    known.state = DeliveryState::Pending;
                }
            }
            _ => assert!(matches!(result, Err(StoreError::Conflict(_))), "{state:?}: {result:?}"),
        }
    }

    pub(super) async fn toggle(&mut self, n: usize) {
        self.enabled[n] = !self.enabled[n];
        let spec = WebhookSpec { enabled: self.enabled[n], ..(*self.webhooks[n].spec).clone() };
        let written = self.store.write_webhook(write(Some(self.webhooks[n].id), spec), audit()).await;
        self.webhooks[n] = written.expect("written");
    }

    /// Everything that can be delivered is.
    pub(super) async fn drain(&mut self) {
        for endpoint in [self.endpoint(false), self.endpoint(true)] {
            for _ in 0..10_000 {
                while self.running.get(&endpoint).is_some_and(|r| !r.is_empty()) {
                    self.finish(endpoint, 0).await;
                }
                if self.start(endpoint, 3).await == 0 {
                    break;
                }
            }
            assert_eq!(self.heads(endpoint), [], "everything that was due is delivered");
        }
    }

    pub(super) async fn check_counts(&self) {
        self.store.flush().await.expect("flushed");
        let counts = self.store.counts();
        for state in DeliveryState::ALL {
            let expected = self.known.values().filter(|k| k.state == state).count() as u64;
            assert_eq!(counts.by_state.get(&state).copied().unwrap_or(0), expected, "count of {state:?}");
        }
        for webhook in &self.webhooks {
            let expected = self.ended.get(&webhook.id).copied().unwrap_or_default();
            assert_eq!(self.store.last_day(webhook.id), expected, "ended of webhook {}", webhook.id);
        }
    }

    pub(super) async fn check_rows(&self) {
        for (id, known) in &self.known {
            let row = self.store.delivery(*id).await.expect("read").expect("a row");
            assert_eq!((row.state, row.attempts), (known.state, known.attempts), "{id:?}");
            assert_eq!(self.store.attempts(*id).await.expect("read").len(), known.attempts as usize);
        }
        let page = Page::first(1000);
        let listed = self.store.deliveries(Filter::default(), page).await.expect("listed");
        assert_eq!(listed.rows.len(), self.known.len().min(1000));
    }
}
