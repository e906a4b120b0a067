//! Limits that endpoints share: requests in flight of an origin and of the node, and an origin's rate.
//!
//! Those who wait are served round-robin by endpoint, and endpoints in trouble (the last outcome was that nobody is
//! there) hold at most half, so that a dead host cannot keep the living waiting.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;

use super::pace::Pace;
use crate::domain::ids::EndpointId;
use crate::domain::payload_url::Origin;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

/// A waiter whose turn it is loses it after this: it may have found nothing to send.
const TURN: Duration = Duration::from_millis(500);

/// A cap on requests in flight, shared fairly.
#[derive(Debug)]
pub struct FairCap {
    cap: usize,
    in_flight: usize,
    in_trouble: usize,
    waiting: VecDeque<EndpointId>,
    /// Whose turn it is, and until when.
    called: Vec<(EndpointId, Timestamp)>,
}

impl FairCap {
    pub fn new(cap: usize) -> Self {
        Self { cap: cap.max(1), in_flight: 0, in_trouble: 0, waiting: VecDeque::new(), called: Vec::new() }
    }

    pub fn set_cap(&mut self, cap: usize) {
        self.cap = cap.max(1);
    }

    /// Takes up to `wanted` places; who gets none waits in line and is called by [`Self::give_back`].
    pub fn ask(&mut self, endpoint: EndpointId, wanted: usize, trouble: bool, now: Timestamp) -> usize {
        self.called.retain(|(_, until)| *until > now);
        let called = self.called.iter().position(|(who, _)| *who == endpoint);
        let others_first = called.is_none() && (!self.waiting.is_empty() || !self.called.is_empty());
        let free = self.cap.saturating_sub(self.in_flight);
        let free = if trouble { free.min((self.cap / 2).max(1).saturating_sub(self.in_trouble)) } else { free };
        // Called ones have a place each until their turn is over.
        let free = if others_first { free.saturating_sub(self.waiting.len() + self.called.len()) } else { free };
        // While others wait, one at a time.
        let granted = wanted.min(if self.waiting.is_empty() { free } else { free.min(1) });
        if granted == 0 {
            if !self.waiting.contains(&endpoint) {
                self.waiting.push_back(endpoint);
            }
            return 0;
        }
        if let Some(turn) = called {
            self.called.swap_remove(turn);
        }
        self.waiting.retain(|who| *who != endpoint);
        self.in_flight += granted;
        self.in_trouble += if trouble { granted } else { 0 };
        granted
    }

    /// Places are free again; says whom to wake.
    pub fn give_back(&mut self, places: usize, trouble: bool, now: Timestamp) -> Vec<EndpointId> {
        self.in_flight = self.in_flight.saturating_sub(places);
        self.in_trouble = self.in_trouble.saturating_sub(if trouble { places } else { 0 });
        let next = places.min(self.waiting.len());
        let called: Vec<_> = self.waiting.drain(..next).collect();
        self.called.extend(called.iter().map(|who| (*who, now + TURN)));
        called
    }
}

/// The node's cap, asked from all dispatch threads. A lock, held for nanoseconds: no thread owns the node.
#[derive(Debug)]
pub struct NodeGate(Mutex<FairCap>);

impl NodeGate {
    pub fn new(cap: usize) -> Self {
        Self(Mutex::new(FairCap::new(cap)))
    }

    pub fn set_cap(&self, cap: usize) {
        self.0.lock().set_cap(cap);
    }

    pub fn ask(&self, endpoint: EndpointId, wanted: usize, trouble: bool, now: Timestamp) -> usize {
        self.0.lock().ask(endpoint, wanted, trouble, now)
    }

    pub fn give_back(&self, places: usize, trouble: bool, now: Timestamp) -> Vec<EndpointId> {
        if places == 0 { Vec::new() } else { self.0.lock().give_back(places, trouble, now) }
    }
}

