//! What memory knows of where deliveries lie, and how many. It is asked before the disk is: what was written meanwhile is
//! then found twice, and nothing is missed.

use std::collections::BTreeSet;

use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::store::embedded::conditions::Wanted;
use crate::store::embedded::shared::Shared;

/// Where deliveries lie.
pub struct At {
    /// Rising.
    pub endpoints: Vec<EndpointId>,
    /// Unfinished ones may lie elsewhere too.
    pub elsewhere: bool,
    /// Those whose places are not written yet; empty until it is looked for.
    pub waiting: Vec<i64>,
}

impl At {
    /// Everything at some endpoints.
    fn endpoints(endpoints: BTreeSet<EndpointId>, elsewhere: bool) -> Self {
        Self { endpoints: endpoints.into_iter().collect(), elsewhere, waiting: Vec::new() }
    }

    pub fn look(&mut self, shared: &Shared) {
        self.waiting = shared.places.waiting_at(&self.endpoints);
    }

    /// All that a filter wants, if it names endpoints or webhooks, or states that counters know.
    pub fn wanted(shared: &Shared, wanted: &Wanted<'_>) -> Option<Self> {
        let filter = wanted.filter;
        let states = filter.wanted_states().filter(|states| states.iter().all(|state| !state.unfinished()));
        if let Some(states) = states {
            let named = |e: EndpointId, w: WebhookId| {
                (filter.endpoints.is_empty() || filter.endpoints.contains(&e))
                    && (filter.webhooks.is_empty() || filter.webhooks.contains(&w))
            };
            let kept = endpoints_with(shared, |e, w, state| states.contains(&state) && named(e, w));
            return Some(Self::endpoints(kept, false));
        }
        if !filter.endpoints.is_empty() {
            return Some(Self::endpoints(filter.endpoints.iter().copied().collect(), false));
        }
        let (endpoints, elsewhere) = of_webhooks(shared, &filter.webhooks);
        (!filter.webhooks.is_empty()).then(|| Self::endpoints(endpoints, elsewhere))
    }

    /// All whose payload URL or webhook has the text that is looked for.
    pub fn named(shared: &Shared, wanted: &Wanted<'_>) -> Option<Self> {
        let text = wanted.text.as_ref()?;
        let (mut endpoints, elsewhere) = of_webhooks(shared, &text.webhooks);
        endpoints.extend(&text.endpoints);
        Some(Self::endpoints(endpoints, elsewhere))
    }
}

/// Endpoints at which deliveries of these webhooks lie; `true`: unfinished ones may lie elsewhere too.
fn of_webhooks(shared: &Shared, webhooks: &[WebhookId]) -> (BTreeSet<EndpointId>, bool) {
    let set = shared.definitions();
    let (mut endpoints, mut elsewhere) = (endpoints_with(shared, |_, webhook, _| webhooks.contains(&webhook)), false);
    for id in webhooks {
        let Ok(known) = set.webhooks.binary_search_by_key(id, |w| w.id) else {
            elsewhere = true;
            continue;
        };
        let webhook = &set.webhooks[known];
        // What waits follows a changed URL slice by slice.
        elsewhere |= webhook.moving;
        endpoints.insert(webhook.endpoint);
        let its = set.endpoints.iter().filter(|e| e.endpoint.url == *webhook.target.endpoint_key());
        endpoints.extend(its.map(|e| e.endpoint.id));
    }
    (endpoints, elsewhere)
}

/// Ended deliveries, tests among them.
pub fn ended(shared: &Shared, mut pick: impl FnMut(EndpointId, WebhookId, DeliveryState) -> bool) -> u64 {
    shared.counted(&mut pick) + shared.counted_tests(pick)
}

/// Endpoints at which such ended deliveries are kept, tests among them.
fn endpoints_with(
    shared: &Shared,
    pick: impl Fn(EndpointId, WebhookId, DeliveryState) -> bool,
) -> BTreeSet<EndpointId> {
    let mut found = BTreeSet::new();
    for counters in [&shared.counters, &shared.tests] {
        for (endpoint, of) in counters.lock().iter() {
            if of.iter().any(|((webhook, state), n)| *n > 0 && pick(*endpoint, *webhook, *state)) {
                found.insert(*endpoint);
            }
        }
    }
    found
}

/// Unfinished deliveries, and how many of them wait for a retry.
pub fn open(shared: &Shared) -> (u64, u64) {
    let (mut open, mut retrying) = (0, 0);
    for ledger in shared.all_ledgers() {
        let ledger = ledger.lock();
        open += ledger.unfinished;
        retrying += ledger.retrying;
    }
    (open, retrying)
}

/// Unfinished deliveries at an endpoint.
pub fn open_at(shared: &Shared, endpoint: EndpointId) -> u64 {
    let ledger = shared.ledgers.read().get(&endpoint).cloned();
    ledger.map_or(0, |ledger| ledger.lock().unfinished)
}
