//! The queue against a simple model of the store: random histories, and the promises it makes of each.

mod world;

use proptest::prelude::*;

use super::*;
use world::{Model, Row, State, World};

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
