//! Coalescing inside a ledger.

use super::{Entry, Ledger};
use crate::domain::coalesce;

/// A delivery folded into a newer one.
#[derive(Debug)]
pub struct Folded {
    pub older: Entry,
    pub survivor: Entry,
}

impl Ledger {
    /// Folds the key's last delivery into `newer` if neither was attempted; it gives up its place.
    pub(super) fn fold(&mut self, newer: &Entry) -> Option<Folded> {
        if !self.active.contains(&newer.webhook) {
            return None;
        }
        // In a deep ledger only the tail is known to hold the last of its key.
        let last = match self.deep.as_ref().map(|d| &d.tail) {
            Some(tail) => tail.iter().rev().find(|e| e.object_key == newer.object_key).map(|e| e.id),
            None => {
                let lane = self.lanes.get(&self.lane_key(newer))?;
                lane.queue.iter().rev().find(|id| self.entries[id].object_key == newer.object_key).copied()
            }
        }?;
        let older = self.get(last)?;
        let foldable = older.webhook == newer.webhook && older.attempts == 0 && !older.in_flight && !older.manual;
        let event_type = foldable.then(|| coalesce::fold(older.event_type, newer.event_type)).flatten()?;
        let older = self.remove(last)?;
        let survivor = Entry {
            position: older.position,
            event_type,
            folded_from: Some(older.folded_from.unwrap_or(older.id.event())),
            ..newer.clone()
        };
        Some(Folded { older, survivor })
    }
}
