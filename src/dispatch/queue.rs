//! What an endpoint starts next: the heart, with no I/O and no clock in it.
//!
//! The store keeps the order and offers *heads*, one per ordering key. The queue holds a bounded window of those that
//! are due and decides which start when. Everything it holds is a hint: what it has forgotten it loads again, and what
//! it starts the store may still refuse.
//!
//! Two lists keep retries and first attempts from starving each other: when both have work they alternate. First
//! attempts start in intake order, which holds only below the *horizon*, the position up to which the window is known
//! to hold every due first attempt; a successor beyond it waits for the next load, else it could overtake what was
//! accepted before it but not loaded yet.

mod exchange;
mod window;

use std::time::Duration;

pub use self::exchange::{Asked, Effect, Finished, Gate, Input};
use self::window::Window;
use crate::domain::ids::DeliveryId;
use crate::domain::time::Timestamp;
use crate::store::{Head, Ready};

/// Least number of heads held ready.
const MIN_WINDOW: usize = 64;
/// First wait after the store failed; doubles up to [`STORE_BACKOFF_MAX`].
const STORE_BACKOFF: Duration = Duration::from_millis(50);
const STORE_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A store that goes on offering what it then refuses must not keep us spinning: after so many refusals we wait.
const MAX_FRUITLESS: u32 = 8;

/// The window of one endpoint and what is in flight there.
#[derive(Debug)]
pub struct EndpointQueue {
    concurrency: usize,
    /// Strict order: one key, so that its successor is always next.
    single_key: bool,
    window: Window,
    /// Started and not recorded, with its key.
    in_flight: Vec<(DeliveryId, u64)>,
    /// Of those in flight: the store was asked to start them and has not answered.
    starting: Vec<DeliveryId>,
    /// Of those in flight: ended, but the store could not record it.
    unrecorded: Vec<DeliveryId>,
    /// The store may know due heads that are not here.
    stale: bool,
    /// It may know due retries that are not here.
    stale_retries: bool,
    /// Something ended since the last load: behind it there may be a retry whose due time is not known here.
    unsure: bool,
    /// When the earliest head that is not due yet will be.
    next_due: Option<Timestamp>,
    /// The load under way, with what finished since it was asked for: its answer may still name that.
    loading: Option<Vec<DeliveryId>>,
    recalled: bool,
    /// Failures of the store in a row.
    setbacks: u32,
    /// Starts in a row that were refused as a whole.
    fruitless: u32,
    /// Nothing is asked of the store before this.
    not_before: Option<Timestamp>,
    draining: bool,
}

impl EndpointQueue {
    /// Of an endpoint whose store may hold anything. `concurrency` is at least 1.
    pub fn new(concurrency: usize) -> Self {
        Self {
            concurrency: concurrency.max(1),
            single_key: false,
            window: Window::default(),
            in_flight: Vec::new(),
            starting: Vec::new(),
            unrecorded: Vec::new(),
            stale: true,
            stale_retries: false,
            unsure: false,
            next_due: None,
            loading: None,
            recalled: false,
            setbacks: 0,
            fruitless: 0,
            not_before: None,
            draining: false,
        }
    }

    /// Most heads held: the rest stays in the store.
    pub fn window_bound(&self) -> usize {
        MIN_WINDOW.max(2 * self.concurrency)
    }

    /// Takes effect with the next start; what is in flight beyond it ends as it may.
    pub fn set_limits(&mut self, concurrency: usize, single_key: bool) {
        self.concurrency = concurrency.max(1);
        self.single_key = single_key;
        self.shrink_to(self.window_bound());
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Due heads held here that are not in flight.
    pub fn due(&self) -> usize {
        self.window.len()
    }

    /// When the earliest head that is not due yet will be, as far as is known.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_due
    }

    /// Whether the store's failure is what keeps it from starting.
    pub fn blocked_by_store(&self) -> bool {
        self.setbacks > 0 || !self.unrecorded.is_empty()
    }

    /// How many starts the queue would use now if the gate were wide open.
    pub fn wanted(&self, now: Timestamp) -> usize {
        // It looks at the store first, and may want others then.
        if self.wants_load(Gate::Open(1)) && !self.must_wait(now) { 0 } else { self.free_starts(now) }
    }

    /// Whether this head, which the store offers beside the window, could be started now.
    pub fn could_start(&self, head: &Head, now: Timestamp) -> bool {
        self.may_start(now) && self.in_flight.len() < self.concurrency && !self.is_busy(head.key)
    }

    fn may_start(&self, now: Timestamp) -> bool {
        !(self.draining
            || !self.starting.is_empty()
            || !self.unrecorded.is_empty()
            || self.recalled
            || self.must_wait(now))
    }

