//! The queue against a simple model of the store: random histories, and the promises it makes of each.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Pending,
    Retrying(Timestamp),
    InFlight,
    Finished,
    Canceled,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    key: u64,
    state: State,
    attempts: u32,
    manual: bool,
}

/// What the store promises, in a hundred lines: one head per key, in order, decided at `start`.
#[derive(Default)]
struct Model {
    rows: BTreeMap<i64, Row>,
}

impl Model {
    fn accept(&mut self, key: u64) {
        let id = self.rows.len() as i64 + 1;
        self.rows.insert(id, Row { key, state: State::Pending, attempts: 0, manual: false });
    }

    fn unfinished(state: State) -> bool {
        matches!(state, State::Pending | State::Retrying(_) | State::InFlight)
    }

    /// Heads whether due or not; a key with a delivery in flight offers none.
    fn heads(&self) -> Vec<(i64, Row)> {
        let in_flight = self.rows.values().filter(|r| r.state == State::InFlight);
        let busy: std::collections::BTreeSet<u64> = in_flight.map(|r| r.key).collect();
        let mut heads: BTreeMap<u64, (i64, Row)> = BTreeMap::new();
        for (id, row) in self.rows.iter().filter(|(_, r)| Self::unfinished(r.state)) {
            heads.entry(row.key).or_insert((*id, *row));
        }
        heads.into_values().filter(|(_, row)| !busy.contains(&row.key)).collect()
    }

    fn head(id: i64, row: Row) -> Head {
        let retry_due = match row.state {
            State::Retrying(due) => Some(due),
            _ => None,
        };
        let id = DeliveryId(id);
        Head { id, key: row.key, position: id, attempts: row.attempts, retry_due, manual: row.manual }
    }

    fn due(&self, now: Timestamp) -> Vec<Head> {
        let heads = self.heads().into_iter().map(|(id, row)| Self::head(id, row));
        heads.filter(|h| h.retry_due.is_none_or(|due| due <= now)).collect()
    }

