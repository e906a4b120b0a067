//! The unfinished deliveries of one endpoint: which one is next, in memory and without I/O.
//!
//! While little is waiting, every unfinished delivery is *resident* here. Beyond a bound, or after a restart, the ledger
//! is *deep*: the rest is rows on disk, and [`Deep`] remembers how far they were looked at. An unfinished delivery of
//! a deep ledger is one of:
//!
//! - resident;
//! - in `tail`: accepted lately, without a row yet, above the cursor and above every row that was looked at;
//! - a row above the cursor: not looked at yet;
//! - at or below the cursor behind an older one of its key, as a row or in `loose` until it has one; that key's lane is
//!   flagged `more_on_disk`, or the key is evicted;
//! - the head of an evicted key: a retry whose due time is kept here;
//! - a delivery of a webhook that steps aside.
//!
//! Rewinding the cursor is therefore always safe, and is how everything irregular is done (manual retry, an enabled
//! webhook, a changed order): rows are looked at again, residents are skipped.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry::Occupied;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use smallvec::SmallVec;

use super::body::Body;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::EventType;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, WebhookId};
use crate::domain::policy::Ordering;
use crate::domain::time::Timestamp;
use crate::store::{Head, Next, OrderingPolicy, StoreError};

mod asked;
mod deep;
mod fold;
mod orders;
mod view;

pub use deep::{Deep, LoadRequest, Loaded};
pub use fold::Folded;
pub use view::Blocking;

/// Deliveries kept resident before the rest stays on disk. (This and the bounds below are small under test, so that
/// every path is walked.)
pub const RESIDENT_MAX: usize = if cfg!(test) { 12 } else { 4_096 };
/// The same while very many are resident over all endpoints.
pub const RESIDENT_MAX_CROWDED: usize = 64;
/// Retries kept resident; those due last are found again by their due time.
pub const RETRIES_MAX: usize = if cfg!(test) { 5 } else { 8_192 };
/// Deliveries of one key kept behind its head when they come from disk.
pub const LANE_MAX: usize = if cfg!(test) { 4 } else { 256 };

/// One resident delivery.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: DeliveryId,
    /// Its place in the order; its id, except where it took a folded delivery's place.
    pub position: DeliveryId,
    pub webhook: WebhookId,
    /// Hash of the object; unique for an event without one.
    pub object_key: u64,
    pub event_type: EventType,
    pub received: Timestamp,
    /// Recorded attempts in all.
    pub attempts: u32,
    /// Those that counted since it was last queued.
    pub counted: u32,
    /// `Some`: retrying.
    pub due: Option<Timestamp>,
    pub first_attempt_at: Option<Timestamp>,
    pub folded_from: Option<EventSeq>,
    pub manual: bool,
    pub in_flight: bool,
    /// Cancelled while in flight: nothing follows the running attempt.
    pub cancel: bool,
    /// It has a row on disk, so a restart need not derive it from its event.
    pub rowed: bool,
    /// `None`: read from disk when it is sent.
    pub body: Option<Body>,
}

/// Deliveries of one ordering key, in order.
#[derive(Debug, Default)]
struct Lane {
    queue: SmallVec<[DeliveryId; 2]>,
    /// One, except just after the order in force changed.
    in_flight: SmallVec<[DeliveryId; 1]>,
    /// Rows of this key lie on disk behind those here.
    more_on_disk: bool,
}

/// What became of an attempt, for the row.
#[derive(Debug)]
pub struct Finished {
    pub entry: Entry,
    pub state: DeliveryState,
    /// Set for a delivery that stays unfinished.
    pub successor: Option<Head>,
}

/// What must keep its order among itself.
fn lane_key(policy: OrderingPolicy, entry: &Entry) -> u64 {
    match policy.ordering {
        Ordering::Object => entry.object_key,
        Ordering::Endpoint => 0,
        Ordering::None => entry.id.0 as u64,
    }
}

#[derive(Debug)]
pub struct Ledger {
    pub endpoint: EndpointId,
    policy: OrderingPolicy,
    entries: HashMap<DeliveryId, Entry>,
    lanes: HashMap<u64, Lane>,
    /// Heads never attempted since they were queued, by position.
    fresh: BTreeSet<(DeliveryId, DeliveryId)>,
    /// Heads that wait for or are past their due time.
    retries: BTreeSet<(Timestamp, DeliveryId)>,
    /// Webhooks whose deliveries are sent; those of others step aside: they are no heads and hold nobody.
    active: Arc<HashSet<WebhookId>>,
    deep: Option<Deep>,
    /// Those a person asked for.
    asked: Vec<DeliveryId>,
    /// When the oldest row was accepted that a restart found and nothing has looked at yet.
    pub oldest_row: Option<Timestamp>,
    /// Microseconds the endpoint has been paused in all: ages stand still meanwhile.
    pub paused_total_us: i64,
    /// Resident and on disk.
    pub unfinished: u64,
    pub retrying: u64,
    pub in_flight: u64,
    /// A reading thread fetches bodies for what is resident here.
    pub reading_ahead: bool,
}