/// What all endpoints of one origin share.
#[derive(Debug)]
struct OriginGate {
    cap: FairCap,
    pace: Pace,
    /// Endpoints that run; without any the gate goes, once its bucket is full.
    users: usize,
}

/// The origins of one thread.
#[derive(Debug, Default)]
pub struct OriginGates(HashMap<Origin, OriginGate>);

impl OriginGates {
    /// An endpoint of the origin runs on this thread, or its policy changed (`joined` false).
    pub fn set(&mut self, origin: &Origin, policy: &Policy, joined: bool, now: Timestamp) {
        let gate = self.0.entry(origin.clone()).or_insert_with(|| OriginGate {
            cap: FairCap::new(policy.origin_concurrency as usize),
            pace: Pace::empty(policy.origin_rate_limit, policy.origin_burst, now),
            users: 0,
        });
        gate.users += usize::from(joined);
        gate.cap.set_cap(policy.origin_concurrency as usize);
        gate.pace.set(policy.origin_rate_limit, policy.origin_burst, now);
    }

    pub fn leave(&mut self, origin: &Origin, now: Timestamp) {
        if let Some(gate) = self.0.get_mut(origin) {
            gate.users = gate.users.saturating_sub(1);
        }
        self.0.retain(|_, gate| gate.users > 0 || !gate.pace.is_full(now));
    }

    /// Up to `wanted` places, or when to ask again (`None`: when called).
    pub fn ask(
        &mut self,
        origin: &Origin,
        endpoint: EndpointId,
        wanted: usize,
        trouble: bool,
        now: Timestamp,
    ) -> Result<usize, Option<Timestamp>> {
        let Some(gate) = self.0.get_mut(origin) else { return Ok(wanted) };
        let paced = gate.pace.available(wanted, now);
        if paced == 0 {
            return Err(gate.pace.next_at(now));
        }
        match gate.cap.ask(endpoint, paced, trouble, now) {
            0 => Err(None),
            granted => Ok(granted),
        }
    }

    /// Of the places asked for so many were used: they take their tokens.
    pub fn used(&mut self, origin: &Origin, places: usize, now: Timestamp) {
        if let Some(gate) = self.0.get_mut(origin) {
            gate.pace.take(places, now);
        }
    }

    pub fn give_back(&mut self, origin: &Origin, places: usize, trouble: bool, now: Timestamp) -> Vec<EndpointId> {
        match self.0.get_mut(origin) {
            Some(gate) if places > 0 => gate.cap.give_back(places, trouble, now),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: EndpointId = EndpointId(1);
    const B: EndpointId = EndpointId(2);
    const C: EndpointId = EndpointId(3);

    #[test]
    fn those_who_wait_take_turns() {
        let now = Timestamp::from_secs(1);
        let mut cap = FairCap::new(1);
        assert_eq!(cap.ask(A, 5, false, now), 1);
        assert_eq!((cap.ask(B, 1, false, now), cap.ask(C, 1, false, now)), (0, 0));
        assert_eq!(cap.give_back(1, false, now), [B]);
        assert_eq!(cap.ask(A, 1, false, now), 0, "it is B's turn");
        assert_eq!(cap.ask(B, 1, false, now), 1);
        assert_eq!(cap.give_back(1, false, now), [C]);
    }

    #[test]
    fn a_turn_that_is_not_taken_passes() {
        let now = Timestamp::from_secs(1);
        let mut cap = FairCap::new(1);
        cap.ask(A, 1, false, now);
        cap.ask(B, 1, false, now);
        cap.give_back(1, false, now);
        assert_eq!(cap.ask(A, 1, false, now + TURN), 1);
    }

    #[test]
    fn endpoints_in_trouble_hold_at_most_half() {
        let now = Timestamp::from_secs(1);
        let mut cap = FairCap::new(10);
        assert_eq!(cap.ask(A, 10, true, now), 5);
        assert_eq!(cap.ask(B, 10, false, now), 5);
    }
}
