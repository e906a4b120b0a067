//! A simple model of the store, and a world in which the queue meets it.

use std::collections::BTreeMap;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Pending,
    Retrying(Timestamp),
    InFlight,
    Finished,
    Canceled,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) key: u64,
    pub(super) state: State,
    pub(super) attempts: u32,
    pub(super) manual: bool,
}

/// What the store promises, in a hundred lines: one head per key, in order, decided at `start`.
#[derive(Default)]
pub(super) struct Model {
    pub(super) rows: BTreeMap<i64, Row>,
}

impl Model {
    pub(super) fn accept(&mut self, key: u64) {
        let id = self.rows.len() as i64 + 1;
        self.rows.insert(id, Row { key, state: State::Pending, attempts: 0, manual: false });
    }

    pub(super) fn unfinished(state: State) -> bool {
        matches!(state, State::Pending | State::Retrying(_) | State::InFlight)
    }

    /// Heads whether due or not; a key with a delivery in flight offers none.
    pub(super) fn heads(&self) -> Vec<(i64, Row)> {
        let in_flight = self.rows.values().filter(|r| r.state == State::InFlight);
        let busy: std::collections::BTreeSet<u64> = in_flight.map(|r| r.key).collect();
        let mut heads: BTreeMap<u64, (i64, Row)> = BTreeMap::new();
        for (id, row) in self.rows.iter().filter(|(_, r)| Self::unfinished(r.state)) {
            heads.entry(row.key).or_insert((*id, *row));
        }
        heads.into_values().filter(|(_, row)| !busy.contains(&row.key)).collect()
    }

    pub(super) fn head(id: i64, row: Row) -> Head {
        let retry_due = match row.state {
            State::Retrying(due) => Some(due),
            _ => None,
        };
        let id = DeliveryId(id);
        Head { id, key: row.key, position: id, attempts: row.attempts, retry_due, manual: row.manual }
    }

    pub(super) fn due(&self, now: Timestamp) -> Vec<Head> {
        let heads = self.heads().into_iter().map(|(id, row)| Self::head(id, row));
        heads.filter(|h| h.retry_due.is_none_or(|due| due <= now)).collect()
    }

    pub(super) fn ready(&self, now: Timestamp, limit: usize, held: &[DeliveryId]) -> Ready {
        let free: Vec<Head> = self.due(now).into_iter().filter(|h| !held.contains(&h.id)).collect();
        let mut firsts: Vec<Head> = free.iter().filter(|h| h.retry_due.is_none()).copied().collect();
        let mut retries: Vec<Head> = free.iter().filter(|h| h.retry_due.is_some()).copied().collect();
        firsts.sort_by_key(|h| h.position);
        retries.sort_by_key(|h| (h.retry_due, h.id));
        let (mut firsts, mut retries) = (firsts.into_iter(), retries.into_iter());
        let mut due = Vec::new();
        while due.len() < free.len() {
            due.extend(firsts.next());
            due.extend(retries.next());
        }
        let more = due.len() > limit;
        due.truncate(limit);
        let later = self.heads().into_iter().filter_map(|(_, row)| match row.state {
            State::Retrying(at) if at > now => Some(at),
            _ => None,
        });
        Ready { due, more, next_due: later.min() }
    }

    /// The oldest due head that a person asked for.
    pub(super) fn asked_for(&self, now: Timestamp) -> Option<Head> {
        self.due(now).into_iter().find(|head| head.manual)
    }

    pub(super) fn start(&mut self, ids: &[DeliveryId]) -> Vec<DeliveryId> {
        let mut gone = Vec::new();
        let heads = self.heads();
        for id in ids {
            if heads.iter().any(|(head, _)| *head == id.0) {
                self.rows.get_mut(&id.0).expect("a head is a row").state = State::InFlight;
            } else {
                gone.push(*id);
            }
        }
        gone
    }

    pub(super) fn record(&mut self, id: DeliveryId, retry_at: Option<Timestamp>, now: Timestamp) -> Option<Head> {
        let row = self.rows.get_mut(&id.0).expect("what was started is a row");
        assert_eq!(row.state, State::InFlight, "recorded once per start");
        row.state = retry_at.map_or(State::Finished, State::Retrying);
        row.attempts += 1;
        row.manual = false;
        let key = row.key;
        let head = self.heads().into_iter().find(|(_, row)| row.key == key);
        head.map(|(id, row)| Self::head(id, row)).filter(|h| h.retry_due.is_none_or(|due| due <= now))
    }
}