impl Ledger {
    pub fn new(endpoint: EndpointId, active: Arc<HashSet<WebhookId>>) -> Self {
        Self {
            endpoint,
            policy: OrderingPolicy { ordering: Ordering::Object, coalesce: false },
            entries: HashMap::default(),
            lanes: HashMap::default(),
            fresh: BTreeSet::new(),
            retries: BTreeSet::new(),
            active,
            deep: None,
            asked: Vec::new(),
            oldest_row: None,
            paused_total_us: 0,
            unfinished: 0,
            retrying: 0,
            in_flight: 0,
            reading_ahead: false,
        }
    }

    pub fn policy(&self) -> OrderingPolicy {
        self.policy
    }

    /// Whether a part of it lies on disk only.
    pub fn is_deep(&self) -> bool {
        self.deep.is_some()
    }

    fn lane_key(&self, entry: &Entry) -> u64 {
        lane_key(self.policy, entry)
    }

    /// Takes a newly accepted delivery, the youngest of all. `bound`: resident deliveries allowed here.
    pub fn accept(&mut self, entry: Entry, bound: usize) -> Option<Folded> {
        let folded = if self.policy.coalesce { self.fold(&entry) } else { None };
        if folded.is_some() {
            return folded;
        }
        self.unfinished += 1;
        if self.deep.is_none() && self.entries.len() >= bound {
            self.go_deep(entry.position);
        }
        match &mut self.deep {
            Some(deep) => {
                deep.tail.push_back(entry);
                self.pull_tail(bound);
            }
            None => self.insert(entry),
        }
        None
    }

    /// Takes a delivery made beside intake, the youngest of all, which has its row already. It folds nothing.
    pub fn accept_at_end(&mut self, entry: Entry, bound: usize) {
        self.unfinished += 1;
        if self.deep.is_none() && self.entries.len() >= bound {
            self.go_deep(entry.position);
        }
        match &mut self.deep {
            // Its row is found when the scan gets there.
            Some(deep) => deep.look_again(),
            None => self.insert(entry),
        }
    }

    /// Makes a delivery resident at its place in its lane.
    fn insert(&mut self, entry: Entry) {
        if !self.active.contains(&entry.webhook) {
            self.deepen(entry.position).drop_resident(entry);
            return;
        }
        let key = self.lane_key(&entry);
        self.hide(key);
        let lane = self.lanes.entry(key).or_default();
        let (id, position) = (entry.id, entry.position);
        let place = lane
            .queue
            .iter()
            .rposition(|other| self.entries.get(other).is_some_and(|e| e.position < position))
            .map_or(0, |i| i + 1);
        lane.queue.insert(place, id);
        self.entries.insert(id, entry);
        self.expose(key);
    }

