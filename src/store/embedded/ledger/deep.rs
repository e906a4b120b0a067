//! The part of a ledger whose deliveries lie on disk.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::{Entry, LANE_MAX, Ledger, RETRIES_MAX, lane_key};
use crate::domain::ids::{DeliveryId, EndpointId, WebhookId};
use crate::domain::policy::Ordering;
use crate::domain::time::Timestamp;

/// Rows looked at in one load.
const SCAN_ROWS: usize = if cfg!(test) { 6 } else { 512 };
/// Lanes filled in one load.
const LANES_PER_LOAD: usize = 256;

/// What is known of the rows that are not resident.
#[derive(Debug, Default)]
pub struct Deep {
    /// Rows up to this position have been looked at.
    cursor: i64,
    /// No row lies above the cursor and below the tail.
    exhausted: bool,
    /// A row lies here, above the tail's first: it is looked at when the tail is empty up to it, else the cursor would
    /// pass what has no row yet.
    behind: Option<DeliveryId>,
    /// Accepted lately, without a row but for survivors of folding; sorted by position.
    pub(super) tail: VecDeque<Entry>,
    /// Not resident and still without a row: dropped once they have one.
    loose: HashMap<DeliveryId, Entry>,
    /// Lanes that ran dry while rows of their key lie on disk.
    pub(super) wanted: HashSet<u64>,
    /// Keys whose head is a retry that was put out of memory, with its due time.
    evicted: HashMap<u64, Timestamp>,
    evicted_by_due: BTreeSet<(Timestamp, u64)>,
    /// Deliveries that changed while a load was reading: what it read of them is stale.
    touched: Option<HashSet<DeliveryId>>,
}

/// What to read from disk. Read outside the lock; meanwhile changes are noted.
#[derive(Debug)]
pub struct LoadRequest {
    pub endpoint: EndpointId,
    pub ordering: Ordering,
    /// Rows above this position, at most `scan_rows`; 0: none.
    pub cursor: i64,
    pub scan_rows: usize,
    /// Lanes to read from their start, each at most [`LANE_MAX`] rows.
    pub lanes: Vec<u64>,
    /// Webhooks whose deliveries count.
    pub active: Arc<HashSet<WebhookId>>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Loaded {
    pub scanned: Vec<Entry>,
    /// The scan reached the last row.
    pub exhausted: bool,
    /// Per lane its rows in order, and whether more follow.
    pub lanes: Vec<(u64, Vec<Entry>, bool)>,
}

impl Deep {
    pub(super) fn unplaced(&self) -> impl Iterator<Item = &Entry> {
        self.tail.iter().chain(self.loose.values())
    }

    pub(super) fn find_unplaced(&self, id: DeliveryId) -> Option<&Entry> {
        self.loose.get(&id).or_else(|| self.tail.get(self.tail_place(id)?))
    }

    /// The tail is sorted by position, which is the id except where a folded delivery's place was taken.
    fn tail_place(&self, id: DeliveryId) -> Option<usize> {
        let at = self.tail.partition_point(|e| e.position < id);
        if self.tail.get(at).is_some_and(|e| e.id == id) {
            return Some(at);
        }
        // A survivor stands at the place of the older one, so before the place its id names.
        self.tail.iter().take(at).position(|e| e.position != e.id && e.id == id)
    }

    pub(super) fn next_evicted_due(&self) -> Option<Timestamp> {
        self.evicted_by_due.first().map(|(due, _)| *due)
    }

    pub(super) fn remove_unplaced(&mut self, id: DeliveryId) -> Option<Entry> {
        match self.loose.remove(&id) {
            Some(entry) => Some(entry),
            None => self.tail.remove(self.tail_place(id)?),
        }
    }

    /// Leaves a delivery to its row, or keeps it until it has one.
    pub(super) fn drop_resident(&mut self, entry: Entry) {
        if !entry.rowed {
            self.loose.insert(entry.id, entry);
        }
    }

    /// What stood behind which key is forgotten: everything is placed anew, rows first.
    pub(super) fn forget_keys(&mut self) {
        self.wanted.clear();
        self.evicted.clear();
        self.evicted_by_due.clear();
        self.tail.extend(self.loose.drain().map(|(_, entry)| entry));
        self.tail.make_contiguous().sort_by_key(|e| e.position);
    }