/// An operation that the store has not answered. A load looks when it is asked or when it is answered.
#[derive(Clone, Debug)]
pub(super) enum Outstanding {
    LoadAnswered(Ready),
    Load { limit: usize, held: Vec<DeliveryId> },
    Start(Vec<DeliveryId>),
    Record(DeliveryId, Option<Timestamp>),
}

pub(super) struct World {
    pub(super) queue: EndpointQueue,
    pub(super) store: Model,
    pub(super) now: Timestamp,
    pub(super) gate: Gate,
    pub(super) concurrency: usize,
    /// Every effect is carried out at once.
    pub(super) synchronous: bool,
    pub(super) store_down: bool,
    pub(super) wake_due: bool,
    pub(super) outstanding: Vec<Outstanding>,
    pub(super) running: Vec<DeliveryId>,
    /// What ended but could not be recorded.
    pub(super) kept: BTreeMap<DeliveryId, Option<Timestamp>>,
    pub(super) drained: bool,
    pub(super) draining: bool,
    pub(super) starts: Vec<Head>,
    pub(super) wait: Option<Timestamp>,
    pub(super) idle: bool,
}

impl World {
    pub(super) fn new(concurrency: usize, synchronous: bool) -> Self {
        Self {
            queue: EndpointQueue::new(concurrency),
            store: Model::default(),
            now: Timestamp::from_secs(1_000),
            gate: Gate::Open(usize::MAX),
            concurrency,
            synchronous,
            store_down: false,
            wake_due: false,
            outstanding: Vec::new(),
            running: Vec::new(),
            kept: BTreeMap::new(),
            drained: false,
            draining: false,
            starts: Vec::new(),
            wait: None,
            idle: false,
        }
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.queue.handle(input, self.now);
    }

    /// Runs the queue until it waits.
    pub(super) fn turn(&mut self) {
        self.idle = false;
        for _ in 0..10_000 {
            if let Gate::Broken { asked, .. } = &mut self.gate {
                *asked = self.store.asked_for(self.now).filter(|head| self.queue.could_start(head, self.now));
            }
            let effect = self.queue.next(self.now, self.gate);
            assert!(self.queue.due() <= self.queue.window_bound(), "the window stays within its bound");
            match effect {
                Effect::Load { limit, held } => {
                    assert!(limit > 0 && limit + self.queue.due() <= self.queue.window_bound());
                    let early = !self.synchronous && limit.is_multiple_of(2);
                    let load = Outstanding::Load { limit, held };
                    let asked = if early && !self.store_down { self.look(load) } else { load };
                    self.ask(asked);
                }
                Effect::Start(ids) => {
                    self.check_start(&ids);
                    self.ask(Outstanding::Start(ids));
                }
                Effect::Record(ids) => {
                    for id in ids {
                        if let Some(retry_at) = self.kept.remove(&id) {
                            self.ask(Outstanding::Record(id, retry_at));
                        }
                    }
                }
                Effect::Wait(until) => {
                    assert!(until.is_none_or(|t| t > self.now), "it never waits for the past");
                    self.wait = until;
                    return;
                }
                Effect::ReportIdle => {
                    assert!(self.running.is_empty() && self.outstanding.is_empty());
                    self.wait = None;
                    self.idle = true;
                    return;
                }
                Effect::Drained => {
                    assert!(self.draining && self.running.is_empty() && self.kept.is_empty());
                    self.drained = true;
                    return;
                }
            }
        }
        panic!("the queue spins");
    }

    pub(super) fn check_start(&self, ids: &[DeliveryId]) {
        assert!(!ids.is_empty() && !self.draining);
        assert!(self.kept.is_empty(), "nothing starts while an outcome is unrecorded");
        assert!(self.queue.in_flight() <= self.concurrency.max(1), "at most `concurrency` in flight");
        match self.gate {
            Gate::Open(n) => assert!(ids.len() <= n),
            Gate::Probe => assert_eq!(ids.len(), 1),
            Gate::Broken { asked, .. } => assert_eq!(ids, asked.map(|head| head.id).as_slice()),
            Gate::Closed { .. } | Gate::Stopped => panic!("started through a closed gate"),
        }
        let keys: Vec<u64> = self.queue.in_flight.iter().map(|(_, key)| *key).collect();
        let mut distinct = keys.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(keys.len(), distinct.len(), "never two of one key at once");
    }

