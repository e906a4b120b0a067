//! What may start now: control, hold, breaker and pace, and the limits shared with others.

use std::time::Duration;

use super::{Core, Places, State};
use crate::dispatch::Waiting;
use crate::dispatch::messages::WakeEndpoints;
use crate::dispatch::queue::Gate;
use crate::domain::breaker::Allowed;
use crate::domain::endpoint::Control;
use crate::domain::ids::EndpointId;
use crate::domain::time::Timestamp;

/// How soon a limit shared with others is asked again, should nobody call.
const ASK_AGAIN: Duration = Duration::from_millis(250);

impl Core {
    /// What may start now, with places taken from the shared limits.
    pub(super) fn gate(&self, state: &mut State, now: Timestamp) -> (Gate, Places) {
        state.blocked_by = None;
        let none = Places::default();
        let closed = |state: &mut State, reason, until| {
            state.blocked_by = Some(Waiting { reason, until });
            (Gate::Closed { until }, none)
        };
        match &state.stored.control {
            Control::Active if state.enabled => {}
            control => {
                let reason = match control {
                    Control::Paused { .. } => "paused",
                    Control::Quarantined { .. } => "quarantined",
                    Control::Active => "service_disabled",
                };
                state.blocked_by = Some(Waiting { reason, until: None });
                return (Gate::Stopped, none);
            }
        }
        if let Some(until) = state.live.hold_until.filter(|until| *until > now) {
            return closed(state, "retry_after", Some(until));
        }
        let open = match state.live.breaker.allowed(now) {
            Allowed::All => None,
            Allowed::Probe => Some(Gate::Probe),
            Allowed::Nothing { until } => {
                state.blocked_by = Some(Waiting { reason: "breaker", until });
                // In half-open one probe is enough, whoever asks.
                let gate = if until.is_some() { Gate::Broken { until } } else { Gate::Closed { until } };
                return (gate, none);
            }
        };
        if state.queue.blocked_by_store() {
            state.blocked_by = Some(Waiting { reason: "store", until: None });
        }
        let wanted = if open.is_some() { state.queue.wanted(now).min(1) } else { state.queue.wanted(now) };
        if wanted == 0 {
            if state.queue.due() > 0 && state.blocked_by.is_none() {
                state.blocked_by = Some(Waiting { reason: "concurrency", until: None });
            }
            return (open.unwrap_or(Gate::Open(0)), none);
        }
        let paced = state.pace.available(wanted, now);
        if paced == 0 {
            let until = state.pace.next_at(now);
            return closed(state, "rate_limit", until);
        }
        let trouble = state.trouble;
        let origin = &state.stored.endpoint.origin;
        let asked = self.thread.origins.borrow_mut().ask(origin, self.id, paced, trouble, now);
        let granted = match asked {
            Ok(granted) => granted,
            Err(until) => return closed(state, "origin_limit", Some(until.unwrap_or(now + ASK_AGAIN))),
        };
        let n = self.home.common.node.ask(self.id, granted, trouble, now);
        let surplus = self.thread.origins.borrow_mut().give_back(origin, granted - n, trouble, now);
        self.call(surplus);
        if n == 0 {
            return closed(state, "node_limit", Some(now + ASK_AGAIN));
        }
        (open.unwrap_or(Gate::Open(n)), Places { n, trouble })
    }

    pub(super) fn return_places(&self, state: &State, places: Places, now: Timestamp) {
        if places.n == 0 {
            return;
        }
        let origin = &state.stored.endpoint.origin;
        let mut called = self.thread.origins.borrow_mut().give_back(origin, places.n, places.trouble, now);
        called.extend(self.home.common.node.give_back(places.n, places.trouble, now));
        self.call(called);
    }

    /// Places are free for others.
    pub(super) fn call(&self, waiting: Vec<EndpointId>) {
        if !waiting.is_empty() {
            // Full: they ask again by themselves soon.
            let _ = self.home.router.try_send(WakeEndpoints(waiting));
        }
    }
}
