//! What people asked for one by one: it may be the probe of an open breaker at once.

use super::Ledger;
use crate::domain::ids::DeliveryId;
use crate::domain::time::Timestamp;
use crate::store::Head;

/// Deliveries remembered; who asks for more at once means all, which is what bulk actions are for.
const ASKED_MAX: usize = 64;

impl Ledger {
    /// A person asked for this one.
    pub fn ask_for(&mut self, id: DeliveryId) {
        self.asked.retain(|known| *known != id);
        if self.asked.len() >= ASKED_MAX {
            self.asked.remove(0);
        }
        self.asked.push(id);
    }

    /// The oldest of them that could be started now.
    pub fn asked_for(&mut self, now: Timestamp) -> Option<Head> {
        if self.asked.is_empty() {
            return None;
        }
        let mut asked = std::mem::take(&mut self.asked);
        // One that is not resident may become so.
        asked.retain(|id| self.entries.get(id).is_none_or(|e| e.manual));
        let is_due_head = |id: &&DeliveryId| {
            let entry = self.entries.get(id).filter(|e| e.due.is_none_or(|due| due <= now));
            entry.is_some_and(|e| self.head(self.lane_key(e)).is_some_and(|head| head.id == e.id))
        };
        let oldest = asked.iter().filter(is_due_head).filter_map(|id| self.as_head(*id)).min_by_key(|h| h.position);
        self.asked = asked;
        oldest
    }
}