    /// A row lies above the cursor that was not there when the scan reached the end.
    pub(super) fn look_again(&mut self) {
        self.exhausted = false;
        self.behind = None;
    }

    pub(super) fn tail_mut(&mut self, id: DeliveryId) -> Option<&mut Entry> {
        let place = self.tail_place(id)?;
        self.tail.get_mut(place)
    }

    pub(super) fn spill(&mut self, id: DeliveryId, rows: &mut Vec<Entry>) {
        // Spilled oldest first, so it is nearly always the front.
        let entry = if self.tail.front().is_some_and(|e| e.id == id) {
            self.look_again();
            self.tail.pop_front()
        } else {
            let loose = self.loose.remove(&id);
            loose.or_else(|| {
                let entry = self.tail.remove(self.tail_place(id)?);
                self.look_again();
                entry
            })
        };
        rows.extend(entry.map(|e| Entry { rowed: true, ..e }));
    }

    fn evict(&mut self, key: u64, due: Timestamp) {
        if let Some(old) = self.evicted.insert(key, due) {
            self.evicted_by_due.remove(&(old, key));
        }
        self.evicted_by_due.insert((due, key));
    }

    fn recall(&mut self, key: u64) {
        if let Some(due) = self.evicted.remove(&key) {
            self.evicted_by_due.remove(&(due, key));
        }
    }
}

impl Ledger {
    /// Starts leaving what is younger than `first` to the disk.
    pub(super) fn go_deep(&mut self, first: DeliveryId) {
        self.deep = Some(Deep { cursor: first.0 - 1, exhausted: true, ..Deep::default() });
    }

    pub(super) fn deepen(&mut self, position: DeliveryId) -> &mut Deep {
        self.deep.get_or_insert_with(|| Deep { cursor: position.0, ..Deep::default() })
    }

    /// Looks again at all rows above `position`. Also how a restart begins, at -1.
    pub fn rewind(&mut self, position: DeliveryId) {
        let deep = self.deepen(position);
        deep.cursor = deep.cursor.min(position.0);
        deep.look_again();
    }

    /// A finished delivery was queued again at its old place; its row says so already.
    pub fn requeue(&mut self, entry: Entry, now: Timestamp) {
        self.unfinished += 1;
        self.touch(entry.id);
        let key = self.lane_key(&entry);
        let position = entry.position;
        let Some(deep) = &mut self.deep else { return self.insert(entry) };
        if position.0 > deep.cursor {
            // Its row is found when the scan gets there.
            return;
        }
        if deep.evicted.contains_key(&key) {
            // The lane is read again at once, in order.
            return deep.evict(key, now);
        }
        let Some(lane) = self.lanes.get(&key) else { return self.rewind(DeliveryId(position.0 - 1)) };
        let last = lane.queue.last().and_then(|id| self.entries.get(id)).map(|e| e.position);
        if !lane.more_on_disk || last.is_some_and(|last| position < last) {
            self.insert(entry);
        }
    }

    /// A retry that is not resident became due: its row says so already.
    pub fn hurry_evicted(&mut self, object_key: u64, id: DeliveryId, now: Timestamp) {
        self.touch(id);
        let key = match self.policy.ordering {
            Ordering::Object => object_key,
            Ordering::Endpoint => 0,
            Ordering::None => id.0 as u64,
        };
        if let Some(deep) = self.deep.as_mut().filter(|d| d.evicted.contains_key(&key)) {
            deep.evict(key, now);
        }
    }

    /// A row changed behind the ledger's back: what a running load read of it is stale.
    pub fn touch(&mut self, id: DeliveryId) {
        if let Some(touched) = self.deep.as_mut().and_then(|d| d.touched.as_mut()) {
            touched.insert(id);
        }
    }

    /// Deliveries stop being resident: those without a row wait in the tail, after all rows.
    pub(super) fn move_to_tail(&mut self, entries: Vec<Entry>) {
        let Some(deep) = &mut self.deep else { return };
        deep.tail.extend(entries.into_iter().filter(|e| !e.rowed));
        deep.tail.make_contiguous().sort_by_key(|e| e.position);
    }

    /// Whether a load would find heads that are wanted now.
    pub(super) fn wants_load(&self, now: Timestamp, limit: usize) -> bool {
        let Some(deep) = &self.deep else { return false };
        !deep.wanted.is_empty()
            || deep.next_evicted_due().is_some_and(|due| due <= now)
            || (!(deep.exhausted && deep.tail.is_empty()) && self.has_room(limit))
    }

