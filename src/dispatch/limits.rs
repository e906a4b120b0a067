//! Limits that endpoints share: requests in flight of an origin and of the node, and an origin's rate.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::fair::FairCap;
pub use super::fair::Standing;
use super::pace::Pace;
use crate::domain::ids::EndpointId;
use crate::domain::payload_url::Origin;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

/// The node's cap, asked from all dispatch threads. A lock, held for nanoseconds: no thread owns the node.
#[derive(Debug)]
pub struct NodeGate(Mutex<FairCap>);

impl NodeGate {
    pub fn new(cap: usize) -> Self {
        Self(Mutex::new(FairCap::new(cap)))
    }

    /// Each operation names whom to wake.
    pub fn set_cap(&self, cap: usize, now: Timestamp) -> Vec<EndpointId> {
        self.0.lock().set_cap(cap, now)
    }

    pub fn ask(
        &self,
        endpoint: EndpointId,
        wanted: usize,
        standing: Standing,
        now: Timestamp,
    ) -> (usize, Vec<EndpointId>) {
        self.0.lock().ask(endpoint, wanted, standing, now)
    }

    pub fn take_one(&self, endpoint: EndpointId, now: Timestamp) -> (bool, Vec<EndpointId>) {
        self.0.lock().take_one(endpoint, now)
    }

    pub fn give_back(&self, endpoint: EndpointId, places: usize, now: Timestamp) -> Vec<EndpointId> {
        self.0.lock().give_back(endpoint, places, now)
    }

    pub fn leave(&self, endpoint: EndpointId, now: Timestamp) -> Vec<EndpointId> {
        self.0.lock().leave(endpoint, now)
    }

    pub fn set_standing(&self, endpoint: EndpointId, standing: Standing, now: Timestamp) -> Vec<EndpointId> {
        self.0.lock().set_standing(endpoint, standing, now)
    }
}

/// What all endpoints of one origin share.
#[derive(Debug)]
struct OriginGate {
    cap: FairCap,
    pace: Pace,
    /// Endpoints that run.
    users: usize,
}

/// The origins of one thread. It outlives the actors, so what an origin has spent is never forgotten.
#[derive(Debug, Default)]
pub struct OriginGates {
    gates: HashMap<Origin, OriginGate>,
    /// Those forgotten again, with a full bucket.
    full: HashSet<Origin>,
}

impl OriginGates {
    /// An endpoint of the origin runs on this thread.
    pub fn join(&mut self, origin: &Origin, policy: &Policy, now: Timestamp) {
        let seen_full = self.full.remove(origin);
        let gate = self.gates.entry(origin.clone()).or_insert_with(|| OriginGate {
            cap: FairCap::new(policy.origin_concurrency as usize),
            // What was sent before this process began nobody knows.
            pace: if seen_full {
                Pace::full(policy.origin_rate_limit, policy.origin_burst)
            } else {
                Pace::empty(policy.origin_rate_limit, policy.origin_burst, now)
            },
            users: 0,
        });
        gate.users += 1;
    }

    /// The policy in force for the origin; names whom to wake.
    pub fn set(&mut self, origin: &Origin, policy: &Policy, now: Timestamp) -> Vec<EndpointId> {
        let Some(gate) = self.gates.get_mut(origin) else { return Vec::new() };
        gate.pace.set(policy.origin_rate_limit, policy.origin_burst, now);
        gate.cap.set_cap(policy.origin_concurrency as usize, now)
    }

    /// An endpoint of the origin has ended; what it holds it gives back later.
    pub fn part(&mut self, origin: &Origin, endpoint: EndpointId, now: Timestamp) -> Vec<EndpointId> {
        let Some(gate) = self.gates.get_mut(origin) else { return Vec::new() };
        gate.users = gate.users.saturating_sub(1);
        let called = gate.cap.leave(endpoint, now);
        self.forget_if_done(origin, now);
        called
    }

