//! What can be seen of a ledger: due heads, and figures.

use super::{Deep, Entry, Lane, Ledger};
use crate::domain::ids::DeliveryId;
use crate::domain::time::Timestamp;
use crate::store::{Head, Ready};

/// What holds up its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    pub id: DeliveryId,
    pub object_key: u64,
    pub behind: u64,
}

impl Ledger {
    /// Due heads, first attempts and retries alternating so that neither gets less than half.
    pub fn ready(&self, now: Timestamp, limit: usize, held: &[DeliveryId]) -> Ready {
        let free = |id: &DeliveryId| !held.contains(id);
        let mut fresh = self.fresh.iter().map(|(_, id)| *id).filter(free).peekable();
        let mut retries =
            self.retries.iter().take_while(|(due, _)| *due <= now).map(|(_, id)| *id).filter(free).peekable();
        let mut due = Vec::with_capacity(limit.min(64));
        while due.len() < limit {
            let before = due.len();
            due.extend(fresh.next().and_then(|id| self.as_head(id)));
            if due.len() < limit {
                due.extend(retries.next().and_then(|id| self.as_head(id)));
            }
            if due.len() == before {
                break;
            }
        }
        let more_here = fresh.peek().is_some() || retries.peek().is_some();
        let later = self.retries.range((now, DeliveryId(i64::MAX))..).next().map(|(due, _)| *due);
        let evicted = self.deep.as_ref().and_then(Deep::next_evicted_due).filter(|due| *due > now);
        let next_due = [later, evicted].into_iter().flatten().min();
        Ready { due, more: more_here || self.wants_load(now, limit), next_due }
    }

    pub(super) fn as_head(&self, id: DeliveryId) -> Option<Head> {
        let e = self.entries.get(&id)?;
        Some(Head {
            id,
            key: self.lane_key(e),
            position: e.position,
            attempts: e.counted,
            retry_due: e.due,
            manual: e.manual,
        })
    }

    pub fn resident(&self) -> usize {
        self.entries.len() + self.deep.as_ref().map_or(0, |d| d.tail.len())
    }

    /// A delivery that is in memory, on its way or not.
    pub fn get(&self, id: DeliveryId) -> Option<&Entry> {
        self.entries.get(&id).or_else(|| self.deep.as_ref()?.find_unplaced(id))
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().chain(self.deep.iter().flat_map(|d| d.unplaced()))
    }

    /// The resident delivery just before `id` in its key, if it is not the head.
    pub fn behind(&self, id: DeliveryId) -> Option<&Entry> {
        let entry = self.entries.get(&id)?;
        let lane = self.lanes.get(&self.lane_key(entry))?;
        let place = lane.queue.iter().position(|x| *x == id)?;
        let before =
            if place > 0 { Some(lane.queue[place - 1]) } else { lane.in_flight.first().copied().filter(|x| *x != id) };
        self.entries.get(&before?)
    }

    /// Deliveries without a body that can be sent at `now` or follow one that can, in the order of the queue.
    pub fn bodiless(&self, now: Timestamp, limit: usize) -> Vec<DeliveryId> {
        let lacking = |e: &&Entry| e.body.is_none() && !e.in_flight && e.folded_from.is_none();
        let due = |e: &&Entry| e.due.is_none_or(|due| due <= now);
        let mut places: Vec<_> =
            self.entries.values().filter(lacking).filter(due).map(|e| (e.position, e.id)).collect();
        if places.len() > limit {
            places.select_nth_unstable(limit);
            places.truncate(limit);
        }
        places.sort_unstable();
        places.into_iter().map(|(_, id)| id).collect()
    }

    /// First attempts among those in flight.
    pub fn fresh_in_flight(&self) -> u64 {
        if self.in_flight == 0 {
            return 0;
        }
        let running = self.lanes.values().flat_map(|lane| lane.in_flight.iter());
        running.filter(|id| self.entries.get(id).is_some_and(|e| e.due.is_none())).count() as u64
    }

    /// When the oldest delivery that can be seen from here was accepted.
    pub fn oldest(&self) -> Option<Timestamp> {
        let first = self.fresh.first().and_then(|(_, id)| self.entries.get(id)).map(|e| e.received);
        let waiting = self.retries.iter().take(64).filter_map(|(_, id)| self.entries.get(id)).map(|e| e.received);
        waiting.chain(first).chain(self.oldest_row).min()
    }

    /// When the earliest retry is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        let evicted = self.deep.as_ref().and_then(Deep::next_evicted_due);
        self.retries.first().map(|(due, _)| *due).into_iter().chain(evicted).min()
    }

    /// Heads that wait for their next attempt, or are in flight with others behind them: each with how many of
    /// its key are in memory behind it, those with most first.
    pub fn blocking(&self, limit: usize) -> Vec<Blocking> {
        let head = |lane: &Lane| {
            let id = lane.in_flight.first().or(lane.queue.first()).copied()?;
            let behind = (lane.in_flight.len() + lane.queue.len()).saturating_sub(1) as u64;
            let entry = self.entries.get(&id)?;
            let blocks = entry.due.is_some() || entry.in_flight && (behind > 0 || lane.more_on_disk);
            blocks.then_some(Blocking { id, object_key: entry.object_key, behind })
        };
        let mut heads: Vec<_> = self.lanes.values().filter_map(head).collect();
        heads.sort_unstable_by_key(|head| (std::cmp::Reverse(head.behind), head.id));
        heads.truncate(limit);
        heads
    }

    /// Whether a head could be started now.
    pub fn has_due(&self, now: Timestamp) -> bool {
        !self.fresh.is_empty() || self.retries.first().is_some_and(|(due, _)| *due <= now)
    }
}