    fn has_room(&self, limit: usize) -> bool {
        match self.policy.ordering {
            Ordering::Endpoint => self.lanes.get(&0).is_none_or(|lane| lane.queue.len() < limit.max(LANE_MAX / 4)),
            Ordering::Object | Ordering::None => self.fresh.len() < limit.max(LANE_MAX / 4),
        }
    }

    /// Begins a load, or `None` when one is running or nothing is wanted.
    pub fn begin_load(&mut self, now: Timestamp, limit: usize) -> Option<LoadRequest> {
        self.pull_tail(usize::MAX);
        if !self.wants_load(now, limit) {
            return None;
        }
        let room = self.has_room(limit);
        let (endpoint, ordering, active) = (self.endpoint, self.policy.ordering, self.active.clone());
        let deep = self.deep.as_mut()?;
        if deep.touched.is_some() {
            return None;
        }
        deep.touched = Some(HashSet::default());
        let due = deep.evicted_by_due.iter().take_while(|(due, _)| *due <= now).map(|(_, key)| *key);
        let lanes = deep.wanted.iter().copied().chain(due).take(LANES_PER_LOAD).collect();
        let scan_rows = if room && !deep.exhausted { SCAN_ROWS } else { 0 };
        Some(LoadRequest { endpoint, ordering, cursor: deep.cursor, scan_rows, lanes, active })
    }

    /// A load could not be carried out.
    pub fn abort_load(&mut self) {
        if let Some(deep) = &mut self.deep {
            deep.touched = None;
        }
    }

    /// Takes in what a load read.
    pub fn finish_load(&mut self, request: &LoadRequest, loaded: Loaded) {
        let Some(deep) = &mut self.deep else { return };
        let touched = deep.touched.take().unwrap_or_default();
        // A rewind or a new order while reading: what was read may be incomplete, the next load reads again.
        let scan_valid = deep.cursor == request.cursor && self.policy.ordering == request.ordering;
        if self.policy.ordering != request.ordering {
            return;
        }
        self.fill_lanes(loaded.lanes, &touched);
        if scan_valid && request.scan_rows > 0 {
            self.take_scanned(loaded.scanned, loaded.exhausted, &touched);
        }
        self.pull_tail(usize::MAX);
        self.evict_surplus();
        self.surface();
    }

    fn fill_lanes(&mut self, lanes: Vec<(u64, Vec<Entry>, bool)>, touched: &HashSet<DeliveryId>) {
        let mut read_upto = HashMap::default();
        let mut filled = Vec::with_capacity(lanes.len());
        for (key, mut rows, mut more) in lanes {
            let Some(deep) = &mut self.deep else { return };
            deep.recall(key);
            deep.wanted.remove(&key);
            if let Some(first) = deep.tail.front().map(|first| first.position) {
                // Behind the tail's first, the scan looks at rows when those before them have left the tail.
                let before = rows.partition_point(|row| row.position < first);
                more &= before == rows.len();
                rows.truncate(before);
            }
            let last = rows.last().map(|row| row.position);
            read_upto.insert(key, last.filter(|_| more));
            filled.push((key, more));
            for row in rows {
                if !touched.contains(&row.id) && self.get(row.id).is_none() {
                    self.insert(row);
                }
            }
        }
        self.adopt_loose(&read_upto);
        for (key, more) in filled {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.more_on_disk = more;
            // A row that was touched while we read is looked for again.
            if lane.queue.is_empty() && lane.in_flight.is_empty() {
                self.settle(key);
            }
        }
    }

    /// Deliveries of these keys that still have no row join those that have one: up to the last row that was read, or
    /// all. They may stand between rows, when those behind them got theirs because somebody asked for them.
    fn adopt_loose(&mut self, read_upto: &HashMap<u64, Option<DeliveryId>>) {
        let Some(deep) = &mut self.deep else { return };
        if deep.loose.is_empty() || read_upto.is_empty() {
            return;
        }
        let (policy, active) = (self.policy, self.active.clone());
        let wanted = |e: &Entry| match read_upto.get(&lane_key(policy, e)) {
            Some(upto) => upto.is_none_or(|last| e.position < last) && active.contains(&e.webhook),
            None => false,
        };
        let ours = deep.loose.extract_if(|_, e| wanted(e));
        let mut ours: Vec<Entry> = ours.map(|(_, entry)| entry).collect();
        ours.sort_by_key(|e| e.position);
        for entry in ours {
            self.insert(entry);
        }
    }

