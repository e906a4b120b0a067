//! What an attempt holds while it runs: its places in the shared limits, and its delivery. Both go back by themselves,
//! whatever ends the attempt.

use std::rc::Rc;

use actix::Addr;

use crate::clock;
use crate::dispatch::arbiters::ThreadState;
use crate::dispatch::limits::Standing;
use crate::dispatch::messages::WakeEndpoints;
use crate::dispatch::router::Router;
use crate::domain::ids::{DeliveryId, EndpointId};
use crate::domain::payload_url::Origin;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

/// An endpoint's seat among those that share its limits.
pub struct Seat {
    pub endpoint: EndpointId,
    pub origin: Origin,
    pub thread: Rc<ThreadState>,
    pub router: Addr<Router>,
}

impl Seat {
    pub fn join(&self, policy: &Policy, now: Timestamp) {
        self.thread.origins.borrow_mut().join(&self.origin, policy, now);
    }

    pub fn set_policy(&self, policy: &Policy, now: Timestamp) {
        let called = self.thread.origins.borrow_mut().set(&self.origin, policy, now);
        self.call(called);
    }

    /// Up to `wanted` places of origin and node, or who refuses, and when to ask again (`None`: when called).
    pub fn ask(
        self: &Rc<Self>,
        wanted: usize,
        standing: Standing,
        now: Timestamp,
    ) -> Result<Places, (&'static str, Option<Timestamp>)> {
        let node = &self.thread.common.node;
        let (asked, called) = self.thread.origins.borrow_mut().ask(&self.origin, self.endpoint, wanted, standing, now);
        self.call(called);
        let of_origin = match asked {
            Ok(granted) => granted,
            Err(until) => {
                // A turn it has at the node is of no use now: others take it.
                self.call(node.leave(self.endpoint, now));
                return Err(("origin_limit", until));
            }
        };
        let (granted, called) = node.ask(self.endpoint, of_origin, standing, now);
        self.call(called);
        if granted < of_origin {
            let unused = of_origin - granted;
            let called = self.thread.origins.borrow_mut().give_back(&self.origin, self.endpoint, unused, now);
            self.call(called);
        }
        if granted == 0 { Err(("node_limit", None)) } else { Ok(Places { seat: self.clone(), n: granted }) }
    }

    /// It waits for no place any more.
    pub fn leave(&self, now: Timestamp) {
        let called = self.thread.origins.borrow_mut().leave(&self.origin, self.endpoint, now);
        self.call(called);
        self.call(self.thread.common.node.leave(self.endpoint, now));
    }

    /// Its actor ends. What is in flight gives its places back when it ends.
    pub fn part(&self, now: Timestamp) {
        if let Ok(mut origins) = self.thread.origins.try_borrow_mut() {
            let called = origins.part(&self.origin, self.endpoint, now);
            self.call(called);
        }
        self.call(self.thread.common.node.leave(self.endpoint, now));
    }

    pub fn set_standing(&self, standing: Standing, now: Timestamp) {
        let called = self.thread.origins.borrow_mut().set_standing(&self.origin, self.endpoint, standing, now);
        self.call(called);
        self.call(self.thread.common.node.set_standing(self.endpoint, standing, now));
    }

    /// Wakes these: places are free, or there is news.
    pub fn call(&self, waiting: Vec<EndpointId>) {
        if !waiting.is_empty() {
            // Full: they ask again by themselves soon.
            let _ = self.router.try_send(WakeEndpoints(waiting));
        }
    }
}

/// Places taken from the limits of origin and node; given back when dropped.
pub struct Places {
    seat: Rc<Seat>,
    n: usize,
}

impl Places {
    pub fn count(&self) -> usize {
        self.n
    }

    /// One of them, on its own.
    pub fn split_one(&mut self) -> Places {
        self.split(1)
    }

    /// Gives back what is not used.
    pub fn keep(&mut self, used: usize) {
        let unused = self.n.saturating_sub(used);
        if unused > 0 {
            drop(self.split(unused));
        }
    }

    fn split(&mut self, n: usize) -> Places {
        let n = n.min(self.n);
        self.n -= n;
        Places { seat: self.seat.clone(), n }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        if self.n == 0 {
            return;
        }
        let (seat, now) = (&self.seat, clock::now());
        // Borrowed only when this is part of a fault inside the limits themselves.
        if let Ok(mut origins) = seat.thread.origins.try_borrow_mut() {
            let called = origins.give_back(&seat.origin, seat.endpoint, self.n, now);
            drop(origins);
            seat.call(called);
        }
        seat.call(seat.thread.common.node.give_back(seat.endpoint, self.n, now));
    }
}

/// A started delivery: given back to the store unsent, or with its outcome unknown, unless somebody answers for it.
pub struct Flight {
    seat: Rc<Seat>,
    delivery: DeliveryId,
    /// Held until it ends.
    _place: Places,
    answered: bool,
}

impl Flight {
    pub fn new(seat: Rc<Seat>, delivery: DeliveryId, place: Places) -> Self {
        Self { seat, delivery, _place: place, answered: false }
    }

    /// Its outcome is recorded, or kept to be.
    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.answered {
            self.seat.thread.common.store.release(self.seat.endpoint, self.delivery);
            self.seat.call(vec![self.seat.endpoint]);
        }
    }
}
