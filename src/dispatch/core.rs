//! One endpoint at work: the pure queue, the pace and the breaker, and the effects they ask for.
//!
//! It is shared by the actor and the attempts of its thread (`Rc<RefCell>`, one thread, never borrowed across an await):
//! an attempt that ends starts the next one at once, without a way through a mailbox.

mod gate;
mod outcome;
mod places;
mod start;
mod state;
mod watch;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::task::AbortHandle;

use super::arbiters::{Home, ThreadState};
use super::limits::Standing;
use super::messages::Idle;
use super::pace::Pace;
use super::queue::{Effect, EndpointQueue, Gate, Input};
use super::stats::Stats;
use super::{Inspection, Waiting};
use crate::clock;
use crate::config::policy::{Resolved, resolve};
use crate::domain::breaker::Breaker;
use crate::domain::change::EndpointActivity;
use crate::domain::endpoint::LiveState;
use crate::domain::ids::{DeliveryId, EndpointId};
use crate::domain::policy::{Ordering, Policy};
use crate::domain::time::Timestamp;
use crate::store::{OrderingPolicy, Recorded, StoredEndpoint};
use crate::telemetry::Throttle;

/// An endpoint without work keeps its actor this long.
const IDLE_BEFORE_RETIRING: Duration = Duration::from_secs(10);

use self::places::Seat;
pub use self::state::activity;
use self::state::ailing;

pub struct Core {
    pub id: EndpointId,
    home: Home,
    thread: Rc<ThreadState>,
    seat: Rc<Seat>,
    state: RefCell<State>,
    /// How the actor learns that this is broken.
    crashed: Box<dyn Fn()>,
}

struct State {
    stored: Arc<StoredEndpoint>,
    resolved: Resolved,
    policy: Rc<Policy>,
    enabled: bool,
    queue: EndpointQueue,
    pace: Pace,
    live: LiveState,
    live_written: LiveState,
    /// Shared with those who look on, and with the actor that comes after this one.
    stats: Arc<Mutex<Stats>>,
    rng: SmallRng,
    /// Outcomes the store could not take yet.
    unrecorded: HashMap<DeliveryId, Recorded>,
    timer: Option<(Timestamp, AbortHandle)>,
    idle_since: Option<Timestamp>,
    blocked_by: Option<Waiting>,
    /// What due heads wait for since when, as far as it is counted.
    throttled: Option<(Throttle, Timestamp)>,
    /// What those who look on know of it.
    told: Option<EndpointActivity>,
    /// Requests being made, oldest first, and since when.
    open: VecDeque<(DeliveryId, Timestamp)>,
    /// The last outcome was that nobody answers.
    trouble: bool,
    /// Somebody has answered.
    answered: bool,
    /// As the shared limits know it.
    standing: Standing,
    /// It waits for a place of a shared limit.
    in_line: bool,
    probing: Option<DeliveryId>,
    wakes_seen: u64,
    epoch: u64,
    draining: Option<Vec<tokio::sync::oneshot::Sender<()>>>,
    over: bool,
}

impl Core {
    pub fn new(home: Home, stored: Arc<StoredEndpoint>, crashed: Box<dyn Fn()>) -> Rc<Self> {
        let now = clock::now();
        let thread = ThreadState::here(&home.common);
        let id = stored.endpoint.id;
        let config = home.common.config();
        let resolved = resolve(&config, &stored.endpoint.url, &stored.endpoint.origin, &stored.policy_patch);
        let policy = Rc::new(resolved.policy.clone());
        let mut live = stored.live.clone();
        live.breaker = live.breaker.restored(now);
        // After a retirement nothing is spent; what a process or an actor before it spent nobody knows.
        let pace = match home.retired {
            true => Pace::full(policy.rate_limit, policy.burst),
            false => Pace::empty(policy.rate_limit, policy.burst, now),
        };
        let origin = stored.endpoint.origin.clone();
        let seat = Rc::new(Seat { endpoint: id, origin, thread: thread.clone(), router: home.router.clone() });
        seat.join(&policy, now);
        let state = State {
            queue: EndpointQueue::new(policy.concurrency as usize),
            pace,
            live_written: live.clone(),
            enabled: config.webhooks.enabled,
            stats: home.common.figures.of(id),
            rng: SmallRng::from_os_rng(),
            unrecorded: HashMap::new(),
            timer: None,
            idle_since: None,
            blocked_by: None,
            throttled: None,
            told: ailing(&live, now),
            open: VecDeque::new(),
            trouble: live.consecutive_failures > 0,
            answered: false,
            standing: Standing::Unproven,
            in_line: false,
            probing: None,
            wakes_seen: 0,
            epoch: u64::MAX,
            draining: None,
            over: false,
            live,
            stored,
            resolved,
            policy,
        };
        Rc::new(Self { id, home, thread, seat, state: RefCell::new(state), crashed })
    }