    pub(super) fn ask(&mut self, asked: Outstanding) {
        self.outstanding.push(asked);
        if self.synchronous {
            self.answer(0);
        }
    }

    pub(super) fn look(&self, load: Outstanding) -> Outstanding {
        match load {
            Outstanding::Load { limit, held } => Outstanding::LoadAnswered(self.store.ready(self.now, limit, &held)),
            other => other,
        }
    }

    pub(super) fn answer(&mut self, index: usize) {
        if self.outstanding.is_empty() {
            return;
        }
        let asked = self.outstanding.remove(index % self.outstanding.len());
        if self.store_down {
            let failed = match asked {
                Outstanding::Load { .. } | Outstanding::LoadAnswered(_) => Asked::Load,
                Outstanding::Start(_) => Asked::Start,
                Outstanding::Record(id, retry_at) => {
                    self.kept.insert(id, retry_at);
                    Asked::Record(id)
                }
            };
            return self.handle(Input::StoreFailed(failed));
        }
        match self.look(asked) {
            Outstanding::LoadAnswered(ready) => self.handle(Input::Loaded(ready)),
            Outstanding::Start(ids) => {
                let heads: Vec<Head> = self.store.due(self.now);
                let gone = self.store.start(&ids);
                let granted: Vec<DeliveryId> = ids.into_iter().filter(|id| !gone.contains(id)).collect();
                self.starts.extend(heads.into_iter().filter(|h| granted.contains(&h.id)));
                self.running.extend(granted);
                if matches!(self.gate, Gate::Probe | Gate::Broken { .. }) {
                    self.gate = Gate::Open(usize::MAX);
                }
                self.handle(Input::Started { gone });
            }
            Outstanding::Record(id, retry_at) => {
                let successor = self.store.record(id, retry_at, self.now);
                self.handle(Input::Finished(Finished { id, successor, retry_at }));
            }
            Outstanding::Load { .. } => unreachable!("looked at above"),
        }
    }

    pub(super) fn finish(&mut self, index: usize, retry_in: Option<u64>) {
        if self.running.is_empty() {
            return;
        }
        let id = self.running.remove(index % self.running.len());
        let retry_at = retry_in.map(|ms| self.now + Duration::from_millis(ms));
        self.ask(Outstanding::Record(id, retry_at));
    }

    /// Capacity, an open gate and an answering store: then no due head may be left waiting.
    pub(super) fn check_work_conserving(&self) {
        let able = matches!(self.gate, Gate::Open(_)) && !self.draining && !self.store_down;
        if !able || !self.outstanding.is_empty() || self.wake_due || self.queue.blocked_by_store() {
            return;
        }
        if self.queue.in_flight() < self.concurrency {
            let due = self.store.due(self.now);
            assert!(due.is_empty(), "capacity is left and {} heads are due: {due:?}", due.len());
        }
        let in_flight_or_window = self.queue.in_flight() + self.queue.due() > 0;
        let next = self.store.ready(self.now, 1, &[]).next_due;
        if let (Some(next), false) = (next, in_flight_or_window) {
            assert!(self.wait.is_some_and(|t| t <= next), "a retry is due at {next} and nobody waits for it");
        }
    }

    pub(super) fn wake(&mut self, recall: bool) {
        self.wake_due = false;
        self.handle(if recall { Input::Recall } else { Input::Wake });
    }

    /// Lets everything end well and checks that nothing was forgotten.
    pub(super) fn settle(&mut self) {
        self.store_down = false;
        self.gate = Gate::Open(usize::MAX);
        if self.wake_due {
            self.wake(true);
        }
        for _ in 0..20_000 {
            self.turn();
            if self.idle || self.drained {
                break;
            }
            if !self.outstanding.is_empty() {
                self.answer(0);
            } else if !self.running.is_empty() {
                self.finish(0, None);
            } else {
                self.now = self.wait.expect("unfinished work is waited for");
            }
        }
        assert!(self.drained == self.draining, "a drain ends");
        if !self.draining {
            assert!(self.idle, "in the end it is idle");
            let left: Vec<_> = self.store.rows.iter().filter(|(_, r)| Model::unfinished(r.state)).collect();
            assert!(left.is_empty(), "forgotten: {left:?}");
        }
    }
}