    fn free_starts(&self, now: Timestamp) -> usize {
        if !self.may_start(now) {
            return 0;
        }
        let free = self.concurrency.saturating_sub(self.in_flight.len());
        self.startable().take(free).count()
    }

    fn startable(&self) -> impl Iterator<Item = &Head> {
        self.window.heads().filter(|head| !self.is_busy(head.key))
    }

    /// Takes note of what happened; [`Self::next`] says what follows.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Wake => self.stale = true,
            Input::Recall => self.recall(),
            Input::Loaded(ready) => self.loaded(ready, now),
            Input::Started { gone } => self.started(&gone, now),
            Input::Finished(finished) => self.finished(finished, now),
            Input::StoreFailed(asked) => self.store_failed(asked, now),
            Input::Drain => {
                self.draining = true;
                self.forget_window();
            }
        }
    }

    /// What to do now. Call it again after each effect until one ends the turn.
    pub fn next(&mut self, now: Timestamp, gate: Gate) -> Effect {
        if self.not_before.is_some_and(|t| t <= now) {
            self.not_before = None;
            if !self.unrecorded.is_empty() {
                return Effect::Record(self.unrecorded.clone());
            }
        }
        if self.draining {
            return if self.in_flight.is_empty() { Effect::Drained } else { Effect::Wait(self.not_before) };
        }
        if self.next_due.is_some_and(|t| t <= now) {
            self.next_due = None;
            self.stale_retries = true;
        }
        if self.wants_load(gate) && !self.must_wait(now) {
            return self.load();
        }
        let starts = self.choose(now, gate);
        if !starts.is_empty() {
            self.starting.clone_from(&starts);
            return Effect::Start(starts);
        }
        if self.is_idle() { Effect::ReportIdle } else { Effect::Wait(self.wait_until(now, gate)) }
    }

    fn must_wait(&self, now: Timestamp) -> bool {
        self.not_before.is_some_and(|t| t > now)
    }

    fn is_busy(&self, key: u64) -> bool {
        self.in_flight.iter().any(|(_, k)| *k == key)
    }

    /// Idle is what needs neither window, store nor clock.
    fn is_idle(&self) -> bool {
        self.due() == 0
            && self.in_flight.is_empty()
            && self.loading.is_none()
            && !self.stale
            && !self.stale_retries
            && !self.unsure
            && self.next_due.is_none()
    }

    fn wants_load(&self, gate: Gate) -> bool {
        if self.loading.is_some() {
            return false;
        }
        let half_empty = self.due() <= self.window_bound() / 2;
        match gate {
            Gate::Stopped => false,
            _ if self.recalled => true,
            // Nothing starts soon: enough to know whom to start first.
            Gate::Closed { .. } | Gate::Broken { .. } => {
                self.due() == 0 && (self.stale || self.stale_retries || self.unsure)
            }
            Gate::Open(_) | Gate::Probe => {
                (self.stale && (half_empty || self.window.has_no_firsts()))
                    || (self.stale_retries && (half_empty || self.window.has_no_retries()))
                    || (self.unsure && self.due() == 0 && self.in_flight.len() < self.concurrency)
            }
        }
    }

    fn load(&mut self) -> Effect {
        if self.recalled {
            self.recalled = false;
            self.forget_window();
        }
        self.shrink_to(self.window_bound() / 2);
        self.stale = false;
        self.stale_retries = false;
        self.unsure = false;
        self.loading = Some(Vec::new());
        let held = self.window.heads().map(|head| head.id);
        let held = held.chain(self.in_flight.iter().map(|(id, _)| *id)).collect();
        Effect::Load { limit: self.window_bound() - self.due(), held }
    }

    fn loaded(&mut self, ready: Ready, now: Timestamp) {
        let finished_since = self.loading.take().unwrap_or_default();
        self.succeeded();
        self.next_due = earliest(self.next_due, ready.next_due);
        self.stale |= ready.more;
        if ready.more && ready.due.is_empty() {
            self.set_back(now);
        }
        for head in ready.due {
            if finished_since.contains(&head.id) {
                // It ended after the store looked; only a new look tells what it is now.
                self.stale = true;
                continue;
            }
            if head.retry_due.is_none() {
                self.window.reach(head.position);
            } else {
                self.stale_retries |= ready.more;
            }
            self.insert(head);
        }
    }

    fn insert(&mut self, head: Head) {
        if self.in_flight.iter().any(|(id, _)| *id == head.id) {
            return;
        }
        self.window.insert(head);
    }

    fn shrink_to(&mut self, bound: usize) {
        let lost = self.window.shrink_to(bound);
        self.stale |= lost.firsts;
        self.stale_retries |= lost.retries;
    }

    fn forget_window(&mut self) {
        self.window.clear();
        self.stale = true;
        self.stale_retries = true;
    }

    /// The window stays until the load, so that nothing is started from it meanwhile and nothing is lost either.
    fn recall(&mut self) {
        self.recalled = true;
        self.stale = true;
    }

    fn choose(&mut self, now: Timestamp, gate: Gate) -> Vec<DeliveryId> {
        if let Gate::Broken { asked: Some(head), .. } = gate {
            return if self.could_start(&head, now) { self.take(head) } else { Vec::new() };
        }
        let wanted = self.free_starts(now);
        match gate {
            _ if wanted == 0 => Vec::new(),
            Gate::Stopped | Gate::Closed { .. } | Gate::Broken { .. } => Vec::new(),
            Gate::Probe => self.take_probe(),
            Gate::Open(starts) => (0..wanted.min(starts)).map_while(|_| self.take_next()).collect(),
        }
    }

    fn take_next(&mut self) -> Option<DeliveryId> {
        let in_flight = &self.in_flight;
        let head = self.window.take_next(|head| !in_flight.iter().any(|(_, key)| *key == head.key))?;
        self.in_flight.push((head.id, head.key));
        Some(head.id)
    }

    /// What a person asked for, else the head with the fewest attempts: it is the least likely to be the trouble.
    fn take_probe(&mut self) -> Vec<DeliveryId> {
        let head = self.startable().min_by_key(|head| (!head.manual, head.attempts)).copied();
        head.map(|head| self.take(head)).unwrap_or_default()
    }

    fn take(&mut self, head: Head) -> Vec<DeliveryId> {
        self.window.forget(head.id);
        self.in_flight.push((head.id, head.key));
        vec![head.id]
    }

    fn started(&mut self, gone: &[DeliveryId], now: Timestamp) {
        let asked = std::mem::take(&mut self.starting).len();
        self.succeeded();
        if gone.len() < asked {
            self.fruitless = 0;
        }
        if gone.is_empty() {
            return;
        }
        self.in_flight.retain(|(id, _)| !gone.contains(id));
        self.note_finished(gone);
        self.recall();
        if gone.len() == asked {
            self.fruitless = self.fruitless.saturating_add(1);
            if self.fruitless > MAX_FRUITLESS {
                self.set_back(now);
            }
        }
    }

    fn finished(&mut self, finished: Finished, now: Timestamp) {
        self.in_flight.retain(|(id, _)| *id != finished.id);
        self.unrecorded.retain(|id| *id != finished.id);
        self.note_finished(&[finished.id]);
        self.unsure = true;
        self.next_due = earliest(self.next_due, finished.retry_at);
        let Some(head) = finished.successor.filter(|_| !self.draining) else { return };
        if let Some(due) = head.retry_due.filter(|due| *due > now) {
            self.next_due = earliest(self.next_due, Some(due));
            return;
        }
        let known = match head.retry_due {
            None => self.single_key || self.window.reaches(head.position),
            Some(_) => true,
        };
        if known {
            self.insert(head);
            self.shrink_to(self.window_bound());
        } else {
            self.stale = true;
        }
    }

    fn note_finished(&mut self, ids: &[DeliveryId]) {
        if let Some(since) = &mut self.loading {
            since.extend_from_slice(ids);
        }
    }

    fn store_failed(&mut self, asked: Asked, now: Timestamp) {
        match asked {
            Asked::Load => {
                self.loading = None;
                self.stale = true;
                self.stale_retries = true;
            }
            Asked::Start => {
                let asked = std::mem::take(&mut self.starting);
                self.in_flight.retain(|(id, _)| !asked.contains(id));
                self.note_finished(&asked);
                self.stale = true;
                self.stale_retries = true;
            }
            Asked::Record(id) => {
                if !self.unrecorded.contains(&id) {
                    self.unrecorded.push(id);
                }
            }
        }
        self.set_back(now);
    }

    fn set_back(&mut self, now: Timestamp) {
        let wait = crate::domain::backoff::doubled(STORE_BACKOFF, self.setbacks, STORE_BACKOFF_MAX);
        self.setbacks = self.setbacks.saturating_add(1);
        self.not_before = Some(now + wait);
    }

    fn succeeded(&mut self) {
        self.setbacks = 0;
        if self.unrecorded.is_empty() {
            self.not_before = None;
        }
    }

    fn wait_until(&self, now: Timestamp, gate: Gate) -> Option<Timestamp> {
        let next_due = match gate {
            Gate::Stopped => return self.not_before,
            // It would only be looked at when something can start.
            Gate::Closed { .. } | Gate::Broken { .. } if self.due() > 0 => None,
            _ => self.next_due,
        };
        let opens = match gate {
            Gate::Closed { until } | Gate::Broken { until, .. } if self.due() > 0 => until.filter(|t| *t > now),
            _ => None,
        };
        earliest(earliest(next_due, opens), self.not_before)
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;