    fn take_scanned(&mut self, rows: Vec<Entry>, exhausted: bool, touched: &HashSet<DeliveryId>) {
        let (mut full, mut behind) = (false, None);
        let tail = self.deep.as_ref().and_then(|deep| deep.tail.front()).map(|first| first.position);
        self.oldest_row = None;
        for row in rows {
            if tail.is_some_and(|first| row.position >= first) {
                behind = Some(row.position);
                match self.get(row.id) {
                    // A survivor of folding, which has a row as well.
                    Some(_) => continue,
                    None => break,
                }
            }
            if self.policy.ordering == Ordering::Endpoint
                && self.lanes.get(&0).is_some_and(|lane| lane.queue.len() >= LANE_MAX)
            {
                full = true;
                break;
            }
            if let Some(deep) = &mut self.deep {
                deep.cursor = deep.cursor.max(row.position.0);
            }
            if !touched.contains(&row.id) && self.get(row.id).is_none() {
                self.place(row);
            }
        }
        if let Some(deep) = &mut self.deep {
            deep.exhausted = (exhausted || behind.is_some()) && !full;
            deep.behind = behind;
        }
    }

    /// A delivery that was on disk or in the tail, everything older looked at: resident, or left behind its key.
    fn place(&mut self, entry: Entry) {
        let key = self.lane_key(&entry);
        let Some(deep) = &mut self.deep else { return self.insert(entry) };
        if !self.active.contains(&entry.webhook) || deep.evicted.contains_key(&key) {
            return deep.drop_resident(entry);
        }
        let last = self.lanes.get(&key).and_then(|lane| lane.queue.last());
        let before_last = last.and_then(|id| self.entries.get(id)).is_some_and(|e| entry.position < e.position);
        match self.lanes.get_mut(&key) {
            Some(lane) if !before_last && (lane.more_on_disk || lane.queue.len() >= LANE_MAX) => {
                lane.more_on_disk = true;
                deep.drop_resident(entry);
            }
            _ => self.insert(entry),
        }
    }

    /// Takes from the tail what can be resident, once every row was looked at.
    pub(super) fn pull_tail(&mut self, bound: usize) {
        loop {
            let room = self.has_room(LANE_MAX) && self.entries.len() < bound;
            let Some(deep) = &mut self.deep else { return };
            if !deep.exhausted || !room {
                return;
            }
            let next = deep.tail.front().map(|first| first.position);
            if deep.behind.is_some_and(|row| next.is_none_or(|next| next > row)) {
                deep.look_again();
                return;
            }
            let Some(entry) = deep.tail.pop_front() else { return };
            deep.cursor = deep.cursor.max(entry.position.0);
            self.place(entry);
        }
    }

    /// Puts the retries that are due last out of memory, with their lanes.
    pub(super) fn evict_surplus(&mut self) {
        if self.policy.ordering == Ordering::Endpoint {
            return;
        }
        while self.retries.len() > RETRIES_MAX {
            let Some((due, id)) = self.retries.pop_last() else { return };
            let Some(entry) = self.entries.get(&id) else { continue };
            let (key, position) = (self.lane_key(entry), entry.position);
            let Some(lane) = self.lanes.remove(&key) else { continue };
            let gone: Vec<Entry> = lane.queue.iter().filter_map(|id| self.entries.remove(id)).collect();
            let deep = self.deepen(position);
            deep.evict(key, due);
            for entry in gone {
                deep.drop_resident(entry);
            }
        }
    }

    /// Everything is resident again: the disk need not be asked any more.
    fn surface(&mut self) {
        let Some(deep) = &self.deep else { return };
        let quiet = deep.exhausted
            && deep.tail.is_empty()
            && deep.loose.is_empty()
            && deep.wanted.is_empty()
            && deep.evicted.is_empty();
        if quiet && self.unfinished == self.entries.len() as u64 {
            self.deep = None;
            for lane in self.lanes.values_mut() {
                lane.more_on_disk = false;
            }
        }
    }
}
