//! What people order: cancel, retry now, another order or other webhooks.

use std::sync::Arc;

use foldhash::HashSet;

use super::{Entry, Ledger};
use crate::domain::ids::{DeliveryId, WebhookId};
use crate::domain::time::Timestamp;
use crate::store::OrderingPolicy;

impl Ledger {
    /// Cancels a resident delivery. `Ok(None)`: it is in flight and ends with its attempt.
    pub fn cancel(&mut self, id: DeliveryId) -> Option<Option<Entry>> {
        if let Some(entry) = self.entries.get_mut(&id).filter(|e| e.in_flight) {
            entry.cancel = true;
            return Some(None);
        }
        let entry = self.remove(id)?;
        self.unfinished -= 1;
        self.retrying -= u64::from(entry.due.is_some());
        Some(Some(entry))
    }

    /// Makes a resident retry due now. `manual`: a person asked for this very one.
    pub fn hurry(&mut self, id: DeliveryId, manual: bool, now: Timestamp) -> Option<Entry> {
        let entry = self.entries.get(&id).filter(|e| e.due.is_some() && !e.in_flight)?;
        let key = self.lane_key(entry);
        self.hide(key);
        let entry = self.entries.get_mut(&id)?;
        entry.due = Some(now);
        entry.manual = manual;
        let entry = entry.clone();
        self.expose(key);
        Some(entry)
    }

    /// Changes the order in force: lanes are made anew.
    pub fn set_policy(&mut self, policy: OrderingPolicy) {
        if self.policy == policy {
            return;
        }
        let relane = self.policy.ordering != policy.ordering;
        self.policy = policy;
        if relane {
            self.relane();
        }
    }

    /// Webhooks whose deliveries are sent from now on. Those of a returning webhook are looked for on disk.
    pub fn set_active(&mut self, active: Arc<HashSet<WebhookId>>, left: &HashSet<WebhookId>, returned: bool) {
        self.active = active;
        if !left.is_empty() && self.entries().any(|e| left.contains(&e.webhook)) {
            self.relane();
        }
        if returned && self.unfinished > self.entries.len() as u64 {
            self.deepen(DeliveryId(-1));
            self.relane();
        }
    }

    pub(super) fn relane(&mut self) {
        if let Some(deep) = &mut self.deep {
            deep.forget_keys();
        }
        self.lanes.clear();
        self.fresh.clear();
        self.retries.clear();
        let mut waiting: Vec<Entry> = Vec::with_capacity(self.entries.len());
        let entries = std::mem::take(&mut self.entries);
        for (id, entry) in entries {
            if entry.in_flight {
                // Two of one new key may be in flight for once: they were started under the old order.
                self.lanes.entry(self.lane_key(&entry)).or_default().in_flight.push(id);
                self.entries.insert(id, entry);
            } else {
                waiting.push(entry);
            }
        }
        waiting.sort_by_key(|e| e.position);
        if self.deep.is_some() {
            // Older ones of their keys may lie on disk: everything is found again from there, in order.
            self.rewind(DeliveryId(-1));
            self.move_to_tail(waiting);
        } else {
            waiting.into_iter().for_each(|entry| self.insert(entry));
        }
    }

    /// Waiting deliveries moved to another endpoint or are gone: they are no longer this ledger's.
    pub fn forget(&mut self, id: DeliveryId, retrying: bool) {
        self.touch(id);
        if self.get(id).is_some_and(|e| e.in_flight) {
            return;
        }
        let _ = self.remove(id);
        self.unfinished = self.unfinished.saturating_sub(1);
        self.retrying = self.retrying.saturating_sub(u64::from(retrying));
    }
}
