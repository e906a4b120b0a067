//! The router: fans out what the store has committed to the endpoints it concerns. One per node.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, MessageResult};

use super::arbiters::{Arbiters, Common, Home};
use super::endpoint::{EndpointActor, Wakes};
use super::messages::{CatalogReplaced, Idle, Locate, Retire, StopStarting, Wake, WakeEndpoints};
use crate::clock;
use crate::domain::endpoint::Control;
use crate::domain::ids::EndpointId;
use crate::domain::time::Timestamp;

/// Messages that may wait for the router. One more is dropped: all of them are hints, and the sweep finds what they
/// meant.
pub const MAILBOX: usize = 4_096;
/// How often live actors are compared with what is waiting.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// So many crashes of one endpoint within [`CRASH_WINDOW`] quarantine it.
const CRASHES: usize = 3;
const CRASH_WINDOW: Duration = Duration::from_secs(600);

/// An endpoint that runs.
struct Slot {
    addr: Addr<EndpointActor>,
    wakes: Arc<Wakes>,
}

impl Slot {
    fn wake(&self) {
        self.wakes.count.fetch_add(1, Ordering::AcqRel);
        if !self.wakes.on_its_way.swap(true, Ordering::AcqRel) && self.addr.try_send(Wake).is_err() {
            // The mailbox is full of questions; the sweep or the next wake tries again.
            self.wakes.on_its_way.store(false, Ordering::Release);
        }
    }
}

pub struct Router {
    common: Arc<Common>,
    arbiters: Arc<Arbiters>,
    slots: HashMap<EndpointId, Slot>,
    /// Endpoints that ran and retired in good order.
    retired: HashSet<EndpointId>,
    /// When endpoints crashed lately.
    crashes: HashMap<EndpointId, Vec<Timestamp>>,
    stopping: bool,
}

impl Router {
    pub fn new(common: Arc<Common>, arbiters: Arc<Arbiters>) -> Self {
        let (slots, retired, crashes) = (HashMap::new(), HashSet::new(), HashMap::new());
        Self { common, arbiters, slots, retired, crashes, stopping: false }
    }

    fn wake(&mut self, endpoint: EndpointId, me: &Addr<Self>) {
        if let Some(slot) = self.slots.get(&endpoint) {
            if slot.addr.connected() {
                return slot.wake();
            }
            self.slots.remove(&endpoint);
            if self.crashed(endpoint, me) {
                return;
            }
        }
        self.start(endpoint, me);
    }

    fn start(&mut self, endpoint: EndpointId, me: &Addr<Self>) {
        if self.stopping {
            return;
        }
        let set = self.common.store.definitions();
        let Ok(found) = set.endpoints.binary_search_by_key(&endpoint, |e| e.endpoint.id) else { return };
        let stored = set.endpoints[found].clone();
        let retired = self.retired.remove(&endpoint);
        let home = Home { common: self.common.clone(), router: me.clone(), retired };
        let wakes = Arc::new(Wakes::default());
        let arbiter = self.arbiters.of(&stored.endpoint.origin);
        let counted = wakes.clone();
        let addr =
            EndpointActor::start_in_arbiter(&arbiter.handle(), move |_| EndpointActor::new(home, stored, counted));
        self.slots.insert(endpoint, Slot { addr, wakes });
    }

    /// Its actor is gone though nobody retired it. Its requests go on and tell the store themselves how they ended.
    /// Whether the endpoint is quarantined.
    fn crashed(&mut self, endpoint: EndpointId, me: &Addr<Self>) -> bool {
        if self.stopping {
            return false;
        }
        let now = clock::now();
        let crashes = self.crashes.entry(endpoint).or_default();
        crashes.retain(|at| now.since(*at) < CRASH_WINDOW);
        crashes.push(now);
        if crashes.len() < CRASHES {
            tracing::error!(endpoint.id = %endpoint, crashes = crashes.len(), "the actor of an endpoint crashed, starting another");
            return false;
        }
        tracing::error!(endpoint.id = %endpoint, "the actor of an endpoint keeps crashing, the endpoint is quarantined");
        self.crashes.remove(&endpoint);
        let order = self.common.store.set_control(endpoint, Control::Quarantined { since: now });
        let me = me.clone();
        actix_rt::spawn(async move {
            if let Err(error) = order.await {
                tracing::error!(endpoint.id = %endpoint, %error, "an endpoint could not be quarantined");
            }
            // Started only now, so that it knows. Full: the sweep starts it.
            let _ = me.try_send(WakeEndpoints(vec![endpoint]));
        });
        true
    }

    /// Hints may get lost, for those who run as for those who do not: whoever has work is told again.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        self.common.figures.forget_quiet(clock::now());
        let me = ctx.address();
        for pending in self.common.store.pending_endpoints() {
            self.wake(pending.endpoint, &me);
        }
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.sweep(ctx);
        ctx.run_interval(SWEEP_EVERY, Self::sweep);
    }
}

impl Handler<WakeEndpoints> for Router {
    type Result = ();

    fn handle(&mut self, wake: WakeEndpoints, ctx: &mut Self::Context) {
        let me = ctx.address();
        wake.0.into_iter().for_each(|endpoint| self.wake(endpoint, &me));
    }
}

impl Handler<CatalogReplaced> for Router {
    type Result = ();

    fn handle(&mut self, _: CatalogReplaced, ctx: &mut Self::Context) {
        let next = self.common.catalog().next(self.common.store.definitions());
        *self.common.catalog.write() = Arc::new(next);
        let cap = self.common.config.borrow().delivery.max_in_flight;
        let mut woken: HashSet<EndpointId> = self.common.node.set_cap(cap, clock::now()).into_iter().collect();
        self.common.epoch.fetch_add(1, Ordering::AcqRel);
        let common = self.common.clone();
        self.arbiters.each(move || super::arbiters::ThreadState::here(&common).refresh());
        let me = ctx.address();
        woken.extend(self.slots.keys());
        woken.into_iter().for_each(|endpoint| self.wake(endpoint, &me));
    }
}

impl Handler<Locate> for Router {
    type Result = MessageResult<Locate>;

    fn handle(&mut self, locate: Locate, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.slots.get(&locate.0).filter(|slot| slot.addr.connected()).map(|slot| slot.addr.clone()))
    }
}

impl Handler<Idle> for Router {
    type Result = ();

    fn handle(&mut self, idle: Idle, _: &mut Self::Context) {
        let Some(slot) = self.slots.get(&idle.endpoint) else { return };
        if slot.wakes.count.load(Ordering::Acquire) != idle.wakes_seen {
            // Its wake may be the one that found no place.
            return slot.wake();
        }
        if let Some(slot) = self.slots.remove(&idle.endpoint) {
            self.retired.insert(idle.endpoint);
            tracing::debug!(endpoint.id = %idle.endpoint, "an endpoint without work retires");
            // Were its mailbox full, it would offer again; nobody sends to it any more.
            let _ = slot.addr.try_send(Retire);
        }
    }
}

impl Handler<StopStarting> for Router {
    type Result = MessageResult<StopStarting>;

    fn handle(&mut self, _: StopStarting, _: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        MessageResult(self.slots.values().map(|slot| slot.addr.clone()).collect())
    }
}