    fn ready(&self, now: Timestamp, limit: usize, held: &[DeliveryId]) -> Ready {
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
    fn asked_for(&self, now: Timestamp) -> Option<Head> {
        self.due(now).into_iter().find(|head| head.manual)
    }

    fn start(&mut self, ids: &[DeliveryId]) -> Vec<DeliveryId> {
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

    fn record(&mut self, id: DeliveryId, retry_at: Option<Timestamp>, now: Timestamp) -> Option<Head> {
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
enum Outstanding {
    LoadAnswered(Ready),
    Load { limit: usize, held: Vec<DeliveryId> },
    Start(Vec<DeliveryId>),
    Record(DeliveryId, Option<Timestamp>),
}

struct World {
    queue: EndpointQueue,
    store: Model,
    now: Timestamp,
    gate: Gate,
    concurrency: usize,
    /// Every effect is carried out at once.
    synchronous: bool,
    store_down: bool,
    wake_due: bool,
    outstanding: Vec<Outstanding>,
    running: Vec<DeliveryId>,
    /// What ended but could not be recorded.
    kept: BTreeMap<DeliveryId, Option<Timestamp>>,
    drained: bool,
    draining: bool,
    starts: Vec<Head>,
    wait: Option<Timestamp>,
    idle: bool,
}

impl World {
    fn new(concurrency: usize, synchronous: bool) -> Self {
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

    fn handle(&mut self, input: Input) {
        self.queue.handle(input, self.now);
    }

    /// Runs the queue until it waits.
    fn turn(&mut self) {
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

    fn check_start(&self, ids: &[DeliveryId]) {
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

    fn ask(&mut self, asked: Outstanding) {
        self.outstanding.push(asked);
        if self.synchronous {
            self.answer(0);
        }
    }

    fn look(&self, load: Outstanding) -> Outstanding {
        match load {
            Outstanding::Load { limit, held } => Outstanding::LoadAnswered(self.store.ready(self.now, limit, &held)),
            other => other,
        }
    }

    fn answer(&mut self, index: usize) {
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

    fn finish(&mut self, index: usize, retry_in: Option<u64>) {
        if self.running.is_empty() {
            return;
        }
        let id = self.running.remove(index % self.running.len());
        let retry_at = retry_in.map(|ms| self.now + Duration::from_millis(ms));
        self.ask(Outstanding::Record(id, retry_at));
    }

    /// Capacity, an open gate and an answering store: then no due head may be left waiting.
    fn check_work_conserving(&self) {
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

    fn wake(&mut self, recall: bool) {
        self.wake_due = false;
        self.handle(if recall { Input::Recall } else { Input::Wake });
    }

    /// Lets everything end well and checks that nothing was forgotten.
    fn settle(&mut self) {
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

#[derive(Clone, Debug)]
enum Step {
    Accept { key: u64, wake: bool },
    Wake,
    Answer(usize),
    Finish { index: usize, retry_ms: Option<u64> },
    Pass(u64),
    Cancel(usize),
    ManualRetry(usize),
    Store { down: bool },
    Gate(u8),
    Concurrency(usize),
    Drain,
}

fn step(keys: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..keys, any::<bool>()).prop_map(|(key, wake)| Step::Accept { key, wake }),
        4 => Just(Step::Wake),
        12 => any::<usize>().prop_map(Step::Answer),
        12 => (any::<usize>(), prop::option::weighted(0.3, 1u64..5_000))
            .prop_map(|(index, retry_ms)| Step::Finish { index, retry_ms }),
        6 => (1u64..3_000).prop_map(Step::Pass),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::ManualRetry),
        2 => any::<bool>().prop_map(|down| Step::Store { down }),
        3 => (0u8..7).prop_map(Step::Gate),
        1 => (1usize..6).prop_map(Step::Concurrency),
    ]
}

fn apply(world: &mut World, step: Step) {
    match step {
        Step::Accept { key, wake } => {
            world.store.accept(key);
            world.wake_due = true;
            if wake {
                world.wake(false);
            }
        }
        Step::Wake => {
            if world.wake_due {
                world.wake(false);
            }
        }
        Step::Answer(index) => world.answer(index),
        Step::Finish { index, retry_ms } => world.finish(index, retry_ms),
        Step::Pass(ms) => {
            let now = world.now + Duration::from_millis(ms);
            // As a timer would: the queue is asked at each instant it waits for.
            while let Some(t) = world.wait.filter(|t| *t < now) {
                world.now = t;
                world.turn();
            }
            world.now = now;
        }
        Step::Cancel(n) => {
            let waiting = |r: &Row| matches!(r.state, State::Pending | State::Retrying(_));
            let ids: Vec<i64> = world.store.rows.iter().filter(|(_, r)| waiting(r)).map(|(id, _)| *id).collect();
            if !ids.is_empty() {
                world.store.rows.get_mut(&ids[n % ids.len()]).expect("listed").state = State::Canceled;
                world.wake(true);
            }
        }
        Step::ManualRetry(n) => {
            let over = |r: &Row| matches!(r.state, State::Finished | State::Canceled | State::Retrying(_));
            let ids: Vec<i64> = world.store.rows.iter().filter(|(_, r)| over(r)).map(|(id, _)| *id).collect();
            if !ids.is_empty() {
                let row = world.store.rows.get_mut(&ids[n % ids.len()]).expect("listed");
                (row.state, row.attempts, row.manual) = (State::Pending, 0, true);
                world.wake(true);
            }
        }
        Step::Store { down } => world.store_down = down,
        Step::Gate(n) => {
            let until = Some(world.now + Duration::from_millis(500));
            world.gate = match n {
                0 => Gate::Closed { until },
                1 => Gate::Stopped,
                2 => Gate::Probe,
                3 => Gate::Broken { until, asked: None },
                4 => Gate::Open(1),
                _ => Gate::Open(usize::MAX),
            };
        }
        Step::Concurrency(n) => {
            // Lowered only when nothing is in flight, so that the check of the bound stays simple.
            if world.queue.in_flight() == 0 || n > world.concurrency {
                world.concurrency = n;
                world.queue.set_limits(n, false);
            }
        }
        Step::Drain => {
            world.draining = true;
            world.handle(Input::Drain);
        }
    }
    world.turn();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_its_promises_hold_and_nothing_is_forgotten(
        concurrency in 1usize..6,
        synchronous: bool,
        keys in prop_oneof![Just(1u64), Just(3), Just(200)],
        steps in prop::collection::vec(step(200), 1..250),
        drain: bool,
    ) {
        let mut world = World::new(concurrency, synchronous);
        world.turn();
        for step in steps {
            let step = match step {
                Step::Accept { key, wake } => Step::Accept { key: key % keys, wake },
                other => other,
            };
            apply(&mut world, step);
            world.check_work_conserving();
        }
        if drain {
            apply(&mut world, Step::Drain);
        }
        world.settle();
    }

    /// While nothing fails, one request in flight means intake order, over all keys, however wakes and loads fall.
    #[test]
    fn with_one_in_flight_first_attempts_leave_in_intake_order(
        keys in 1u64..150,
        steps in prop::collection::vec((0u64..1_000, any::<bool>(), 0u8..3), 1..300),
    ) {
        let mut world = World::new(1, true);
        world.turn();
        for (key, wake, accepts) in steps {
            for n in 0..accepts {
                world.store.accept((key + u64::from(n) * 7) % keys);
                world.wake_due = true;
            }
            if wake {
                world.wake(false);
                world.turn();
            }
            world.finish(0, None);
            world.turn();
        }
        world.settle();
        let order: Vec<DeliveryId> = world.starts.iter().map(|h| h.id).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(order, sorted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// While both kinds are due, neither gets less than half of the starts.
    #[test]
    fn retries_and_first_attempts_alternate(
        steps in prop::collection::vec((any::<bool>(), 1u64..400, 0u64..30), 50..140),
    ) {
        let mut world = World::new(1, true);
        for key in 0..150 {
            world.store.accept(key);
        }
        world.turn();
        let mut same_kind_in_a_row = 0;
        let mut last: Option<bool> = None;
        for (fails, retry_ms, pass_ms) in steps {
            world.finish(0, fails.then_some(retry_ms));
            apply(&mut world, Step::Pass(pass_ms));
            let due = world.store.due(world.now);
            let both = due.iter().any(|h| h.retry_due.is_some()) && due.iter().any(|h| h.retry_due.is_none());
            let Some(started) = world.starts.last() else { continue };
            let retry = started.retry_due.is_some();
            same_kind_in_a_row = if last == Some(retry) && both { same_kind_in_a_row + 1 } else { 0 };
            last = Some(retry);
            prop_assert!(same_kind_in_a_row <= 1, "one kind starved the other");
        }
    }
}

fn world_with(keys: impl IntoIterator<Item = u64>) -> World {
    let mut world = World::new(1, true);
    keys.into_iter().for_each(|key| world.store.accept(key));
    world.turn();
    world
}

#[test]
fn a_successor_does_not_overtake_what_was_accepted_before_it() {
    let mut world = world_with([1]);
    // Two more are committed, the wake has not arrived, and the first attempt ends.
    world.store.accept(2);
    world.store.accept(1);
    world.finish(0, None);
    world.turn();
    assert_eq!(world.starts.last().map(|h| h.id), Some(DeliveryId(2)));
}

#[test]
fn a_commit_during_a_load_is_not_overlooked() {
    let mut queue = EndpointQueue::new(1);
    let now = Timestamp::from_secs(1);
    assert!(matches!(queue.next(now, Gate::Open(1)), Effect::Load { .. }));
    queue.handle(Input::Wake, now);
    queue.handle(Input::Loaded(Ready::default()), now);
    assert!(matches!(queue.next(now, Gate::Open(1)), Effect::Load { .. }), "the wake causes another load");
    queue.handle(Input::Loaded(Ready::default()), now);
    assert_eq!(queue.next(now, Gate::Open(1)), Effect::ReportIdle);
}

#[test]
fn an_outcome_that_could_not_be_recorded_is_tried_again_and_nothing_starts_before() {
    let mut world = world_with([1, 2]);
    world.store_down = true;
    world.finish(0, None);
    world.turn();
    assert_eq!(world.starts.len(), 1);
    let retry = world.wait.expect("it tries again");
    assert!(retry.since(world.now) <= STORE_BACKOFF_MAX);
    world.store_down = false;
    world.now = retry;
    world.turn();
    assert_eq!(world.starts.len(), 2);
}

#[test]
fn the_probe_is_what_a_person_asked_for_else_the_head_with_the_fewest_attempts() {
    let mut world = World::new(4, true);
    for key in 0..3 {
        world.store.accept(key);
    }
    let row = |world: &mut World, id: i64, attempts, manual| {
        let row = world.store.rows.get_mut(&id).expect("accepted");
        (row.attempts, row.manual) = (attempts, manual);
    };
    for (id, attempts) in [(1, 5), (2, 2), (3, 3)] {
        row(&mut world, id, attempts, false);
    }
    world.gate = Gate::Probe;
    world.turn();
    assert_eq!(world.starts[0].id, DeliveryId(2));
    row(&mut world, 1, 5, true);
    world.gate = Gate::Broken { until: None, asked: None };
    world.wake(true);
    world.turn();
    assert_eq!(world.starts[1].id, DeliveryId(1));
}

#[test]
fn under_an_open_breaker_what_a_person_asked_for_starts_though_the_window_holds_others() {
    let mut world = world_with([]);
    world.gate = Gate::Broken { until: Some(world.now + Duration::from_secs(60)), asked: None };
    for key in 0..200 {
        world.store.accept(key);
    }
    world.wake(false);
    world.turn();
    assert_eq!(world.starts.len(), 0);
    let row = world.store.rows.get_mut(&150).expect("accepted");
    (row.attempts, row.manual) = (3, true);
    world.wake(false);
    world.turn();
    assert_eq!(world.starts.first().map(|h| h.id), Some(DeliveryId(150)));
}

#[test]
fn a_store_that_refuses_what_it_offers_does_not_make_it_spin() {
    let mut queue = EndpointQueue::new(1);
    let now = Timestamp::from_secs(1);
    let head = Model::head(1, Row { key: 1, state: State::Pending, attempts: 0, manual: false });
    let mut starts = 0;
    loop {
        match queue.next(now, Gate::Open(1)) {
            Effect::Load { .. } => {
                queue.handle(Input::Loaded(Ready { due: vec![head], more: false, next_due: None }), now);
            }
            Effect::Start(gone) => {
                starts += 1;
                queue.handle(Input::Started { gone }, now);
            }
            Effect::Wait(Some(_)) => break,
            other => panic!("{other:?}"),
        }
        assert!(starts < 100);
    }
}

#[test]
fn a_retry_behind_a_requeued_delivery_is_waited_for() {
    let mut world = world_with([1, 1]);
    world.finish(0, None);
    world.turn();
    world.finish(0, Some(9_000));
    world.turn();
    let due = world.wait.expect("the second waits for its retry");
    // A person asks for the first again; meanwhile the second is no head, and its due time is not told.
    apply(&mut world, Step::ManualRetry(0));
    world.finish(0, None);
    world.turn();
    assert_eq!(world.wait, Some(due));
}

#[test]
fn a_successor_that_is_not_due_yet_is_waited_for() {
    let mut world = world_with([1]);
    let due = world.now + Duration::from_secs(9);
    let row = Row { key: 1, state: State::Retrying(due), attempts: 1, manual: false };
    let successor = Some(Model::head(2, row));
    world.store.rows.insert(2, row);
    world.store.record(DeliveryId(1), None, world.now);
    world.handle(Input::Finished(Finished { id: DeliveryId(1), successor, retry_at: None }));
    world.turn();
    assert_eq!((world.starts.len(), world.wait), (1, Some(due)));
}
