//! What follows an attempt: decided, told to the store, counted.

use std::time::Duration;

use futures_util::FutureExt;

use super::places::Flight;
use super::{Core, State};
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
    /// An attempt ended: decides what follows, and tells the store. Also for a core that is over: whoever made the
    /// request answers for it.
    pub(super) fn ended(&self, granted: &Granted, attempt: Attempt, flight: Flight) {
        crate::crash::fault("outcome");
        let now = clock::now();
        let (done, pause) = self.judge(&mut self.state.borrow_mut(), granted, attempt, now);
        if pause {
            self.pause_by_410(now);
        }
        self.record(done, Some(flight));
    }

    /// What follows, for the delivery and for the endpoint; whether the receiver asked for a pause.
    fn judge(&self, state: &mut State, granted: &Granted, attempt: Attempt, now: Timestamp) -> (Recorded, bool) {
        state.open.retain(|(id, _)| *id != granted.id);
        let probe = state.probing == Some(granted.id);
        if probe {
            state.probing = None;
        }
        let circumstances = Circumstances {
            attempts: granted.attempts,
            age: granted.first_attempt_at.map_or(Duration::ZERO, |first| now.since(first)),
            probe,
            consecutive_holds: state.live.holds_before(now),
            templated: false,
        };
        let decision = decide(&attempt.outcome, &state.policy, circumstances, now, &mut state.rng);
        state.note(&attempt, decision.signal, probe, now);
        if let Some(until) = decision.hold_until {
            state.live.hold(until, now);
        }
        let next = match decision.disposition {
            Disposition::Delivered => Next::Delivered,
            Disposition::Failed => Next::Failed,
            Disposition::Retry { at, counted } => Next::Retry { at, counted },
        };
        self.count(granted, &attempt, next, now, state);
        // What an endpoint started anew has learnt meanwhile is newer.
        let live = if state.over { None } else { state.live_to_write() };
        (Recorded { id: granted.id, attempt, next, live }, decision.pause)
    }

    pub(super) fn count(&self, granted: &Granted, attempt: &Attempt, next: Next, now: Timestamp, state: &mut State) {
        let metrics = metrics();
        metrics.attempt_ended(attempt.error_kind());
        metrics.attempt_seconds.observe(attempt.timings.total.as_secs_f64());
        let mut stats = state.stats.lock();
        stats.attempted((granted.public_id, granted.number), attempt, state.queue.in_flight(), now);
        match next {
            Next::Delivered => {
                stats.delivered(now);
                drop(stats);
                let lag = now.since(Timestamp::from_millis(granted.public_id.received_millis()));
                metrics.deliver_seconds.observe(lag.as_secs_f64());
                self.home.common.figures.delivered(lag, now);
            }
            Next::Failed => stats.failed(1, now),
            Next::Retry { at, .. } => {
                tracing::debug!(
                    endpoint.id = %self.id, delivery.id = %granted.public_id, attempt = granted.number,
                    status = attempt.status(), retry_in_ms = at.since(now).as_millis() as u64,
                    "a delivery was not taken, it will be retried"
                );
            }
        }
    }

    /// Without a flight: once more, for one that ended before.
    pub(super) fn record(&self, done: Recorded, flight: Option<Flight>) {
        let (id, next) = (done.id, done.next);
        let kept = done.clone();
        let retry_at = match next {
            Next::Retry { at, .. } => Some(at),
            _ => None,
        };
        let result = self.tell_store(done);
        let now = clock::now();
        let mut state = self.state.borrow_mut();
        if state.over {
            if result.is_ok() {
                flight.into_iter().for_each(Flight::answered);
                self.seat.call(vec![self.id]);
            }
            // What the store did not take is given back with its flight.
            return;
        }
        flight.into_iter().for_each(Flight::answered);
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

    /// The store applies it in memory at once; what it cannot take is kept here, and nothing more is started.
    pub(super) fn tell_store(&self, done: Recorded) -> Result<Option<Head>, StoreError> {
        let answer = self.home.common.store.record(self.id, done);
        answer.now_or_never().unwrap_or_else(|| Err(StoreError::Unavailable("no answer".to_owned())))
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