    /// The store may have new heads, or a person gave an order.
    pub fn woken(self: &Rc<Self>, wakes: u64) {
        self.run(|| {
            let now = clock::now();
            self.refresh(now);
            let mut state = self.state.borrow_mut();
            state.wakes_seen = wakes;
            state.idle_since = None;
            state.queue.handle(Input::Wake, now);
        });
    }

    /// Takes over control, policy and live state where they changed behind its back.
    fn refresh(&self, now: Timestamp) {
        let epoch = self.home.common.epoch.load(std::sync::atomic::Ordering::Acquire);
        let set = self.home.common.store.definitions();
        let found = set.endpoints.binary_search_by_key(&self.id, |e| e.endpoint.id).ok();
        let Some(stored) = found.map(|i| set.endpoints[i].clone()) else { return };
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let same = Arc::ptr_eq(&state.stored, &stored)
            || (state.stored.control == stored.control
                && state.stored.policy_patch == stored.policy_patch
                && state.live.resumed_at == stored.live.resumed_at);
        if same && state.epoch == epoch {
            return;
        }
        let config = self.home.common.config();
        state.epoch = epoch;
        state.enabled = config.webhooks.enabled;
        if state.live.resumed_at != stored.live.resumed_at {
            // A person resumed it: the breaker closes and a hold ends now.
            state.live.resumed_at = stored.live.resumed_at;
            state.live.breaker = Breaker::Closed;
            state.live.hold_until = None;
            state.live.consecutive_failures = 0;
        }
        state.live.paused_total_us = stored.live.paused_total_us;
        state.resolved = resolve(&config, &stored.endpoint.url, &stored.endpoint.origin, &stored.policy_patch);
        state.policy = Rc::new(state.resolved.policy.clone());
        state.stored = stored;
        let policy = &state.policy;
        self.home
            .common
            .store
            .set_ordering(self.id, OrderingPolicy { ordering: policy.ordering, coalesce: policy.coalesce });
        state.queue.set_limits(policy.concurrency as usize, policy.ordering == Ordering::Endpoint);
        state.pace.set(policy.rate_limit, policy.burst, now);
        self.seat.set_policy(policy, now);
        state.queue.handle(Input::Recall, now);
    }