    /// Takes a delivery out of memory; it is not in flight.
    fn remove(&mut self, id: DeliveryId) -> Option<Entry> {
        if let Some(entry) = self.entries.get(&id) {
            let key = self.lane_key(entry);
            self.hide(key);
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.queue.retain(|x| *x != id);
            }
            let entry = self.entries.remove(&id);
            self.settle(key);
            return entry;
        }
        self.deep.as_mut()?.remove_unplaced(id)
    }

    /// Takes the lane's head off the lists of heads, before the lane changes.
    fn hide(&mut self, key: u64) {
        if let Some(entry) = self.head(key) {
            let (id, position, due) = (entry.id, entry.position, entry.due);
            match due {
                Some(due) => self.retries.remove(&(due, id)),
                None => self.fresh.remove(&(position, id)),
            };
        }
    }

    fn expose(&mut self, key: u64) {
        if let Some(entry) = self.head(key) {
            let (id, position, due) = (entry.id, entry.position, entry.due);
            match due {
                Some(due) => self.retries.insert((due, id)),
                None => self.fresh.insert((position, id)),
            };
        }
    }

    /// The lane's oldest delivery, unless one of the lane is in flight.
    fn head(&self, key: u64) -> Option<&Entry> {
        let lane = self.lanes.get(&key)?;
        if !lane.in_flight.is_empty() {
            return None;
        }
        self.entries.get(lane.queue.first()?)
    }

    /// Exposes the next head of a lane, asks for what is on disk, or forgets the lane.
    fn settle(&mut self, key: u64) {
        let Some(lane) = self.lanes.get(&key) else { return };
        if lane.in_flight.is_empty() && lane.queue.is_empty() {
            if !lane.more_on_disk {
                self.lanes.remove(&key);
            } else if let Some(deep) = &mut self.deep {
                deep.wanted.insert(key);
            }
            return;
        }
        self.expose(key);
    }

    /// Grants a head, or says that it must not be sent.
    pub fn start(&mut self, id: DeliveryId) -> Option<&Entry> {
        let key = self.lane_key(self.entries.get(&id)?);
        if self.head(key).map(|e| e.id) != Some(id) {
            return None;
        }
        self.hide(key);
        let lane = self.lanes.get_mut(&key)?;
        lane.queue.remove(0);
        lane.in_flight.push(id);
        self.in_flight += 1;
        let entry = self.entries.get_mut(&id)?;
        entry.in_flight = true;
        Some(entry)
    }

    /// Gives a started delivery back unsent. Returned is one that was canceled meanwhile: it has ended.
    pub fn release(&mut self, id: DeliveryId) -> Option<Entry> {
        let mut entry = match self.entries.entry(id) {
            Occupied(slot) if slot.get().in_flight => slot.remove(),
            _ => return None,
        };
        entry.in_flight = false;
        let key = self.lane_key(&entry);
        self.land(key, id);
        if entry.cancel {
            self.unfinished -= 1;
            self.retrying -= u64::from(entry.due.is_some());
            self.settle(key);
            return Some(entry);
        }
        self.insert(entry);
        self.settle(key);
        None
    }

    fn land(&mut self, key: u64, id: DeliveryId) {
        self.in_flight -= 1;
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.in_flight.retain(|x| *x != id);
        }
    }

    /// An attempt ended. `started_at` is on the clock that stands still while paused.
    ///
    /// # Errors
    /// `Conflict` when it was not in flight.
    pub fn finish(&mut self, id: DeliveryId, next: Next, started_at: Timestamp) -> Result<Finished, StoreError> {
        use DeliveryState as S;
        let not_running = || StoreError::Conflict(format!("delivery {} is not in flight", id.0));
        let mut entry = self.entries.remove(&id).ok_or_else(not_running)?;
        if !entry.in_flight {
            self.entries.insert(id, entry);
            return Err(not_running());
        }
        let key = self.lane_key(&entry);
        self.land(key, id);
        self.retrying -= u64::from(entry.due.is_some());
        entry.in_flight = false;
        entry.manual = false;
        entry.attempts += 1;
        entry.first_attempt_at.get_or_insert(started_at);
        let state = match next {
            Next::Delivered => S::Delivered,
            Next::Failed | Next::Retry { .. } if entry.cancel => S::Canceled,
            Next::Failed => S::Failed,
            Next::Retry { at, counted } => {
                entry.counted += u32::from(counted);
                entry.due = Some(at);
                S::Retrying
            }
        };
        if state == S::Retrying {
            self.retrying += 1;
            entry.rowed = true;
            self.insert(entry.clone());
            self.evict_surplus();
        } else {
            self.unfinished -= 1;
        }
        self.settle(key);
        let successor = self.head(key).map(|e| e.id).filter(|next| *next != id).and_then(|id| self.as_head(id));
        Ok(Finished { entry, state, successor })
    }

    /// Residents that a restart could not find: they get rows. Marks them.
    pub fn spill(&mut self, ids: impl Iterator<Item = DeliveryId>, rows: &mut Vec<Entry>) {
        for id in ids {
            if let Some(entry) = self.entries.get_mut(&id) {
                if !entry.rowed {
                    entry.rowed = true;
                    rows.push(entry.clone());
                }
            } else if let Some(deep) = &mut self.deep {
                deep.spill(id, rows);
            }
        }
    }

    pub fn attach(&mut self, id: DeliveryId, body: Body) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.body = Some(body);
        }
    }

    /// Whether heads that are wanted now lie on disk.
    pub fn needs_load(&mut self, now: Timestamp, limit: usize) -> bool {
        self.pull_tail(usize::MAX);
        self.wants_load(now, limit)
    }
}
