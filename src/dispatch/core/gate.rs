//! What may start now: control, hold, breaker and pace, and the limits shared with others.

use std::time::Duration;

use super::places::Places;
use super::{Core, State};
use crate::dispatch::Waiting;
use crate::dispatch::limits::Standing;
use crate::dispatch::queue::Gate;
use crate::domain::breaker::Allowed;
use crate::domain::endpoint::Control;
use crate::domain::time::Timestamp;

/// How soon a limit shared with others is asked again, should nobody call.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// An endpoint with a request open for longer is in trouble, as far as others are concerned.
const SLOW: Duration = Duration::from_secs(3);

impl Core {
    /// What may start now, with places taken from the shared limits.
    pub(super) fn gate(&self, state: &mut State, now: Timestamp) -> (Gate, Option<Places>) {
        self.tell_standing(state, now);
        state.blocked_by = None;
        let stood_in_line = std::mem::take(&mut state.in_line);
        let (gate, places) = self.decide(state, now);
        if stood_in_line && !state.in_line && places.is_none() {
            // Its turn, should it come, is for others.
            self.seat.leave(now);
        }
        (gate, places)
    }

    fn decide(&self, state: &mut State, now: Timestamp) -> (Gate, Option<Places>) {
        if let Some(reason) = stopped(state) {
            return shut(state, reason, None, Gate::Stopped);
        }
        if let Some(until) = state.live.hold_until.filter(|until| *until > now) {
            return shut(state, "retry_after", Some(until), Gate::Closed { until: Some(until) });
        }
        let (gate, most) = match state.live.breaker.allowed(now) {
            Allowed::All => (Gate::Open(0), usize::MAX),
            Allowed::Probe => (Gate::Probe, 1),
            // In half-open one probe is enough, whoever asks.
            Allowed::Nothing { until: None } => return shut(state, "breaker", None, Gate::Closed { until: None }),
            Allowed::Nothing { until } => {
                let asked = self.home.common.store.asked_for(self.id, now);
                match asked.filter(|head| state.queue.could_start(head, now)) {
                    None => return shut(state, "breaker", until, Gate::Broken { until, asked: None }),
                    asked => (Gate::Broken { until, asked }, 1),
                }
            }
        };
        if state.queue.blocked_by_store() {
            state.blocked_by = Some(Waiting { reason: "store", until: None });
        }
        let wanted = match gate {
            Gate::Broken { .. } => 1,
            _ => state.queue.wanted(now).min(most),
        };
        if wanted == 0 {
            if state.queue.due() > 0 && state.blocked_by.is_none() {
                state.blocked_by = Some(Waiting { reason: "concurrency", until: None });
            }
            return (gate, None);
        }
        self.take_places(state, gate, wanted, now)
    }

    /// Pace and places for `wanted` starts, of which there may be fewer.
    fn take_places(&self, state: &mut State, gate: Gate, wanted: usize, now: Timestamp) -> (Gate, Option<Places>) {
        let paced = state.pace.available(wanted, now);
        if paced == 0 {
            let until = state.pace.next_at(now);
            return shut(state, "rate_limit", until, Gate::Closed { until });
        }
        match self.seat.ask(paced, state.standing, now) {
            Ok(places) => (if let Gate::Open(_) = gate { Gate::Open(places.count()) } else { gate }, Some(places)),
            Err((reason, until)) => {
                state.in_line = until.is_none();
                let until = Some(until.unwrap_or(now + ASK_AGAIN));
                shut(state, reason, until, Gate::Closed { until })
            }
        }
    }

    /// Lets the shared limits know when what is known of the endpoint changed.
    fn tell_standing(&self, state: &mut State, now: Timestamp) {
        let slow = state.open.front().is_some_and(|(_, since)| now.since(*since) >= SLOW);
        let standing = if slow || state.trouble {
            Standing::Trouble
        } else if state.live.last_success_at.is_some() || state.answered {
            Standing::Proven
        } else {
            Standing::Unproven
        };
        if standing != state.standing {
            state.standing = standing;
            self.seat.set_standing(standing, now);
        }
    }

    /// When its standing changes should nothing happen.
    pub(super) fn slow_at(&self, state: &State) -> Option<Timestamp> {
        let waits = state.standing != Standing::Trouble;
        state.open.front().filter(|_| waits).map(|(_, since)| *since + SLOW)
    }
}

/// Why nothing is started until a person says otherwise.
fn stopped(state: &State) -> Option<&'static str> {
    match &state.stored.control {
        Control::Active if state.enabled => None,
        Control::Active => Some("service_disabled"),
        Control::Paused { .. } => Some("paused"),
        Control::Quarantined { .. } => Some("quarantined"),
    }
}

fn shut(state: &mut State, reason: &'static str, until: Option<Timestamp>, gate: Gate) -> (Gate, Option<Places>) {
    state.blocked_by = Some(Waiting { reason, until });
    (gate, None)
}