    /// Does `work` and what follows from it. A fault of ours therein ends this core; its attempts go on, and tell the
    /// store themselves how they ended.
    fn run(self: &Rc<Self>, work: impl FnOnce()) {
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| {
            work();
            self.turn();
            self.watch();
        }));
        if done.is_err() {
            tracing::error!(endpoint.id = %self.id, "a fault of ours broke an endpoint, it is started anew");
            self.end();
            (self.crashed)();
        }
    }

    /// Carries out what the queue decides until it has nothing more to do now.
    fn turn(self: &Rc<Self>) {
        // Bounded, so that one endpoint cannot keep its thread for itself.
        for _ in 0..1_000 {
            if !self.step() {
                return;
            }
        }
        let mut state = self.state.borrow_mut();
        self.arm(&mut state, Some(clock::now()));
    }

    /// One effect; `false` ends the turn.
    fn step(self: &Rc<Self>) -> bool {
        let now = clock::now();
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        if state.over {
            return false;
        }
        let (gate, mut places) = self.gate(state, now);
        let effect = state.queue.next(now, gate);
        let used = if let Effect::Start(ids) = &effect { ids.len() } else { 0 };
        if let Some(places) = &mut places {
            places.keep(used);
        }
        match effect {
            Effect::Load { limit, held } => {
                drop(guard);
                self.load(now, limit, held);
                true
            }
            Effect::Start(ids) => {
                state.pace.take(used, now);
                self.thread.origins.borrow_mut().used(&self.seat.origin, used, now);
                if gate == Gate::Probe || matches!(gate, Gate::Broken { .. }) {
                    state.live.breaker = state.live.breaker.probing();
                    state.probing = ids.first().copied();
                }
                drop(guard);
                if let Some(places) = places {
                    self.start(ids, places);
                }
                true
            }
            Effect::Record(ids) => {
                let again: Vec<Recorded> = ids.iter().filter_map(|id| state.unrecorded.remove(id)).collect();
                drop(guard);
                again.into_iter().for_each(|done| self.record(done, None));
                true
            }
            Effect::Wait(until) => {
                let slow = self.slow_at(state);
                self.arm(state, until.into_iter().chain(slow).min());
                false
            }
            Effect::ReportIdle => {
                self.idle(state, now);
                false
            }
            Effect::Drained => {
                for waiting in state.draining.take().unwrap_or_default() {
                    let _ = waiting.send(());
                }
                false
            }
        }
    }

    /// One timer at most, for the earliest instant that matters.
    fn arm(self: &Rc<Self>, state: &mut State, until: Option<Timestamp>) {
        let Some(until) = until else { return };
        if let Some((armed, timer)) = &state.timer {
            if *armed <= until && !timer.is_finished() {
                return;
            }
            timer.abort();
        }
        let core = self.clone();
        let wait = until.since(clock::now());
        let task = actix_rt::spawn(async move {
            // Timers are kept to the millisecond; never early.
            tokio::time::sleep(wait).await;
            core.run(|| core.state.borrow_mut().timer = None);
        });
        state.timer = Some((until, task.abort_handle()));
    }

    /// Nothing to do: after a while it offers to retire, unless it must remember something.
    fn idle(self: &Rc<Self>, state: &mut State, now: Timestamp) {
        let since = *state.idle_since.get_or_insert(now);
        let held = state.live.hold_until.is_some_and(|until| until > now);
        let nothing_to_remember = state.pace.is_full(now) && state.live.breaker == Breaker::Closed && !held;
        if now.since(since) >= IDLE_BEFORE_RETIRING && nothing_to_remember {
            if state.live != state.live_written {
                self.home.common.store.save_live(self.id, state.live.clone());
                state.live_written = state.live.clone();
            }
            let _ = self.home.router.try_send(Idle { endpoint: self.id, wakes_seen: state.wakes_seen });
        }
        self.arm(state, Some(now + IDLE_BEFORE_RETIRING));
    }

    /// Starts nothing more; the answer comes when nothing is in flight.
    pub fn drain(self: &Rc<Self>) -> tokio::sync::oneshot::Receiver<()> {
        let (done, drained) = tokio::sync::oneshot::channel();
        self.run(|| {
            let mut state = self.state.borrow_mut();
            // One that is over has nothing to wait for: its answer is that nobody answers.
            if !state.over {
                state.draining.get_or_insert_default().push(done);
                state.queue.handle(Input::Drain, clock::now());
            }
        });
        drained
    }

    /// Nothing follows any more; whatever still ends is recorded all the same.
    pub fn end(&self) {
        let now = clock::now();
        let Ok(mut state) = self.state.try_borrow_mut() else { return };
        if std::mem::replace(&mut state.over, true) {
            return;
        }
        if let Some((_, timer)) = state.timer.take() {
            timer.abort();
        }
        state.settle(None, now);
        state.draining = None;
        let unrecorded = std::mem::take(&mut state.unrecorded);
        drop(state);
        self.seat.part(now);
        for (id, done) in unrecorded {
            if self.tell_store(done).is_err() {
                self.home.common.store.release(self.id, id);
            }
        }
    }

    pub fn is_over(&self) -> bool {
        self.state.try_borrow().is_ok_and(|state| state.over)
    }

    pub fn inspect(&self) -> Inspection {
        let now = clock::now();
        let state = self.state.borrow();
        let stats = state.stats.lock();
        Inspection {
            activity: state.activity(now),
            blocked_by: state.blocked_by,
            in_flight: state.queue.in_flight(),
            consecutive_failures: state.live.consecutive_failures,
            last_success_at: state.live.last_success_at,
            last_error: state.live.last_error.clone(),
            rate: stats.rate(now),
            latency_ms: stats.latency_ms(),
            policy: state.resolved.clone(),
        }
    }
}
