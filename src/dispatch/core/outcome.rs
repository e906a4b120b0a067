//! What follows an attempt: decided, told to the store, counted.

use std::time::Duration;

use futures_util::FutureExt;

use super::{Core, Places, State};
use crate::clock;
use crate::dispatch::messages::WakeEndpoints;
use crate::dispatch::queue::{Asked, Finished, Input};
use crate::domain::attempt::Attempt;
use crate::domain::change::StateChange;
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::Control;
use crate::domain::retry::{Circumstances, Disposition, decide};
use crate::domain::time::Timestamp;
use crate::store::{Granted, Head, Next, Recorded, StoreError};
use crate::telemetry::metrics;

impl Core {
    /// An attempt ended: decides what follows, and tells the store.
    pub(super) fn ended(&self, granted: &Granted, attempt: Attempt, trouble: bool) {
        let now = clock::now();
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        if state.over {
            return;
        }
        let paused = Duration::from_micros(u64::try_from(state.live.paused_total_us).unwrap_or(0));
        let probe = state.probing == Some(granted.id);
        if probe {
            state.probing = None;
        }
        let circumstances = Circumstances {
            attempts: granted.attempts,
            age: granted.first_attempt_at.map_or(Duration::ZERO, |first| (now - paused).since(first)),
            probe,
            consecutive_holds: state.live.consecutive_holds,
            templated: false,
        };
        let decision = decide(&attempt.outcome, &state.policy, circumstances, now, &mut state.rng);
        state.note(&attempt, decision.signal, probe, now);
        if let Some(until) = decision.hold_until {
            state.live.hold_until = state.live.hold_until.max(Some(until));
            state.live.consecutive_holds += 1;
        }
        let next = match decision.disposition {
            Disposition::Delivered => Next::Delivered,
            Disposition::Failed => Next::Failed,
            Disposition::Retry { at, counted } => Next::Retry { at, counted },
        };
        self.count(granted, &attempt, next, now, state);
        self.return_places(state, Places { n: 1, trouble }, now);
        let live = state.live_to_write();
        let pause = decision.pause;
        drop(guard);
        if pause {
            self.pause_by_410(now);
        }
        self.record(Recorded { id: granted.id, attempt, next, live });
    }

    pub(super) fn count(&self, granted: &Granted, attempt: &Attempt, next: Next, now: Timestamp, state: &mut State) {
        let metrics = metrics();
        metrics.attempt_ended(attempt.error_kind());
        metrics.attempt_seconds.observe(attempt.timings.total.as_secs_f64());
        state.stats.took(attempt.timings.total);
        match next {
            Next::Delivered => {
                state.stats.delivered(now);
                let received = Timestamp::from_millis(granted.public_id.received_millis());
                metrics.deliver_seconds.observe(now.since(received).as_secs_f64());
            }
            Next::Failed => {}
            Next::Retry { at, .. } => {
                tracing::debug!(
                    endpoint.id = %self.id, delivery.id = %granted.public_id, attempt = granted.number,
                    status = attempt.status(), retry_in_ms = at.since(now).as_millis() as u64,
                    "a delivery was not taken, it will be retried"
                );
            }
        }
    }

    pub(super) fn record(&self, done: Recorded) {
        let (id, next) = (done.id, done.next);
        let kept = done.clone();
        let retry_at = match next {
            Next::Retry { at, .. } => Some(at),
            _ => None,
        };
        let answer = self.home.common.store.record(self.id, done);
        // The store applies it in memory; what it cannot take is kept here and nothing more is started.
        let result = answer.now_or_never().unwrap_or_else(|| Err(StoreError::Unavailable("no answer".to_owned())));
        let now = clock::now();
        let mut state = self.state.borrow_mut();
        match result {
            Ok(successor) => {
                let successor = successor.filter(|head: &Head| head.retry_due.is_none_or(|due| due <= now));
                state.queue.handle(Input::Finished(Finished { id, successor, retry_at }), now);
            }
            Err(StoreError::Conflict(_)) => {
                // It was given back behind our back; the store knows better.
                state.queue.handle(Input::Finished(Finished { id, successor: None, retry_at: None }), now);
            }
            Err(error) => {
                self.store_error(&error);
                state.unrecorded.insert(id, kept);
                state.queue.handle(Input::StoreFailed(Asked::Record(id)), now);
            }
        }
    }

    pub(super) fn pause_by_410(&self, now: Timestamp) {
        tracing::warn!(endpoint.id = %self.id, "the receiver answered 410 Gone, the endpoint is paused");
        let control = Control::Paused { by: "410 Gone".to_owned(), since: now };
        let order = self.home.common.store.set_control(self.id, control);
        let (router, id) = (self.home.router.clone(), self.id);
        actix_rt::spawn(async move {
            if let Err(error) = order.await {
                tracing::error!(endpoint.id = %id, %error, "an endpoint that answered 410 could not be paused");
            }
            let _ = router.try_send(WakeEndpoints(vec![id]));
        });
    }

    /// Tells that it is on its way; all that follows the store tells.
    pub(super) fn tell_started(&self, granted: &Granted) {
        self.home.common.changes.tell(|| StateChange::Delivery {
            id: granted.public_id,
            endpoint_id: self.id,
            webhook_id: granted.webhook,
            state: DeliveryState::InFlight,
            attempts: granted.number - 1,
            status_code: None,
        });
    }
}