    /// Up to `wanted` places, or when to ask again (`None`: when called); and whom to wake.
    pub fn ask(
        &mut self,
        origin: &Origin,
        endpoint: EndpointId,
        wanted: usize,
        standing: Standing,
        now: Timestamp,
    ) -> (Result<usize, Option<Timestamp>>, Vec<EndpointId>) {
        let Some(gate) = self.gates.get_mut(origin) else { return (Ok(wanted), Vec::new()) };
        let paced = gate.pace.available(wanted, now);
        if paced == 0 {
            return (Err(gate.pace.next_at(now)), gate.cap.leave(endpoint, now));
        }
        let (granted, called) = gate.cap.ask(endpoint, paced, standing, now);
        (if granted == 0 { Err(None) } else { Ok(granted) }, called)
    }

    /// Of the places asked for so many were used: they take their tokens.
    pub fn used(&mut self, origin: &Origin, places: usize, now: Timestamp) {
        if let Some(gate) = self.gates.get_mut(origin) {
            gate.pace.take(places, now);
        }
    }

    pub fn give_back(
        &mut self,
        origin: &Origin,
        endpoint: EndpointId,
        places: usize,
        now: Timestamp,
    ) -> Vec<EndpointId> {
        let Some(gate) = self.gates.get_mut(origin) else { return Vec::new() };
        let called = gate.cap.give_back(endpoint, places, now);
        if gate.users == 0 {
            self.forget_if_done(origin, now);
        }
        called
    }

    pub fn leave(&mut self, origin: &Origin, endpoint: EndpointId, now: Timestamp) -> Vec<EndpointId> {
        self.gates.get_mut(origin).map(|gate| gate.cap.leave(endpoint, now)).unwrap_or_default()
    }

    pub fn set_standing(
        &mut self,
        origin: &Origin,
        endpoint: EndpointId,
        standing: Standing,
        now: Timestamp,
    ) -> Vec<EndpointId> {
        let gate = self.gates.get_mut(origin);
        gate.map(|gate| gate.cap.set_standing(endpoint, standing, now)).unwrap_or_default()
    }

    /// Without users, requests and debts there is nothing to remember but that.
    fn forget_if_done(&mut self, origin: &Origin, now: Timestamp) {
        let done = |gate: &OriginGate| gate.users == 0 && gate.cap.is_unused() && gate.pace.is_full(now);
        if self.gates.get(origin).is_some_and(done) {
            self.gates.remove(origin);
            self.full.insert(origin.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::policy::Rate;

    const A: EndpointId = EndpointId(1);
    const T0: Timestamp = Timestamp(1_764_000_000_000_000);

    fn policy() -> Policy {
        let origin_rate_limit = Some(Rate { count: 1, per: Duration::from_secs(1) });
        Policy { origin_rate_limit, origin_burst: 3, ..Policy::default() }
    }

    fn ask(gates: &mut OriginGates, origin: &Origin, now: Timestamp) -> Result<usize, Option<Timestamp>> {
        let (granted, _) = gates.ask(origin, A, 9, Standing::Proven, now);
        if let Ok(n) = granted {
            gates.used(origin, n, now);
            gates.give_back(origin, A, n, now);
        }
        granted
    }

    #[test]
    fn an_origins_bucket_is_empty_only_when_the_process_begins() {
        let origin = Origin("http://a".into());
        let mut gates = OriginGates::default();
        gates.join(&origin, &policy(), T0);
        assert_eq!(ask(&mut gates, &origin, T0), Err(Some(T0 + Duration::from_secs(1))));
        let later = T0 + Duration::from_secs(3);
        gates.part(&origin, A, later);
        gates.join(&origin, &policy(), later);
        assert_eq!(ask(&mut gates, &origin, later), Ok(3), "it was full when the last endpoint retired");
        gates.part(&origin, A, later);
        gates.join(&origin, &policy(), later);
        assert!(ask(&mut gates, &origin, later).is_err(), "what was spent is not forgotten");
    }
}
