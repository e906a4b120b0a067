//! Coalescing inside a ledger.

use super::{Entry, Ledger};
use crate::domain::coalesce;
use crate::domain::ids::DeliveryId;

/// A delivery folded into a newer one.
#[derive(Debug)]
pub struct Folded {
    pub older: Entry,
    pub survivor: Entry,
}

impl Ledger {
    /// Folds the key's last delivery into `newer` if neither was attempted: the newer one takes over its place.
    pub(super) fn fold(&mut self, newer: &Entry) -> Option<Folded> {
        let last = self.last_of_key(newer)?;
        let older = self.get(last).filter(|older| foldable(older, newer))?;
        let survivor = Entry {
            position: older.position,
            event_type: coalesce::fold(older.event_type, newer.event_type)?,
            folded_from: Some(older.folded_from.unwrap_or(older.id.event())),
            // It gets its row with the end of the older one.
            rowed: true,
            ..newer.clone()
        };
        let tail = self.deep.as_mut().and_then(|deep| deep.tail_mut(last));
        let older = match tail {
            Some(place) => std::mem::replace(place, survivor.clone()),
            None => {
                let older = self.remove(last)?;
                self.insert(survivor.clone());
                older
            }
        };
        Some(Folded { older, survivor })
    }

    /// In a deep ledger only the tail is known to hold the last of its key.
    fn last_of_key(&self, newer: &Entry) -> Option<DeliveryId> {
        if !self.active.contains(&newer.webhook) {
            return None;
        }
        match &self.deep {
            Some(deep) => deep.tail.iter().rev().find(|e| e.object_key == newer.object_key).map(|e| e.id),
            None => {
                let lane = self.lanes.get(&self.lane_key(newer))?;
                let of_object = |id: &&DeliveryId| self.entries[*id].object_key == newer.object_key;
                lane.queue.iter().rev().find(of_object).copied()
            }
        }
    }
}

/// What a person asked for (a retry, a resend behind its id's place) stays as it is.
fn foldable(older: &Entry, newer: &Entry) -> bool {
    older.webhook == newer.webhook
        && older.attempts == 0
        && !older.in_flight
        && !older.manual
        && older.position <= older.id
}
