//! What an endpoint's outcomes make of its live state, and how that reads from outside.

use std::time::Duration;

use super::State;
use crate::domain::attempt::{Attempt, Outcome};
use crate::domain::breaker::{Breaker, Signal};
use crate::domain::change::EndpointActivity;
use crate::domain::endpoint::{Control, LiveState};
use crate::domain::time::Timestamp;

/// A success is written to the endpoint's live state at most this often.
const SUCCESS_WRITTEN_EVERY: Duration = Duration::from_secs(5);

impl State {
    /// What an outcome says of the endpoint.
    pub(super) fn note(&mut self, attempt: &Attempt, signal: Signal, probe: bool, now: Timestamp) {
        let answered = matches!(attempt.outcome, Outcome::Answered { .. });
        self.trouble = signal == Signal::Failure || (self.trouble && !answered);
        self.answered |= answered && signal != Signal::Failure;
        match signal {
            Signal::Failure => self.live.consecutive_failures = self.live.consecutive_failures.saturating_add(1),
            Signal::Alive => self.live.consecutive_failures = 0,
            Signal::Neutral => {}
        }
        let before = self.live.breaker;
        self.live.breaker = before.after(signal, probe, self.live.consecutive_failures, &self.policy, now);
        if self.live.breaker != before && matches!(self.live.breaker, Breaker::Open { .. }) {
            self.stats.lock().breaker_opened(now);
        }
        if attempt.succeeded() {
            self.live.last_success_at = Some(now);
            self.live.consecutive_holds = 0;
            self.live.hold_until = self.live.hold_until.filter(|until| *until > now);
        } else {
            self.live.last_error =
                attempt.detail.clone().or_else(|| attempt.error_kind().map(|k| k.as_str().to_owned()));
        }
    }

    /// The live state, when what must survive a restart changed.
    pub(super) fn live_to_write(&mut self) -> Option<LiveState> {
        let written = &self.live_written;
        let matters = written.breaker != self.live.breaker
            || written.hold_until != self.live.hold_until
            || written.consecutive_failures != self.live.consecutive_failures
            || written.last_error != self.live.last_error
            || self.live.last_success_at.is_some_and(|at| {
                written.last_success_at.is_none_or(|before| at.since(before) >= SUCCESS_WRITTEN_EVERY)
            });
        matters.then(|| {
            self.live_written = self.live.clone();
            self.live.clone()
        })
    }

    pub(super) fn activity(&self, now: Timestamp) -> EndpointActivity {
        activity(&self.stored.control, &self.live, now).unwrap_or_else(|| {
            if self.queue.due() > 0 && self.blocked_by.is_some_and(|w| w.reason != "store") {
                EndpointActivity::Throttled
            } else if self.queue.in_flight() > 0 {
                EndpointActivity::Sending
            } else if self.queue.next_due().is_some() {
                EndpointActivity::Waiting
            } else {
                EndpointActivity::Idle
            }
        })
    }
}

/// What its live state alone says of an endpoint that nobody paused.
pub(super) fn ailing(live: &LiveState, now: Timestamp) -> Option<EndpointActivity> {
    activity(&Control::Active, live, now)
}

/// What its stored state alone says of an endpoint; `None`: that depends on its work.
pub fn activity(control: &Control, live: &LiveState, now: Timestamp) -> Option<EndpointActivity> {
    match control {
        Control::Quarantined { .. } => return Some(EndpointActivity::Quarantined),
        Control::Paused { .. } => return Some(EndpointActivity::Paused),
        Control::Active => {}
    }
    match live.breaker {
        Breaker::Open { .. } => Some(EndpointActivity::Open),
        Breaker::HalfOpen { .. } => Some(EndpointActivity::HalfOpen),
        Breaker::Closed if live.hold_until.is_some_and(|until| until > now) => Some(EndpointActivity::BackingOff),
        Breaker::Closed => None,
    }
}
